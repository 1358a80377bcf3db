import LoRALinearAlgebra
import LoRATensors
import Testing

@Suite("Sketching")
struct SketchingTests {
  @Test("Cholesky's way gives an orthonormal Q, and what it takes off is upper triangular", arguments: [1, 5, 40])
  func choleskyQR(_ columns: Int) throws {
    var generator = SeededGenerator(seed: 1)
    // Columns of lengths from 1 to 40, and a common part.
    let scales = Tensor((1...columns).map(Float.init))
    let x = Tensor.normal([70, columns], using: &generator) * scales + Tensor.normal([70, 1], using: &generator)
    let (q, diagonal) = try #require(x.choleskyQR())
    #expect((q.matmul(q, transposeSelf: true) - .identity(columns)).norm < 1e-5)
    let r = q.matmul(x, transposeSelf: true)
    for i in 0..<columns {
      #expect(abs(r[i, i] - diagonal[i]) < 1e-4 * diagonal[i])
      for j in 0..<i { #expect(abs(r[i, j]) < 1e-3) }
    }
  }

  @Test("It refuses what float32 can't do: dependent columns, and squares that vanish or overflow")
  func refusal() {
    var generator = SeededGenerator(seed: 2)
    let x = Tensor.normal([30, 4], using: &generator)
    #expect(Tensor.concatenated([x, x.sliced(axis: 1, 0..<1)], axis: 1).choleskyQR() == nil)
    #expect((x * 1e-20).choleskyQR() == nil)
    #expect((x * 1e20).choleskyQR() == nil)
    #expect(Tensor.zeros([30, 4]).choleskyQR() == nil)
  }

  @Test("The fast normal numbers have mean 0, variance 1, fourth moment 3, and the same seed gives the same")
  func gaussian() {
    var (first, second) = (SeededGenerator(seed: 3), SeededGenerator(seed: 3))
    // 40,001 numbers: the mean deviates by 0.005, the variance by 0.007, the fourth moment by 0.05.
    let x = Tensor.gaussian([40_001], using: &first)
    #expect(abs(x.mean().item) < 0.03)
    #expect(abs(x.squared().mean().item - 1) < 0.04)
    #expect(abs(x.squared().squared().mean().item - 3) < 0.3)
    #expect(x.isIdentical(to: .gaussian([40_001], using: &second)))
  }
}
