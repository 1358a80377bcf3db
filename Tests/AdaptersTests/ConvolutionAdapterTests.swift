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

  private final class Images: Module {
    let stem: Conv2d
    let body: Conv2d
    let grouped: Conv2d
    let head: Linear

    init() {
      var generator = SeededGenerator(seed: 7)
      stem = Conv2d(inputs: 4, outputs: 6, kernel: 3, stride: 2, padding: 1, using: &generator)
      body = Conv2d(inputs: 6, outputs: 5, kernel: 2, dilation: 2, bias: false, using: &generator)
      grouped = Conv2d(inputs: 5, outputs: 5, kernel: 1, groups: 5, using: &generator)
      head = Linear(inputs: 5 * 2, outputs: 3, using: &generator)
    }

    func callAsFunction(_ x: Tensor) -> Tensor {
      head(grouped(body(stem(x)).tanh()).reshaped([x.shape[0], 10]))
    }
  }

  private func attached(_ form: LoRAConfiguration.Form, to names: [String] = ["stem", "body"]) throws -> Images {
    let model = Images()
    var generator = SeededGenerator(seed: 8)
    var configuration = LoRAConfiguration(rank: 3, alpha: 5, form: form)
    configuration.scaling = .rankStabilized
    try model.attach(configuration, to: .names(names), using: &generator)
    return model
  }

  private static let forms: [LoRAConfiguration.Form] = [.plain, .dora, .starting(.pissa), .starting(.olora)]

  @Test("attach reaches convolutions by name, as peft does, and leaves them out of all linear layers", arguments: forms)
  func reach(form: LoRAConfiguration.Form) throws {
    let model = try attached(form, to: ["stem", "head"])
    #expect(model.attachedAdapters.map(\.path) == ["stem", "head"])
    var generator = SeededGenerator(seed: 8)
    let linear = Images()
    try linear.attach(LoRAConfiguration(rank: 2, alpha: 3), using: &generator)
    #expect(linear.attachedAdapters.map(\.path) == ["head"])
    // [5, 6 · 2 · 2]: rank 5 fits, 6 does not.
    let error = #expect(throws: AttachmentError.self) {
      try Images().attach(LoRAConfiguration(rank: 6, alpha: 1), to: .names(["body"]), using: &generator)
    }
    #expect(error?.description.contains("rank 6 does not fit body of shape [5, 6, 2, 2]; it must lie in 1...5") == true)
  }

  @Test("without effect at first; the output path is the formed value's; folding keeps the outputs", arguments: forms)
  func laws(form: LoRAConfiguration.Form) throws {
    let x = Tensor.normal([2, 4, 7, 5], seed: 9)
    let before = Images()(x)
    let model = try attached(form)
    #expect(model(x).isClose(to: before, tolerance: 1e-5))
    for (index, item) in model.trainableParameters.enumerated() {
      let noise = Tensor.normal(item.parameter.shape, seed: UInt64(20 + index)) * 0.3
      try item.parameter.assignOriginal(item.parameter.original + noise)
    }
    let adapted = model(x)
    #expect(!adapted.isClose(to: before, tolerance: 1e-2))
    // Within `caching` the values are formed.
    #expect(Parameter.caching { model(x) }.isClose(to: adapted, tolerance: 1e-5))
    #expect(model.withAdaptersDisabled { model(x) }.isIdentical(to: before))
    try model.foldAdapter()
    #expect(model.attachedAdapters.isEmpty && model(x).isClose(to: adapted, tolerance: 1e-5))
  }

  @Test("both paths give A, B and the magnitudes the same gradients, and W none", arguments: forms)
  func gradientsOfPaths(form: LoRAConfiguration.Form) throws {
    let x = Tensor.normal([2, 4, 7, 5], seed: 9)
    let model = try attached(form)
    for (index, item) in model.trainableParameters.enumerated() {
      let noise = Tensor.normal(item.parameter.shape, seed: UInt64(20 + index)) * 0.3
      try item.parameter.assignOriginal(item.parameter.original + noise)
    }
    let (_, byOutput) = model.valueAndGradients { model(x).tanh().sum() }
    let (_, byValue) = model.valueAndGradients { Parameter.caching { model(x).tanh().sum() } }
    #expect(byOutput.count == (form == .dora ? 6 : 4))
    for item in model.trainableParameters {
      let (a, b) = (try #require(byOutput[item.parameter]), try #require(byValue[item.parameter]))
      #expect(a.norm > 1e-3 && a.isClose(to: b, tolerance: 1e-4), "\(item.name)")
    }
    #expect(byOutput[model.stem.weight] == nil)
    // Finite differences of B of the first layer, through all layers.
    guard form == .plain, let lora = model.attachedAdapters.first?.adapter as? LoRA else { return }
    let start = lora.b.original
    let function = { (inputs: [Tensor]) -> Tensor in
      // The layer's own parts, spelt out: a parameter can't be an input.
      let down = x.conv2d(lora.a.original.reshaped([3, 4, 3, 3]), stride: 2, padding: 1)
      let change = down.conv2d(inputs[0].reshaped([6, 3, 1, 1])) * lora.scale
      let stem = x.conv2d(model.stem.weight.original, bias: model.stem.bias!.original, stride: 2, padding: 1) + change
      return model.head(model.grouped(model.body(stem).tanh()).reshaped([2, 10])).tanh().sum()
    }
    #expect(GradientCheck(at: [start], of: function).largestDeviation < 5e-3)
    let expected = valueAndGradients(at: [start], of: function).gradients[0]
    #expect(try #require(byOutput[lora.b]).isClose(to: expected, tolerance: 1e-4))
  }

  @Test("rows of one batch can't have different adapters of a convolution, and the error says so")
  func rows() throws {
    let model = try attached(.plain)
    var generator = SeededGenerator(seed: 11)
    var other = LoRAConfiguration(rank: 1, alpha: 1)
    other.name = "other"
    try model.attach(other, to: .names(["stem"]), using: &generator)
    #expect(throws: AttachmentError.self) {
      try model.withAdapters(rows: ["default", "other"]) { model(Tensor.normal([2, 4, 7, 5], seed: 1)) }
    }
  }
}

extension Tensor {
  fileprivate static func normal(_ shape: [Int], seed: UInt64) -> Tensor {
    var generator = SeededGenerator(seed: seed)
    return .normal(shape, using: &generator)
  }
}
