import LoRACKernels
import LoRATensors
import Testing

@Suite("Products of bytes")
struct ByteProductTests {
  private func random(_ shape: [Int], _ seed: UInt64) -> Tensor {
    var random = SeededGenerator(seed: seed)
    return Tensor.normal(shape, using: &random)
  }

  private final class Codes {
    let start: UnsafeMutableRawPointer
    init(bytes: Int) { start = .allocate(byteCount: bytes, alignment: 64) }
    deinit { start.deallocate() }
  }

  /// A random matrix in ggml's blocks.
  private func blocks(_ encoding: Int, _ rows: Int, _ columns: Int, seed: UInt64) -> Tensor {
    let numbers = random([rows, columns], seed)
    let bytes = rows * columns / ck_block_count(Int32(encoding)) * ck_block_bytes(Int32(encoding))
    let codes = Codes(bytes: bytes)
    ck_encode_blocks(Int32(encoding), numbers.pointer, codes.start, rows * columns)
    var matrix = ck_encoded()
    (matrix.encoding, matrix.rows, matrix.columns) = (Int32(encoding), rows, columns)
    matrix.codes = UnsafeRawPointer(codes.start)
    return Tensor(EncodedMatrix(matrix, byteCount: bytes, owners: [codes]))
  }

  /// Of each 32 numbers the largest magnitude becomes 127.
  private func rounded(_ x: Tensor) -> Tensor {
    var scalars = x.scalars
    for start in stride(from: 0, to: scalars.count, by: 32) {
      let largest = scalars[start..<start + 32].map(abs).max()!
      for i in start..<start + 32 {
        scalars[i] = (scalars[i] * (127 / largest)).rounded(.toNearestOrEven) * (largest / 127)
      }
    }
    return Tensor(shape: x.shape, scalars: scalars)
  }

  @Test(
    "a linear map by blocks in bytes is the exact map of the rounded input, at any number of threads; its gradient is the exact map's",
    arguments: [
      (CK_Q8_0, 1), (CK_Q8_0, 40), (CK_Q4_0, 1), (CK_Q4_0, 9), (CK_Q4_1, 3), (CK_Q5_0, 2), (CK_Q5_1, 70), (CK_Q4_K, 1),
      (CK_Q4_K, 20), (CK_Q5_K, 5), (CK_Q6_K, 1), (CK_Q6_K, 33),
    ])
  func linear(encoding: Int, rows: Int) {
    let inputs = ck_block_count(Int32(encoding)) == 256 ? 768 : 352
    let weight = blocks(encoding, 133, inputs, seed: 1)
    let x = random([rows, inputs], 2)
    #expect(weight.isInBlocks && !x.isInBlocks)
    let y = withEveryThreadCount { x.linear(weight.inBytes).scalars }
    let expected = rounded(x).linear(weight.widened).scalars
    for (found, wanted) in zip(y, expected) { #expect(abs(found - wanted) < 1e-4) }
    // Rounding costs about 1/(254 √3) of the largest of 32 numbers, which is about 2.
    let exact = x.linear(weight.widened)
    let error = (Tensor(shape: exact.shape, scalars: y) - exact).norm / exact.norm
    #expect(error > 1e-4 && error < 0.01)
    // A row's bits are those that it has alone.
    let last = x.sliced(axis: 0, rows - 1..<rows).linear(weight.inBytes).scalars
    #expect(last == Array(y.suffix(133)))

    let (_, gradients) = valueAndGradients(at: [x]) { $0[0].linear(weight.inBytes).sum() }
    let slopes = Tensor.ones([rows, 133]).matmul(weight.widened)
    #expect((gradients[0] - slopes).norm < 1e-5 * slopes.norm)
  }

  @Test("what lies in no blocks of bytes stays as it is: float32, bfloat16, Q2_K")
  func others() {
    let x = random([2, 64], 3)
    #expect(x.inBytes.isShared(with: x))
    #expect(!x.inBFloat16.isInBlocks)
    #expect(!ck_multiplies_bytes(Int32(CK_Q2_K)) && !ck_multiplies_bytes(Int32(CK_F16)))
  }

  @Test("several weights at once give the bits of each alone", arguments: [1, 2, 5, 40])
  func together(rows: Int) {
    let x = random([rows, 320], 4)
    let exact = [random([300, 320], 5), random([70, 320], 6), random([1, 320], 7)]
    let halves = exact.map(\.inBFloat16)
    let encoded = [CK_Q8_0, CK_Q4_0, CK_Q5_1].enumerated().map { blocks($1, 90 + $0, 320, seed: UInt64(8 + $0)) }
    for weights in [exact, halves, encoded, encoded.map(\.inBytes), [exact[0], halves[1], encoded[2].inBytes]] {
      _ = withEveryThreadCount { x.products(weights).flatMap(\.scalars) }
      for (found, weight) in zip(x.products(weights), weights) { #expect(found.isIdentical(to: x.linear(weight))) }
    }
  }
}
