import LoRATensors

/// y = x Wᵀ + b (PyTorch's `nn.Linear`).
public final class Linear: Layer, CopyableModule {
  public let weight: Parameter  // [outputs, inputs]
  public let bias: Parameter?  // [outputs]

  public init(weight: Parameter, bias: Parameter?) {
    expect(
      weight.shape.count == 2 && (bias == nil || bias!.shape == [weight.shape[0]]),
      "Linear: weight \(weight.shape) and bias \(bias?.shape.description ?? "none") do not fit")
    self.weight = weight
    self.bias = bias
  }

  /// Starts as PyTorch does: weight and bias uniform in ±1/√inputs.
  public convenience init(
    inputs: Int, outputs: Int, bias hasBias: Bool = true, using generator: inout some RandomNumberGenerator
  ) {
    let bound = 1 / Float(inputs).squareRoot()
    let weight = Tensor.uniform([outputs, inputs], from: -bound, to: bound, using: &generator)
    let bias = hasBias ? Tensor.uniform([outputs], from: -bound, to: bound, using: &generator) : nil
    self.init(weight: Parameter(weight), bias: bias.map { Parameter($0) })
  }

  public func callAsFunction(_ x: Tensor) -> Tensor { weight.linear(x, bias: bias) }

  public func copy() -> Linear { Linear(weight: weight.copy(), bias: bias?.copy()) }
}

/// A table of vectors by index.
public final class Embedding: CopyableModule {
  public let weight: Parameter  // [vocabulary, size]

  public init(weight: Parameter) {
    expect(weight.shape.count == 2, "Embedding: weight \(weight.shape) is no matrix")
    self.weight = weight
  }

  /// Starts as PyTorch does: standard normal.
  public convenience init(vocabulary: Int, size: Int, using generator: inout some RandomNumberGenerator) {
    self.init(weight: Parameter(.normal([vocabulary, size], using: &generator), layout: .inputsByOutputs))
  }

  /// [n] indices → [n, size].
  public func callAsFunction(_ indices: [Int]) -> Tensor { weight.rows(at: indices) }

  public func copy() -> Embedding { Embedding(weight: weight.copy()) }
}

/// y = x W + b with the weight stored as [inputs, outputs], as GPT-2 does.
public final class Conv1D: Layer, CopyableModule {
  public let weight: Parameter  // [inputs, outputs]
  public let bias: Parameter?  // [outputs]

  public init(weight: Parameter, bias: Parameter?) {
    expect(
      weight.layout == .inputsByOutputs && weight.shape.count == 2 && (bias == nil || bias!.shape == [weight.shape[1]]),
      "Conv1D: weight \(weight.shape) and bias \(bias?.shape.description ?? "none") do not fit")
    self.weight = weight
    self.bias = bias
  }

  public func callAsFunction(_ x: Tensor) -> Tensor { weight.linear(x, bias: bias) }

  public func copy() -> Conv1D { Conv1D(weight: weight.copy(), bias: bias?.copy()) }
}

/// Layer normalisation over the last axis.
public final class LayerNorm: Layer, CopyableModule {
  public let weight: Parameter  // [size]
  public let bias: Parameter  // [size]
  public let epsilon: Float

  public init(weight: Parameter, bias: Parameter, epsilon: Float = 1e-5) {
    self.weight = weight
    self.bias = bias
    self.epsilon = epsilon
  }

  public convenience init(size: Int, epsilon: Float = 1e-5) {
    self.init(weight: Parameter(.ones([size])), bias: Parameter(.zeros([size])), epsilon: epsilon)
  }

  public func callAsFunction(_ x: Tensor) -> Tensor {
    x.layerNorm(weight: weight.value, bias: bias.value, epsilon: epsilon)
  }

  public func copy() -> LayerNorm { LayerNorm(weight: weight.copy(), bias: bias.copy(), epsilon: epsilon) }
}

/// Root-mean-square normalisation over the last axis.
public final class RMSNorm: Layer, CopyableModule {
  public let weight: Parameter  // [size]
  public let epsilon: Float

  public init(weight: Parameter, epsilon: Float = 1e-5) {
    self.weight = weight
    self.epsilon = epsilon
  }

  public convenience init(size: Int, epsilon: Float = 1e-5) {
    self.init(weight: Parameter(.ones([size])), epsilon: epsilon)
  }

  public func callAsFunction(_ x: Tensor) -> Tensor { x.rmsNorm(weight: weight.value, epsilon: epsilon) }

  public func copy() -> RMSNorm { RMSNorm(weight: weight.copy(), epsilon: epsilon) }
}
