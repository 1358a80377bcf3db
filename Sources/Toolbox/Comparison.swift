// How much two adapters, or two checkpoints, differ.

import Foundation
import LoRAAdapters
import LoRACKernels
import LoRAFiles
import LoRAFormats
import LoRALinearAlgebra
import LoRATensors

/// Two adapters compared module by module.
public struct AdapterComparison: Sendable {
  /// One module that both adapters have.
  public struct Module: Sendable {
    /// The module's path in the first.
    public let path: String
    /// The rank in each.
    public let ranks: (first: Int, second: Int)
    /// ‖s₁B₁A₁‖ and ‖s₂B₂A₂‖.
    public let norms: (first: Double, second: Double)
    /// ‖s₁B₁A₁ − s₂B₂A₂‖ / ‖s₁B₁A₁‖.
    public let relativeDifference: Double
    /// ⟨Δ₁, Δ₂⟩ / (‖Δ₁‖ ‖Δ₂‖).
    public let cosine: Double
    /// The principal angles between the updates' column spaces, in radians, smallest first (Björck and Golub, 1973).
    public let outputAngles: [Double]
    /// The same between their row spaces.
    public let inputAngles: [Double]

    /// The share of the smaller space that lies in the larger: the mean of cos² of the angles.
    public var outputOverlap: Double { Self.overlap(outputAngles) }
    /// The same of their row spaces.
    public var inputOverlap: Double { Self.overlap(inputAngles) }

    private static func overlap(_ angles: [Double]) -> Double {
      angles.isEmpty ? 0 : angles.reduce(0) { $0 + cos($1) * cos($1) } / Double(angles.count)
    }
  }

  /// The modules that both have, in the first's order.
  public let modules: [Module]
  /// The paths of modules that the second has not.
  public let onlyInFirst: [String]
  /// The paths of modules that the first has not.
  public let onlyInSecond: [String]
  /// Weights that replace the base's and differ, or that only one adapter has.
  public let differingReplacements: [String]
  /// Tensors of the modules that both have, beside the updates (DoRA's magnitudes, biases), that differ or that only one
  /// adapter has.
  public let differingParts: [String]

  /// Compares what two adapters do, by their factors: no update is formed.
  ///
  /// - Parameters:
  ///   - first: what the other is compared with.
  ///   - second: the other.
  ///   - progress: called with modules done.
  /// - Throws: `CheckpointError` where an adapter is broken or a module's shapes differ.
  public init(_ first: StoredAdapter, _ second: StoredAdapter, progress: OperationProgress.Handler? = nil) throws {
    for adapter in [first, second] { try adapter.requireWhole(action: "compared") }
    let other = Dictionary(byName: second.modules, \.path)
    let pairs = first.modules.compactMap { module in other[module.path].map { (module, $0) } }
    let shared = Set<ExactString>(names: pairs.map(\.0.path))
    onlyInFirst = first.modules.map(\.path).filter { !shared.contains($0) }
    onlyInSecond = second.modules.map(\.path).filter { !shared.contains($0) }
    let counter = ProgressCounter(total: pairs.count, progress)
    modules = try mapInParallel(pairs) { pair in
      let result = try Self.compare(first, pair.0, second, pair.1)
      try counter.advance(by: 1, pair.0.path)
      return result
    }
    differingReplacements = Self.differing(first.replacements, second.replacements)
    differingParts = Self.differing(pairs.flatMap { $0.0.besideUpdate }, pairs.flatMap { $0.1.besideUpdate })
  }

  /// The names of tensors that differ, or that only one has.
  private static func differing(_ first: [StoredTensor], _ second: [StoredTensor]) -> [String] {
    let left = Dictionary(byName: first, \.name)
    let right = Dictionary(byName: second, \.name)
    return Set(left.keys).union(right.keys).filter { name in
      guard let x = left[name], let y = right[name] else { return true }
      return x.shape != y.shape || (try? x.tensor().isIdentical(to: y.tensor())) != true
    }.map(\.text).sorted(by: isOrdered)
  }

  private static func compare(
    _ firstAdapter: StoredAdapter, _ first: StoredModule, _ secondAdapter: StoredAdapter, _ second: StoredModule
  ) throws -> Module {
    guard first.outputs == second.outputs, first.inputs == second.inputs else {
      throw CheckpointError(
        .mismatch, file: secondAdapter.url.path, "\(first.path): BA is \([second.outputs, second.inputs])",
        expected: "\([first.outputs, first.inputs]), as in the other adapter", advice: "Compare adapters of one base")
    }
    let x = try firstAdapter.update(of: first)
    let y = try secondAdapter.update(of: second)
    let left = try firstAdapter.decomposing(first) { try svd(ofProduct: x.scaledB, x.a) }
    let right = try secondAdapter.decomposing(second) { try svd(ofProduct: y.scaledB, y.a) }
    let difference = try svd(
      ofProduct: .concatenated([x.scaledB, -y.scaledB], axis: 1),
      .concatenated([x.a, y.a], axis: 0)
    ).spectrum.frobeniusNorm
    let (n, m) = (left.spectrum.frobeniusNorm, right.spectrum.frobeniusNorm)
    // ‖Δ₁ − Δ₂‖² = ‖Δ₁‖² + ‖Δ₂‖² − 2⟨Δ₁, Δ₂⟩
    let inner = (n * n + m * m - difference * difference) / 2
    let one = left.truncated(to: left.spectrum.numericalRank)
    let two = right.truncated(to: right.spectrum.numericalRank)
    return Module(
      path: first.path, ranks: (first.rank, second.rank), norms: (n, m),
      relativeDifference: n > 0 ? difference / n : difference > 0 ? .infinity : 0,
      cosine: n > 0 && m > 0 ? max(-1, min(1, inner / (n * m))) : 0,
      outputAngles: try angles(one.u, two.u, transposed: true),
      inputAngles: try angles(one.vTransposed, two.vTransposed, transposed: false))
  }

  /// The angles between two spaces with orthonormal bases, in the columns (transposed) or in the rows.
  private static func angles(_ x: Tensor, _ y: Tensor, transposed: Bool) throws -> [Double] {
    guard x.count > 0, y.count > 0 else { return [] }
    let product = transposed ? x.matmul(y, transposeSelf: true) : x.matmul(y, transposeOther: true)
    return try product.singularValues().map { acos(Double(min(1, $0))) }
  }
}

extension StoredModule {
  /// What it brings beside the update that its factors make, under names that adapters of any format share.
  fileprivate var besideUpdate: [StoredTensor] {
    let parts = Set(method.core.tensors.map(\.part)).subtracting([StoredLoRA.outputBias, StoredDifference.bias])
    return method.tensors.filter { !parts.contains($0.part) }.map { $0.tensor.renamed(path + $0.part.suffix) }
  }
}

/// Two checkpoints compared tensor by tensor.
public struct CheckpointComparison: Sendable {
  /// One tensor that both checkpoints have.
  public struct Tensor: Sendable {
    /// The tensor's name.
    public let name: String
    /// How each stores it.
    public let formats: (first: NumberFormat, second: NumberFormat)
    /// Its shape in each.
    public let shapes: (first: [Int], second: [Int])
    /// Whether all bytes are the same.
    public let isIdentical: Bool
    /// ‖x‖; 0 where shapes differ or the format holds no real numbers.
    public let norm: Double
    /// ‖y − x‖ / ‖x‖; `nil` where they can't be subtracted.
    public let relativeDifference: Double?
    /// The largest |y − x| of an element; 0 where they can't be subtracted.
    public let largestDifference: Double

    /// From what a comparison has found: whether they are identical, the norm, the largest difference and, where there is one,
    /// the relative difference.
    fileprivate init(_ pair: (StoredTensor, StoredTensor), _ figures: [Double]) {
      name = pair.0.name
      formats = (pair.0.format, pair.1.format)
      shapes = (pair.0.shape, pair.1.shape)
      (isIdentical, norm, largestDifference) = (figures[0] == 1, figures[1], figures[2])
      relativeDifference = figures.dropFirst(3).first
    }
  }

  /// The tensors that both have, in the first's order.
  public let tensors: [Tensor]
  /// The names that the second has not.
  public let onlyInFirst: [String]
  /// The names that the first has not.
  public let onlyInSecond: [String]

  /// Reads both checkpoints, tensor by tensor.
  ///
  /// - Parameters:
  ///   - first: what the other is compared with.
  ///   - second: the other.
  ///   - sharing: the processes that share out the tensors. The first one's comparison is of all; another's, of its own.
  ///   - progress: called with bytes done by this process.
  /// - Throws: `CheckpointError` where a file can't be read.
  public init(
    _ first: Checkpoint, _ second: Checkpoint, among sharing: Sharing = .alone,
    progress: OperationProgress.Handler? = nil
  ) throws {
    let pairs = first.tensors.compactMap { tensor in second[tensor.name].map { (tensor, $0) } }
    onlyInFirst = first.tensors.map(\.name).filter { second[$0] == nil }.sorted(by: isOrdered)
    onlyInSecond = second.tensors.map(\.name).filter { first[$0] == nil }.sorted(by: isOrdered)
    let own = sharing.own(pairs.map(\.0.info.byteCount))
    let counter = ProgressCounter(total: own.reduce(0) { $0 + pairs[$1].0.info.byteCount }, progress)
    let found = try mapInParallel(own) { index in
      let (x, y) = pairs[index]
      let result = Self.compare(x, y)
      try counter.advance(by: x.info.byteCount, x.name)
      return result
    }
    let all = try sharing.gather(Dictionary(uniqueKeysWithValues: zip(own, found)))
    tensors = pairs.indices.compactMap { index in all[index].map { Tensor(pairs[index], $0) } }
      .sorted { isOrdered($0.name, $1.name) }
  }

  /// ‖y − x‖² and ‖x‖² over all tensors that can be subtracted.
  public var relativeDifference: Double {
    let sums = tensors.reduce((0.0, 0.0)) { sums, tensor in
      guard let difference = tensor.relativeDifference, tensor.norm > 0 else { return sums }
      return (sums.0 + difference * difference * tensor.norm * tensor.norm, sums.1 + tensor.norm * tensor.norm)
    }
    return sums.1 > 0 ? (sums.0 / sums.1).squareRoot() : 0
  }

  /// The figures of ``Tensor/init(_:_:)``.
  private static func compare(_ x: StoredTensor, _ y: StoredTensor) -> [Double] {
    let isIdentical = x.info == y.info && x.hasSameBytes(as: y)
    guard x.shape == y.shape, x.format.isConvertible, y.format.isConvertible else {
      return isIdentical ? [1, 0, 0, 0] : [0, 0, 0]
    }
    var squares = (x: 0.0, difference: 0.0)
    var largest = 0.0
    let piece = 1 << 18
    for start in stride(from: 0, to: x.count, by: piece) {
      let range = start..<min(start + piece, x.count)
      withScratch(range.count) { left in
        x.read(range, into: left)
        squares.x += ck_sum_of_squares(left.baseAddress!, left.count)
        guard !isIdentical else { return }
        withScratch(range.count) { right in
          y.read(range, into: right)
          ck_accumulate(left.baseAddress!, -1, right.baseAddress!, right.count)
          squares.difference += ck_sum_of_squares(right.baseAddress!, right.count)
          for value in right { largest = max(largest, Double(abs(value))) }
        }
      }
    }
    x.release()
    y.release()
    return [
      isIdentical ? 1 : 0, squares.x.squareRoot(), largest,
      squares.difference == 0 ? 0 : (squares.difference / squares.x).squareRoot(),
    ]
  }
}
