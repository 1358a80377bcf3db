import Foundation
import LoRATensors
import Testing

@Suite("Tensors")
struct TensorTests {
  let a = Tensor(shape: [2, 3], scalars: [1, 2, 3, 4, 5, 6])

  @Test("a product of matrices is the sum over the shared axis")
  func matmul() {
    // [1 2 3; 4 5 6] · [1 0; 2 1; 0 3] = [5 11; 14 23]
    let b = Tensor(shape: [3, 2], scalars: [1, 0, 2, 1, 0, 3])
    #expect(a.matmul(b).scalars == [5, 11, 14, 23])
    #expect(a.matmul(b.transposed(), transposeOther: true).scalars == [5, 11, 14, 23])
    #expect(a.transposed().matmul(b, transposeSelf: true).scalars == [5, 11, 14, 23])
    #expect(
      a.transposed().matmul(b.transposed(), transposeSelf: true, transposeOther: true).scalars == [5, 11, 14, 23])
  }

  @Test("a batched product is the product of each pair")
  func batchedMatmul() {
    var generator = SeededGenerator(seed: 1)
    let x = Tensor.normal([3, 4, 5], using: &generator)
    let y = Tensor.normal([3, 5, 2], using: &generator)
    let product = x.matmul(y)
    #expect(product.shape == [3, 4, 2])
    for i in 0..<3 {
      let one = x.sliced(axis: 0, i..<i + 1).reshaped([4, 5]).matmul(y.sliced(axis: 0, i..<i + 1).reshaped([5, 2]))
      let found = product.sliced(axis: 0, i..<i + 1).reshaped([4, 2])
      #expect((one - found).norm < 1e-5)
    }
  }

  @Test("operands broadcast from the last axis")
  func broadcasting() {
    #expect((a + Tensor([10, 20, 30])).scalars == [11, 22, 33, 14, 25, 36])
    #expect((a * Tensor(shape: [2, 1], scalars: [1, -1])).scalars == [1, 2, 3, -4, -5, -6])
    let outer = Tensor(shape: [2, 1], scalars: [1, 2]) + Tensor(shape: [1, 2], scalars: [10, 20])
    #expect(outer.shape == [2, 2])
    #expect(outer.scalars == [11, 21, 12, 22])
    #expect((1 - a).scalars == [0, -1, -2, -3, -4, -5])
  }

  @Test("reductions run over the asked axis")
  func reductions() {
    #expect(a.sum().item == 21)
    #expect(a.sum(axis: 0).scalars == [5, 7, 9])
    #expect(a.mean(axis: 1, keepingAxis: true).shape == [2, 1])
    #expect(a.max(axis: -1).scalars == [3, 6])
    #expect(Tensor(shape: [2, 3], scalars: [1, 5, 5, 9, 2, 3]).argmaxRows() == [1, 0])
  }

  @Test("moving elements keeps them all")
  func moving() {
    #expect(a.transposed().scalars == [1, 4, 2, 5, 3, 6])
    #expect(a.sliced(axis: 1, 1..<3).scalars == [2, 3, 5, 6])
    #expect(Tensor.concatenated([a, a * 10], axis: 1).scalars == [1, 2, 3, 10, 20, 30, 4, 5, 6, 40, 50, 60])
    #expect(a.rows(at: [1, 0, 1]).scalars == [4, 5, 6, 1, 2, 3, 4, 5, 6])
    let x = Tensor(shape: [2, 3, 4], scalars: (0..<24).map(Float.init))
    #expect(x.permuted([2, 0, 1])[3, 1, 2] == x[1, 2, 3])
  }

  @Test("the loss of uniform logits is the logarithm of the number of classes, whatever is ignored")
  func crossEntropy() {
    #expect(abs(Tensor.zeros([3, 10]).crossEntropy([1, 2, 3]).item - log(10)) < 1e-6)
    #expect(abs(Tensor.zeros([3, 10]).crossEntropy([1, -100, 3]).item - log(10)) < 1e-6)
    #expect(Tensor.zeros([2, 10]).crossEntropy([-100, -100]).item == 0)
  }

  @Test("softmax survives large logits")
  func softmax() {
    let y = Tensor(shape: [1, 3], scalars: [1e4, 1e4, -1e4]).softmax()
    #expect(y.scalars == [0.5, 0.5, 0])
    #expect(Tensor(shape: [1, 2], scalars: [1e4, 0]).logSoftmax().scalars == [0, -1e4])
  }

  @Test("dropout keeps the expectation and about the asked share")
  func dropout() {
    var generator = SeededGenerator(seed: 9)
    let y = Tensor.ones([100, 100]).dropout(0.3, using: &generator)
    let zeros = y.scalars.count { $0 == 0 }
    // 10,000 draws of probability 0.3: deviation 46.
    #expect(abs(zeros - 3000) < 250)
    #expect(Set(y.scalars).count == 2)
    #expect(abs(y.mean().item - 1) < 0.05)
  }

  @Test("the same seed gives the same numbers, and they are spread as asked")
  func random() {
    var first = SeededGenerator(seed: 42)
    var second = SeededGenerator(seed: 42)
    let x = Tensor.normal([101, 99], mean: 2, deviation: 3, using: &first)
    #expect(x.isIdentical(to: Tensor.normal([101, 99], mean: 2, deviation: 3, using: &second)))
    // 9,999 draws: the mean deviates by 0.03, the deviation by 0.02.
    #expect(abs(x.mean().item - 2) < 0.15)
    #expect(abs((x - 2).squared().mean().item.squareRoot() - 3) < 0.1)
    let u = Tensor.kaimingUniform([50, 16], using: &first)
    #expect(u.scalars.allSatisfy { abs($0) <= 0.25 })
    #expect(u.scalars.contains { abs($0) > 0.24 })
  }

  @Test("xoshiro256** gives the published numbers")
  func generator() {
    // The first outputs for a state made by SplitMix64 from seed 0, as in rand_xoshiro's test of seed_from_u64(0).
    var generator = SeededGenerator(seed: 0)
    #expect(
      (0..<3).map { _ in generator.next() } == [
        11_091_344_671_253_066_420, 13_793_997_310_169_335_082, 1_900_383_378_846_508_768,
      ])
  }

  @Test("a tensor is a value: an update of one leaves the other")
  func valueSemantics() {
    var x = Tensor([1, 2, 3])
    let y = x
    x.updateInPlace { $0[0] = 9 }
    #expect(x.scalars == [9, 2, 3])
    #expect(y.scalars == [1, 2, 3])
  }

  @Test("an operation with a NaN is not finite")
  func finiteness() {
    #expect(a.isFinite)
    #expect(!(a / 0).isFinite)
    #expect(!Tensor([1, .nan]).isFinite)
  }
}
