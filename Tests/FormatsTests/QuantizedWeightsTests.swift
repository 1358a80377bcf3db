import Foundation
import LoRAFiles
import LoRAFormats
import LoRATensors
import TestSupport
import Testing

// Quantised weights against what each format's own library makes of them (Tests/Fixtures/quantized/make.py).

private let folder = fixtures.appendingPathComponent("quantized")

@Suite("Quantised weights") struct QuantizedWeightsTests {
  private static let expected = try! SafetensorsFile(folder.appendingPathComponent("expected.safetensors"))

  private func expectSame(_ stored: StoredTensor, _ name: String) throws {
    let expected = try #require(Self.expected[name]).tensor()
    #expect(stored.shape == expected.shape, "\(name)")
    #expect(try stored.tensor().isIdentical(to: expected), "\(name)")
    // Kept encoded, the rows are the same; and so is a part that begins and ends within rows.
    let kept = try stored.sharedTensor()
    #expect(kept.rows(at: [1, 0, 1]).isIdentical(to: expected.rows(at: [1, 0, 1])), "\(name)")
    let range = 1..<expected.count - 2
    let part = Tensor(shape: [range.count]) { stored.read(range, into: $0) }
    #expect(part.scalars == Array(expected.scalars[range]), "\(name)")
    #expect(kept.byteCount < expected.byteCount)
  }

  @Test(
    "ggml's blocks are decoded bit for bit",
    arguments: ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "F16"])
  func blocks(name: String) throws {
    let file = try GGUFFile(folder.appendingPathComponent("blocks.gguf"))
    let tensor = try #require(file["blk.0.\(name)"])
    #expect(tensor.format.rawValue == name)
    try expectSame(tensor, "blocks/\(name)")
  }

  @Test(
    "bitsandbytes' 4 bits, nested too, and its bytes are decoded bit for bit",
    arguments: ["nf4", "nested", "fp4", "int8"])
  func bitsandbytes(name: String) throws {
    let checkpoint = try Checkpoint(folder.appendingPathComponent("bitsandbytes.safetensors"))
    #expect(checkpoint.tensors.map(\.name).sorted() == ["fp4.weight", "int8.weight", "nested.weight", "nf4.weight"])
    try expectSame(try #require(checkpoint["\(name).weight"]), "bitsandbytes/\(name)")
  }

  @Test("mlx's 4 and 8 bits are decoded bit for bit", arguments: ["four", "eight"])
  func mlx(name: String) throws {
    let checkpoint = try Checkpoint(folder.appendingPathComponent("mlx"))
    try expectSame(try #require(checkpoint["\(name).weight"]), "mlx/\(name)")
  }

  @Test("GPTQ of both versions, its groups in any order, and AWQ are decoded", arguments: ["gptq", "gptq-v2", "awq"])
  func packed(name: String) throws {
    let checkpoint = try Checkpoint(folder.appendingPathComponent(name))
    #expect(checkpoint.tensors.map(\.name) == ["l.weight"])
    #expect(checkpoint.peculiarity == nil)
    try expectSame(try #require(checkpoint["l.weight"]), "\(name)/l")
  }

  @Test(
    "blocks of 32 are written bit for bit as ggml writes them", arguments: [NumberFormat.q80, .q40, .q41, .q50, .q51])
  func encoding(format: NumberFormat) throws {
    let file = try SafetensorsFile(folder.appendingPathComponent("encodings.safetensors"))
    let numbers = try #require(file["numbers"]).tensor()
    let written = try StoredTensor(name: "x", numbers, as: format)
    let expected = try #require(file[format.rawValue])
    #expect(written.withBytes { Array($0) } == expected.withBytes { Array($0) })
  }

  @Test(
    "blocks of 256 keep more than those of 32 with as many bits",
    arguments: [(NumberFormat.q4K, NumberFormat.q41, 0.075), (.q5K, .q51, 0.038), (.q6K, .q51, 0.019)])
  func search(format: NumberFormat, plain: NumberFormat, limit: Double) throws {
    var generator = SeededGenerator(seed: 3)
    let x = Tensor.normal([7, 512], using: &generator)
    func error(_ format: NumberFormat) throws -> Double {
      (try StoredTensor(name: "x", x, as: format).tensor() - x).norm / x.norm
    }
    let (found, other) = (try error(format), try error(plain))
    #expect(found < other && found < limit, "\(found), \(other)")
    // Zeros, one sign alone, and one large number among small ones.
    for special in [x * 0, x.clamped(to: 0...), x.clamped(to: ...0), x * 1e-4 + (x .> 2.5)] {
      let decoded = try StoredTensor(name: "x", special, as: format).tensor()
      #expect(decoded.isFinite && (decoded - special).norm <= 0.1 * special.norm)
    }
  }

  @Test("a scale beyond float16 is an error, not infinity")
  func overflow() {
    #expect(throws: CheckpointError.self) {
      try StoredTensor(name: "x", Tensor.full([2, 256], 3e7), as: .q40)
    }
  }

  @Test(
    "products with weights that stay encoded are those with the decoded ones",
    arguments: [NumberFormat.q80, .q4K, .q6K, .f16], [1, 3, 36, 37, 130])
  func products(format: NumberFormat, rows: Int) throws {
    // More rows than a tile has, and no multiple of it.
    let weight = try StoredTensor(name: "w", randomTensor([1100, 256], seed: 1), as: format)
    let (kept, decoded) = (try weight.sharedTensor(), try weight.tensor())
    let x = randomTensor([rows, 256], seed: 2)
    let slope = randomTensor([rows, 1100], seed: 3)
    #expect(relativeDifference(x.linear(kept), x.linear(decoded)) < 3e-6)
    // The gradient of the input.
    #expect(relativeDifference(slope.matmul(kept), slope.matmul(decoded)) < 3e-6)
    // With the weight on the left.
    #expect(relativeDifference(kept.matmul(x, transposeOther: true), decoded.matmul(x, transposeOther: true)) < 3e-6)
    let targets = (0..<rows).map { $0 * 37 % 1100 }
    #expect(
      relativeDifference(x.linearCrossEntropy(kept, targets), x.linearCrossEntropy(decoded, targets)) < 3e-6)
  }
}
