import LoRAAdapters
import LoRANetworks
import LoRATensors
import Testing

@Suite("LoRA on a convolution")
struct ConvolutionAdapterTests {
  private let layer: Conv2d
  private let adapter: LoRA
  private let x: Tensor

  init() {
    var generator = SeededGenerator(seed: 3)
    layer = Conv2d(inputs: 4, outputs: 6, kernel: 3, stride: 2, padding: 1, groups: 2, using: &generator)
    adapter = LoRA(rank: 3, alpha: 5, for: layer.weight, using: &generator)
    x = .normal([2, 4, 7, 5], using: &generator)
  }

  @Test("the layer sees W + (α/r) B A: a convolution to `rank` channels and one of 1 × 1 beside the layer's own")
  func value() throws {
    var generator = SeededGenerator(seed: 4)
    let plain = Conv2d(inputs: 4, outputs: 6, kernel: 3, stride: 2, padding: 1, using: &generator)
    let lora = LoRA(rank: 3, alpha: 5, for: plain.weight, using: &generator)
    #expect(lora.a.shape == [3, 36] && lora.b.shape == [6, 3])
    try lora.b.assign(.normal([6, 3], using: &generator))
    let before = plain(x)
    try plain.weight.parametrize(by: lora)
    // peft's pair.
    let pair = x.conv2d(lora.a.value.reshaped([3, 4, 3, 3]), stride: 2, padding: 1)
      .conv2d(lora.b.value.reshaped([6, 3, 1, 1]))
    #expect(plain(x).isClose(to: before + pair * (5 / Float(3)), tolerance: 1e-5))
  }

  @Test("a new adapter has no effect, switched off the layer is the base bit for bit, folded it computes the same")
  func life() throws {
    let before = layer(x)
    try layer.weight.parametrize(by: adapter)
    #expect(layer(x).isIdentical(to: before))
    var generator = SeededGenerator(seed: 5)
    try adapter.b.assign(.normal(adapter.b.shape, using: &generator))
    let adapted = layer(x)
    #expect(!adapted.isClose(to: before))
    adapter.isEnabled = false
    #expect(layer(x).isIdentical(to: before))
    adapter.isEnabled = true
    layer.weight.fold()
    #expect(layer(x).isIdentical(to: adapted) && !layer.weight.isParametrized)
  }

  @Test("of a frozen layer A and B are trained, with the gradients of finite differences")
  func gradients() throws {
    var generator = SeededGenerator(seed: 6)
    try adapter.b.assign(.normal(adapter.b.shape, using: &generator))
    layer.setTrainable(false)
    try layer.weight.parametrize(by: adapter)
    #expect(
      layer.trainableParameters.map(\.name) == ["weight.parametrizations.0.a", "weight.parametrizations.0.b"])
    let (_, found) = layer.valueAndGradients { layer(x).tanh().sum() }
    let (base, bias) = (layer.weight.original, layer.bias!.original)
    let function = { (factors: [Tensor]) -> Tensor in
      let weight = base + factors[1].matmul(factors[0]).reshaped(base.shape) * (5 / Float(3))
      return x.conv2d(weight, bias: bias, stride: 2, padding: 1, groups: 2).tanh().sum()
    }
    let factors = [adapter.a.original, adapter.b.original]
    let expected = valueAndGradients(at: factors, of: function).gradients
    #expect(found[adapter.a]!.isClose(to: expected[0], tolerance: 1e-5))
    #expect(found[adapter.b]!.isClose(to: expected[1], tolerance: 1e-5))
    #expect(GradientCheck(at: factors, of: function).largestDeviation < 5e-3)
  }
}
