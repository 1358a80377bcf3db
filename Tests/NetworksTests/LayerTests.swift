import LoRANetworks
import LoRATensors
import Testing

private func random(_ shape: [Int], seed: UInt64 = 2) -> Tensor {
  var generator = SeededGenerator(seed: seed)
  return .normal(shape, using: &generator)
}

private func network(seed: UInt64 = 1) -> Sequential {
  var generator = SeededGenerator(seed: seed)
  return Sequential(
    Conv2d(inputs: 2, outputs: 4, kernel: 3, padding: 1, using: &generator), GroupNorm(groups: 2, channels: 4),
    Activation.relu, MaxPool2d(2), Flatten(), Linear(inputs: 4 * 3 * 2, outputs: 5, using: &generator))
}

@Suite("Layers")
struct LayerTests {
  @Test("layers run one after another, and their parameters bear PyTorch's names")
  func sequential() {
    let model = network()
    #expect(
      model.parameters.map(\.name) == ["0.weight", "0.bias", "1.weight", "1.bias", "5.weight", "5.bias"])
    let x = random([3, 2, 6, 4])
    let convolution = model.layers[0] as! Conv2d
    let norm = model.layers[1] as! GroupNorm
    let output = model.layers[5] as! Linear
    let byHand = output(norm(convolution(x)).relu().maxPool2d(2).reshaped([3, -1]))
    #expect(model(x).isIdentical(to: byHand) && byHand.shape == [3, 5])
  }

  @Test(
    "layers of one input, read in one go, give the bits of each alone, with biases and what is attached",
    arguments: [1, 3, 30])
  func together(rows: Int) throws {
    final class Half: LinearParametrization {
      func value(of x: Tensor) -> Tensor { x / 2 }
      func adjust(output: Tensor, input: Tensor, weight: () -> Tensor) -> Tensor { output / 2 }
    }
    final class Symmetric: Parametrization {
      func value(of x: Tensor) -> Tensor { x * x }
    }
    var generator = SeededGenerator(seed: 3)
    let layers = [70, 33, 50].map { Linear(inputs: 96, outputs: $0, bias: $0 != 33, using: &generator) }
    let x = random([rows, 96])
    func expectSame() {
      for (found, layer) in zip(outputs(of: layers, for: x), layers) { #expect(found.isIdentical(to: layer(x))) }
    }
    expectSame()
    try layers[1].weight.parametrize(by: Half())
    expectSame()
    #expect(outputs(of: layers, for: x)[1].norm > 0)
    try layers[2].weight.parametrize(by: Symmetric())
    expectSame()
    Parameter.caching { expectSame() }
  }

  @Test("within another model, a sequence adds its place alone to the path")
  func path() {
    final class Outer: Module { let body = network() }
    #expect(Outer().parameters.map(\.name).first == "body.0.weight")
  }

  @Test("a copy is its own, and computes the same")
  func copy() throws {
    let (model, x) = (network(), random([3, 2, 6, 4]))
    let twin = model.copy()
    #expect(twin(x).isIdentical(to: model(x)))
    try twin.parameters[0].parameter.assign(.zeros([4, 2, 3, 3]))
    #expect(!twin(x).isIdentical(to: model(x)))
  }

  @Test("a convolution starts as PyTorch's does, uniform in ±1/√(inputs · kernel²)")
  func initialization() {
    var generator = SeededGenerator(seed: 1)
    let layer = Conv2d(inputs: 8, outputs: 60, kernel: 3, groups: 2, using: &generator)
    #expect(layer.weight.shape == [60, 4, 3, 3])
    let bound = 1 / Float(4 * 9).squareRoot()
    for values in [layer.weight.original, layer.bias!.original] {
      #expect(values.scalars.allSatisfy { abs($0) <= bound } && values.scalars.contains { abs($0) > 0.9 * bound })
    }
  }

  @Test("group normalisation gives groups of mean 0 and variance 1, image by image")
  func groupNorm() {
    let x = random([3, 6, 4, 5]) * 3 + 2
    let y = GroupNorm(groups: 2, channels: 6)(x).reshaped([6, -1])
    #expect(y.mean(axis: 1).isClose(to: .zeros([6]), absoluteTolerance: 1e-5))
    #expect(y.variance(axis: 1, correction: 0).isClose(to: .ones([6]), tolerance: 1e-4))
    // One image alone has the same: nothing of the batch counts.
    let first = GroupNorm(groups: 2, channels: 6)(x.sliced(axis: 0, 0..<1))
    #expect(first.reshaped([2, -1]).isClose(to: y.sliced(axis: 0, 0..<2), tolerance: 1e-6))
  }

  @Test("dropout as a layer acts while a gradient is computed, and not else")
  func dropout() {
    let (layer, x) = (Dropout(0.5, seed: 1), Tensor.ones([40]))
    #expect(layer(x) == x)
    let (_, gradients) = valueAndGradients(at: [x]) { layer($0[0]).sum() }
    #expect(Set(gradients[0].scalars) == [0, 2])
  }
}

@Suite("Arithmetic on gradients")
struct GradientArithmeticTests {
  private let p = Parameter(Tensor([1, 2]))
  private let q = Parameter(Tensor([[3]]))
  private let r = Parameter(Tensor([7]))
  private var list: [NamedParameter] {
    [("p", p), ("q", q), ("r", r)].map { NamedParameter(name: $0.0, parameter: $0.1) }
  }

  @Test("sums, multiples, norms and products by hand; what is missing is zero")
  func byHand() {
    // ∇(p·p) = 2p = (2, 4); ∇(p₀ + 5q) = (1, 1), 5
    let a = list.valueAndGradients { p.value.squared().sum() }.gradients
    let b = list.valueAndGradients { p.value.sum() + (q.value * 5).sum() }.gradients
    let sum = a + 2 * b
    #expect(sum[p] == Tensor([4, 6]) && sum[q] == Tensor([[10]]) && sum[r] == nil)
    #expect((a - b)[p] == Tensor([1, 3]) && (a - b)[q] == Tensor([[-5]]) && (-b)[q] == Tensor([[-5]]))
    #expect((b / 5)[q] == Tensor([[1]]))
    #expect(a.norm == 20.0.squareRoot() && b.norm == 27.0.squareRoot())
    #expect(a.dot(b) == 6 && a.dot(a) == 20 && Gradients().norm == 0 && Gradients().dot(a) == 0)
    var total = Gradients()
    total += a
    total += b
    total *= 0.5
    total -= a
    #expect(total[p] == Tensor([-0.5, -1.5]) && total[q] == Tensor([[2.5]]))
  }

  @Test("sharpness-aware minimisation is a few lines")
  func sharpnessAware() throws {
    // f = p₀² + 10 p₁² at (1, 2): ∇ = (2, 40). The step up is ρ∇/‖∇‖, and the gradient there that of the moved point.
    func loss() -> Tensor { (p.value.squared() * Tensor([1, 10])).sum() }
    let gradients = list.valueAndGradients(loss).gradients
    let ascent = gradients * Float(0.5 / gradients.norm)
    let before = p.original
    try p.assignOriginal(before + ascent[p]!)
    let there = list.valueAndGradients(loss).gradients
    try p.assignOriginal(before)
    let moved = before + Tensor([2, 40]) * Float(0.5 / 1604.0.squareRoot())
    #expect(there[p]!.isClose(to: moved * Tensor([2, 20]), tolerance: 1e-6))
    #expect(abs(ascent.norm - 0.5) < 1e-6)
  }
}
