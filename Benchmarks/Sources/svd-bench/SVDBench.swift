// Times the singular value decompositions of LinearAlgebra against NumPy, PyTorch and scikit-learn on the same
// matrices in the same run.
//
//     swift run -c release --package-path Benchmarks svd-bench                     # ours alone
//     swift run -c release --package-path Benchmarks svd-bench --python python3    # and svd_peers.py with that Python
//     swift run -c release --package-path Benchmarks svd-bench --only "4096 × 4096"  # cases with this in their title
//
// Every result is checked before its time counts: an exact decomposition by its residual and the orthogonality of its
// vectors, a randomised one by its error over the least possible, which is known since the matrices are made from their
// singular values.
import Foundation
import LoRAKit
import Measuring

@main
struct SVDBench {
  static func main() throws {
    let python = option("--python")
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("svd-bench-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }

    print("Threads: \(Threads.count)\n")
    for exact in ExactCase.all where isWanted(exact.title) {
      let matrix = exact.matrix()
      let ours = try exact.measure(matrix)
      let peers = try python.map { try Peers.measure($0, exact.peerArguments, matrix, in: folder) } ?? []
      print(exact.title)
      Line.show([ours] + peers)
    }
    for sketch in RandomizedCase.all where isWanted(sketch.title) {
      let matrix = try sketch.matrix()
      let ours = try sketch.measure(matrix)
      let peers = try python.map { try Peers.measure($0, sketch.peerArguments, matrix, in: folder) } ?? []
      print(sketch.title)
      Line.show(ours + peers)
    }
    if isWanted(ProductCase.title) { try ProductCase.run() }
  }
}

/// One implementation on one case.
struct Line: Decodable {
  let name: String
  let seconds: Double
  /// What was checked, as in "residual 3e-7".
  let check: String

  /// The first line is ours; the others' times are given as multiples of it.
  static func show(_ lines: [Line]) {
    for line in lines {
      let ratio = lines[0].seconds > 0 ? line.seconds / lines[0].seconds : 1
      print(
        "  \(padded(line.name, 46))\(String(format: "%9.2f ms  %6.2f×", line.seconds * 1e3, ratio))  \(line.check)")
    }
    print("")
  }
}

/// The median of several runs after one that warms up.
func median(of runs: Int, _ body: () throws -> Void) rethrows -> Double {
  try body()
  return try median((0..<(isShortest ? 1 : runs)).map { _ in try seconds(body) })
}

/// The whole decomposition of a matrix of normal numbers.
struct ExactCase {
  let rows: Int
  let columns: Int
  let runs: Int

  static let all =
    isShortest
    ? [ExactCase(rows: 128, columns: 96, runs: 1)]
    : [
      ExactCase(rows: 256, columns: 256, runs: 21), ExactCase(rows: 1024, columns: 1024, runs: 5),
      ExactCase(rows: 4096, columns: 1024, runs: 5), ExactCase(rows: 2048, columns: 2048, runs: 3),
    ]

  var title: String { "Exact SVD with vectors, \(rows) × \(columns)" }
  var peerArguments: [String] { ["exact", "\(runs)"] }

  func matrix() -> Tensor {
    var generator = SeededGenerator(seed: 1)
    return .normal([rows, columns], using: &generator)
  }

  func measure(_ matrix: Tensor) throws -> Line {
    var result: SingularValueDecomposition?
    let seconds = try median(of: runs) { result = try matrix.svd() }
    let svd = result!
    let residual = (svd.reconstructed() - matrix).norm / matrix.norm
    let departure = (svd.u.matmul(svd.u, transposeSelf: true) - .identity(columns)).norm / Double(columns).squareRoot()
    check(residual < 1e-5 && departure < 1e-5, "residual \(residual), departure \(departure)")
    return Line(
      name: "swift-lora svd()", seconds: seconds,
      check: String(format: "residual %.1e, orthogonality %.1e", residual, departure))
  }
}

/// The leading singular triplets of a square matrix of known spectrum.
struct RandomizedCase {
  enum Spectrum: String, CaseIterable {
    /// σᵢ = 1/√i, slow: the hard case.
    case slow = "1/√i"
    /// σᵢ = 1/i
    case power = "1/i"

    func values(_ count: Int) -> [Float] {
      (1...count).map { self == .slow ? 1 / Float($0).squareRoot() : 1 / Float($0) }
    }
  }

  let size: Int
  let rank: Int
  let spectrum: Spectrum

  static let all = (isShortest ? [256] : [1024, 2048, 4096]).flatMap { size in
    Spectrum.allCases.flatMap { spectrum in
      [16, 64].map { RandomizedCase(size: size, rank: $0, spectrum: spectrum) }
    }
  }

  var title: String { "Rank \(rank) of \(size) × \(size), singular values \(spectrum.rawValue)" }
  var peerArguments: [String] { ["randomized", isShortest ? "1" : "7", "\(rank)", "\(optimum(of: rank))"] }

  private func optimum(of rank: Int) -> Double {
    LoRALinearAlgebra.Spectrum(singularValues: spectrum.values(size), rows: size, columns: size)
      .relativeError(atRank: rank)
  }

  func matrix() throws -> Tensor {
    var generator = SeededGenerator(seed: 2)
    let u = try Tensor.normal([size, size], using: &generator).qr().q
    let v = try Tensor.normal([size, size], using: &generator).qr().q
    return (u * Tensor(spectrum.values(size))).matmul(v, transposeOther: true)
  }

  /// With one to four power iterations.
  func measure(_ matrix: Tensor) throws -> [Line] {
    try (1...4).map { iterations in
      var result: LowRankFactors?
      let seconds = try median(of: 7) {
        result = try matrix.randomizedSVD(rank: rank, powerIterations: iterations)
      }
      let excess = result!.relativeFrobeniusError(against: matrix) / optimum(of: rank) - 1
      check(excess < 0.1, "error \(excess) above the least possible")
      return Line(
        name: "swift-lora randomizedSVD, \(iterations) iteration\(iterations == 1 ? "" : "s")", seconds: seconds,
        check: String(format: "%.4f%% above the least error", 100 * excess))
    }
  }
}

/// The decomposition of a product of factors against that of the product formed.
enum ProductCase {
  private static let size = isShortest ? 256 : 2048
  static let title = "B A of \(size) × \(size), rank 16"

  static func run() throws {
    var generator = SeededGenerator(seed: 3)
    let b = Tensor.normal([size, 16], using: &generator)
    let a = Tensor.normal([16, size], using: &generator)
    var (factored, formed): ([Float], [Float]) = ([], [])
    let seconds = try median(of: 21) { factored = try svd(ofProduct: b, a).singularValues }
    let whole = try median(of: 3) { formed = try b.matmul(a).svd().singularValues }
    let difference = zip(factored, formed).map { abs($0 - $1) }.max()! / formed[0]
    check(difference < 1e-5, "singular values differ by \(difference)")
    print(title)
    Line.show([
      Line(
        name: "svd(ofProduct: b, a)", seconds: seconds, check: String(format: "values agree to %.1e", difference)),
      Line(name: "b.matmul(a).svd()", seconds: whole, check: ""),
    ])
  }
}

/// svd_peers.py, run on the same matrix.
enum Peers {
  static func measure(_ python: String, _ arguments: [String], _ matrix: Tensor, in folder: URL) throws -> [Line] {
    let file = folder.appendingPathComponent("matrix.npy")
    try npy(matrix).write(to: file)
    return try answer(of: "svd_peers.py", by: python, [file.path] + arguments, threads: Threads.count)
  }

  private static func npy(_ matrix: Tensor) -> Data {
    var header = "{'descr': '<f4', 'fortran_order': False, 'shape': (\(matrix.shape[0]), \(matrix.shape[1])), }"
    header += String(repeating: " ", count: 64 - (10 + header.utf8.count + 1) % 64) + "\n"
    var data = Data([0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(header.utf8.count), 0]) + Data(header.utf8)
    matrix.withUnsafeBufferPointer { data.append(contentsOf: UnsafeRawBufferPointer($0)) }
    return data
  }
}
