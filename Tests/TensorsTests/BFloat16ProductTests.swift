import LoRACKernels
import LoRATensors
import Testing

@Suite("Products in bfloat16")
struct BFloat16ProductTests {
  /// Nearest bfloat16, ties to even.
  private func rounded(_ x: Tensor) -> Tensor {
    Tensor(
      shape: x.shape,
      scalars: x.scalars.map { value in
        let bits = value.bitPattern
        return Float(bitPattern: (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF_0000)
      })
  }

  private func random(_ shape: [Int], _ seed: UInt64) -> Tensor {
    var random = SeededGenerator(seed: seed)
    return Tensor.normal(shape, using: &random)
  }

  @Test(
    "a linear map by a weight in bfloat16 is the map of the rounded input by the rounded weight, and so is its gradient",
    arguments: [(1, 50, 96), (9, 77, 578), (40, 130, 200), (130, 65, 66), (300, 70, 520), (65, 33, 64)])
  func linear(rows: Int, outputs: Int, inputs: Int) {
    let (x, w) = (random([rows, inputs], 1), random([outputs, inputs], 2))
    let halved = w.inBFloat16
    #expect(halved.isBFloat16 && halved.scalars == rounded(w).scalars)
    let y = withEveryThreadCount { x.linear(halved).scalars }
    let expected = rounded(x).linear(rounded(w)).scalars
    let scale = Float(inputs).squareRoot()
    for (found, wanted) in zip(y, expected) { #expect(abs(found - wanted) < 2e-5 * scale) }

    // dx = dy W; few rows are multiplied in float32, which lies within the rounding of dy.
    let dy = random([rows, outputs], 3)
    let (_, gradients) = valueAndGradients(at: [x]) { ($0[0].linear(halved) * dy).sum() }
    let exact = dy.matmul(rounded(w)).scalars
    let tolerance = 0.02 * Float(outputs).squareRoot()
    for (found, wanted) in zip(gradients[0].scalars, exact) { #expect(abs(found - wanted) < tolerance) }
    if rows > 64 && outputs % 2 == 0 && outputs >= 64 {
      let same = rounded(dy).matmul(rounded(w)).scalars
      for (found, wanted) in zip(gradients[0].scalars, same) {
        #expect(abs(found - wanted) < 2e-5 * Float(outputs).squareRoot())
      }
    }
  }

  @Test("what is no pair, or not along k, is widened: odd depths, batches, transposed inputs")
  func others() {
    let x = random([70, 65], 4)
    let w = random([30, 65], 5)
    let widened = x.linear(rounded(w)).scalars
    #expect(zip(x.linear(w.inBFloat16).scalars, widened).allSatisfy { abs($0 - $1) < 1e-4 })
    let b = random([65, 66], 6)
    let product = x.matmul(b.inBFloat16).scalars
    #expect(zip(product, x.matmul(rounded(b)).scalars).allSatisfy { abs($0 - $1) < 1e-4 })
  }

  @Test("the gradients of attention in bfloat16 are float32's within rounding, by any number of threads")
  func attention() {
    let packing = Packing(lengths: [40, 129])
    let inputs = (8..<11).map { random([169, 2, 32], $0) }
    func gradients(_ precision: Precision) -> [Float] {
      var rule = AttentionRule(isCausal: true)
      rule.precision = precision
      let dy = random([169, 2, 32], 11)
      let (_, gradients) = valueAndGradients(at: inputs) { x in
        (Tensor.attention(query: x[0], key: x[1], value: x[2], queries: packing, rule: rule) * dy).sum()
      }
      return gradients.flatMap(\.scalars)
    }
    let exact = gradients(.float32)
    let rounded = withEveryThreadCount { gradients(.bfloat16) }
    #expect(rounded != exact)
    #expect(zip(rounded, exact).allSatisfy { abs($0 - $1) < 0.05 })
  }

  @Test("infinities and NaN stay what they are")
  func special() {
    var elements = random([70, 64], 7).scalars
    elements[5 * 64 + 3] = .infinity
    elements[9 * 64 + 60] = .nan
    elements[11 * 64 + 1] = 3.4e38  // rounds to infinity
    let y = Tensor(shape: [70, 64], scalars: elements).linear(Tensor.ones([64, 64]).inBFloat16)
    #expect(y[5, 0] == .infinity && y[9, 63].isNaN && y[11, 20] == .infinity && y[0, 0].isFinite)
  }
}
