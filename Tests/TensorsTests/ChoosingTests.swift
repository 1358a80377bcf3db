import Foundation
import LoRATensors
import Testing

@Suite("Choosing, comparing, printing")
struct ChoosingTests {
  let a = Tensor([[1, 5, 3], [4, 2, 6]])

  @Test("comparisons give ones and zeros and broadcast; NaN compares with nothing")
  func comparisons() {
    #expect((a .< 4).scalars == [1, 0, 1, 0, 1, 0])
    #expect((a .<= 4).scalars == [1, 0, 1, 1, 1, 0])
    #expect((a .> Tensor([3, 3, 3])).scalars == [0, 1, 0, 1, 0, 1])
    #expect((a .>= Tensor([[3], [4]])).scalars == [0, 1, 1, 1, 0, 1])
    #expect((a .== 5).scalars == [0, 1, 0, 0, 0, 0])
    #expect((Tensor([.nan, 1]) .!= 1).scalars == [1, 0])
    #expect((Tensor([.nan, 1]) .>= .nan).scalars == [0, 0])
  }

  @Test("where chooses, whatever the element that is not chosen is")
  func choosing() {
    #expect(Tensor.where(a .> 3, a, -a).scalars == [-1, 5, -3, 4, -2, 6])
    #expect(Tensor.where(Tensor([1, 0]), Tensor([3, .nan]), Tensor(2)).scalars == [3, 2])
    let (value, gradients) = valueAndGradients(at: [Tensor([3, .infinity]), Tensor([.nan, 2])]) {
      (Tensor.where(Tensor([1, 0]), $0[0], $0[1]) * 5).sum()
    }
    #expect(value.item == 25 && gradients[0].scalars == [5, 0] && gradients[1].scalars == [0, 5])
  }

  @Test("bounds hold on both sides or one; on a bound the gradient passes")
  func clamping() {
    #expect(a.clamped(to: 2...4).scalars == [2, 4, 3, 4, 2, 4])
    #expect(a.clamped(to: 3...).scalars == [3, 5, 3, 4, 3, 6])
    #expect(a.clamped(to: ...3).scalars == [1, 3, 3, 3, 2, 3])
    let (_, gradients) = valueAndGradients(at: [a]) { ($0[0].clamped(to: 2...5) * 2).sum() }
    #expect(gradients[0].scalars == [0, 2, 2, 2, 2, 0])
  }

  @Test("powers: of negative bases with whole exponents, of zero, and their edges in gradients")
  func powers() {
    #expect(Tensor([-2, 3, 0]).pow(3).scalars == [-8, 27, 0])
    #expect(Tensor([-2, 3, 0]).pow(2).scalars == [4, 9, 0])
    #expect(Tensor([4, 9]).pow(-0.5).scalars == [0.5, 1 / Float(3)])
    #expect(Tensor([-2]).pow(0.5).scalars[0].isNaN)
    let (_, gradients) = valueAndGradients(at: [Tensor([0, 0]), Tensor([0, 2])]) { $0[0].pow($0[1]).sum() }
    #expect(gradients[0].scalars == [0, 0] && gradients[1].scalars == [0, 0])
  }

  @Test("the smaller of two: NaN wins, ties share the gradient")
  func minimum() {
    #expect(a.minimum(Tensor([2, 2, 7])).scalars == [1, 2, 3, 2, 2, 6])
    #expect(Tensor([.nan, 1]).minimum(Tensor([1, .nan])).scalars.allSatisfy { $0.isNaN })
    let (_, gradients) = valueAndGradients(at: [Tensor([1, 2]), Tensor([1, 3])]) { $0[0].minimum($0[1]).sum() }
    #expect(gradients[0].scalars == [0.5, 1] && gradients[1].scalars == [0.5, 0])
    #expect(a.min(axis: 0).scalars == [1, 2, 3] && a.min(axis: -1, keepingAxis: true).shape == [2, 1])
  }

  @Test("an axis of length −1 takes what the others leave")
  func reshaping() {
    #expect(a.reshaped([-1]).shape == [6] && a.reshaped([3, -1]).shape == [3, 2])
    #expect(a.reshaped([1, -1, 2]).shape == [1, 3, 2] && a.reshaped([6, -1]).shape == [6, 1])
  }

  @Test("stacking makes a new axis anywhere")
  func stacking() {
    #expect(Tensor.stacked([Tensor(1), Tensor(2)]).scalars == [1, 2])
    #expect(Tensor.stacked([Tensor([1, 2]), Tensor([3, 4])], axis: -1) == Tensor([[1, 3], [2, 4]]))
    #expect(Tensor.stacked([a, a, a, a], axis: 1).shape == [2, 4, 3])
  }

  @Test("gathering takes an element of each row, or several")
  func gathering() {
    #expect(a.gathered(axis: 1, at: [2, 0]) == Tensor([[3], [4]]))
    #expect(a.gathered(axis: -1, at: [2, 2, 0, 1]) == Tensor([[3, 3], [4, 2]]))
    #expect(a.gathered(axis: 0, at: [1, 0, 1]) == Tensor([[4, 5, 6]]))
  }

  @Test("a variance is that of the sample or of the elements themselves")
  func variance() {
    // Deviations of 1, 5, 3: −2, 2, 0; of 4, 2, 6: 0, −2, 2.
    #expect(a.variance(axis: 1).scalars == [4, 4])
    #expect(a.variance(axis: 1, keepingAxis: true, correction: 0).shape == [2, 1])
    #expect(a.variance(correction: 0).item == 35 / Float(12))
  }

  @Test("literals of two and three levels say the shape")
  func literals() {
    #expect(Tensor([[1, 2], [3, 4], [5, 6]]).shape == [3, 2])
    let x = Tensor([[[1, 2, 3]], [[4, 5, 6]]])
    #expect(x.shape == [2, 1, 3] && x.scalars == [1, 2, 3, 4, 5, 6])
    #expect(Tensor([]).shape == [0])
    let rows: [[Float]] = (0..<2).map { [Float($0), 1] }
    #expect(Tensor(rows) == Tensor([[0, 1], [1, 1]]))
  }

  @Test("equality is that of numbers, closeness relative to the largest")
  func equality() {
    #expect(a == a + 0 && a != a + 1 && a != a.transposed() && a != a.reshaped([6]))
    #expect(Tensor([0, 1]) == Tensor([-0.0, 1]) && Tensor([.nan]) != Tensor([.nan]))
    #expect(!Tensor([0.0]).isIdentical(to: Tensor([-0.0])))
    #expect(a.isClose(to: a * 1.0001) && !a.isClose(to: a * 1.001))
    #expect(a.isClose(to: a * 1.001, tolerance: 0.01) && !a.isClose(to: a.reshaped([3, 2])))
    // A small element may differ by a share of the largest.
    #expect(Tensor([100, 0]).isClose(to: Tensor([100, 0.01])) && !Tensor([1, 0]).isClose(to: Tensor([1, 0.01])))
    #expect(!Tensor([0]).isClose(to: Tensor([1e-6])))
    #expect(Tensor([0]).isClose(to: Tensor([1e-6]), absoluteTolerance: 1e-5))
    #expect(Tensor([.infinity, 1]).isClose(to: Tensor([.infinity, 1])))
    #expect(!Tensor([.infinity, 1]).isClose(to: Tensor([-.infinity, 1])))
    #expect(!Tensor([.infinity, 1]).isClose(to: Tensor([1, 1])))
    #expect(!Tensor([.nan]).isClose(to: Tensor([.nan])))
  }

  @Test("a description shows shape and elements in lines that stand below each other")
  func description() {
    #expect("\(Tensor(2.5))" == "Tensor []\n2.5000")
    #expect("\(Tensor([1, 2, -10]))" == "Tensor [3]\n[  1,   2, -10]")
    #expect(
      "\(Tensor([[0.5, -1], [100, .infinity]]))" == "Tensor [2, 2]\n[[  0.5000,  -1.0000],\n [100.0000,      inf]]")
    #expect(
      "\(Tensor([[[1, 2], [3, 4]], [[5, 6], [7, 8]]]))"
        == "Tensor [2, 2, 2]\n[[[1, 2],\n  [3, 4]],\n\n [[5, 6],\n  [7, 8]]]")
    #expect("\(Tensor([1e-6, 0.01]))" == "Tensor [2]\n[1.0000e-06, 1.0000e-02]")
    #expect("\(Tensor((0..<1000).map { Float($0) }))" == "Tensor [1000]\n[  0,   1,   2, …, 997, 998, 999]")
    #expect("\(Tensor.zeros([2, 0]))" == "Tensor [2, 0]\n[[],\n []]")
  }
}

@Suite("Derivatives of one's own")
struct CustomTests {
  /// y = ∛x, dx = dy / (3 y²), as in the documentation.
  private func cubeRoot(_ x: Tensor, slope: Float = 3) -> Tensor {
    let y = Tensor(shape: x.shape, scalars: x.scalars.map { cbrt($0) })
    return .custom([x], value: y) { dy in [dy / (slope * y.squared())] }
  }

  @Test("a derivative from outside is right by finite differences, and a wrong one is found")
  func checked() {
    let x = Tensor([[0.5, -1, 2], [3, -0.7, 1.1]])
    #expect(GradientCheck(at: [x]) { cubeRoot($0[0]) }.largestDeviation < 2e-3)
    #expect(GradientCheck(at: [x]) { cubeRoot($0[0], slope: 2.9) }.largestDeviation > 5e-3)
    #expect(GradientCheck(at: [x]) { inputs in cubeRoot(inputs[0]) * .nan }.largestDeviation == .infinity)
  }

  @Test("it takes part in a graph: what comes before and after, and inputs used twice")
  func inGraph() {
    // f = Σ (∛(x²))·x = Σ x^(5/3), f′ = 5/3 x^(2/3)
    let (value, gradients) = valueAndGradients(at: [Tensor([8, 1])]) { (cubeRoot($0[0].squared()) * $0[0]).sum() }
    #expect(abs(value.item - 33) < 1e-5)
    #expect(gradients[0].isClose(to: Tensor([20 / Float(3), 5 / Float(3)]), tolerance: 1e-6))
  }

  @Test("nothing is recorded without need, and a value's own history does not count")
  func recording() {
    #expect(!cubeRoot(Tensor([8])).isTracked)
    let (_, gradients) = valueAndGradients(at: [Tensor([2]), Tensor([3])]) { inputs in
      // The product's own derivatives are dropped; nil is zero.
      Tensor.custom(inputs, value: inputs[0] * inputs[1]) { dy in [dy * 10, nil] }.sum()
    }
    #expect(gradients[0].scalars == [10] && gradients[1].scalars == [0])
  }

  @Test("the derivative is called once for all inputs")
  func once() {
    var calls = 0
    _ = valueAndGradients(at: [Tensor([2]), Tensor([3])]) { inputs in
      Tensor.custom(inputs, value: Tensor([1])) { dy in
        calls += 1
        return [dy, dy]
      }.sum()
    }
    #expect(calls == 1)
  }

  @Test("a graph with one is let go with its value")
  func released() {
    weak var node: Node?
    do {
      let leaf = Tensor([1, 2, 3]).asLeaf
      let value = cubeRoot(leaf).sum()
      node = value.node
      #expect(node != nil)
    }
    #expect(node == nil)
  }

  @Test("whether a gradient is being computed is known within, and over when it is over")
  func computing() async {
    #expect(!Tensor.isComputingGradient)
    var (within, back) = (false, false)
    var task: Task<Bool, Never>?
    let (started, goOn) = AsyncStream.makeStream(of: Void.self)
    _ = valueAndGradients(at: [Tensor([2])]) { inputs in
      within = Tensor.isComputingGradient
      // What a task inherits ends with the gradient.
      task = Task {
        for await _ in started { break }
        return Tensor.isComputingGradient
      }
      return Tensor.custom(inputs, value: Tensor([1])) { dy in
        back = Tensor.isComputingGradient
        return [dy]
      }.sum()
    }
    #expect(within && back && !Tensor.isComputingGradient)
    goOn.finish()
    #expect(await task?.value == false)
  }
}

@Suite("Losses")
struct LossTests {
  @Test("losses by hand")
  func byHand() {
    let (x, y) = (Tensor([[1, 2], [3, 5]]), Tensor([[1, 4], [0, 5]]))
    #expect(x.meanSquaredError(y).item == 13 / Float(4))
    #expect(x.meanAbsoluteError(y).item == 5 / Float(4))
    // ln 2 at logits of 0, whatever the target.
    #expect(abs(Tensor.zeros([2, 2]).binaryCrossEntropy(Tensor([[0, 1], [0.3, 1]])).item - log(2)) < 1e-7)
    // p = (¼, ¾), q = (½, ½): ¼ ln ½ + ¾ ln 3⁄2
    let q = Tensor.zeros([1, 2]).logSoftmax()
    let expected = Float(0.25 * log(0.5) + 0.75 * log(1.5))
    #expect(abs(q.klDivergence(from: Tensor([[0.25, 0.75]])).item - expected) < 1e-7)
    #expect(abs(q.klDivergence(from: Tensor([[0, 1]])).item - Float(log(2.0))) < 1e-7)
  }

  @Test("sure logits lose neither digits nor finiteness")
  func extremes() {
    // Σ over x = ±200 and ±20 with the right and the wrong target, in double precision.
    #expect(Tensor([200, -200]).binaryCrossEntropy(Tensor([1, 0])).item == 0)
    #expect(Tensor([200, -200]).binaryCrossEntropy(Tensor([0, 1])).item == 200)
    let sure = Tensor([20]).binaryCrossEntropy(Tensor([1])).item
    #expect(abs(sure - Float(log1p(exp(-20.0)))) < 1e-6 * sure)
    let (_, gradients) = valueAndGradients(at: [Tensor([1000, -1000])]) { $0[0].binaryCrossEntropy(Tensor([0, 0])) }
    #expect(gradients[0].scalars == [0.5, 0])
  }
}
