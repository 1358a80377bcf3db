import LoRATensors

/// y = x Wᵀ + b (PyTorch's `nn.Linear`).
public final class Linear: Layer, CopyableModule {
  /// [outputs, inputs]
  public let weight: Parameter
  /// [outputs], or none.
  public let bias: Parameter?

  /// A layer with given parameters: weight [outputs, inputs], bias [outputs].
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

  /// x [..., inputs] → [..., outputs].
  public func callAsFunction(_ x: Tensor) -> Tensor { weight.linear(x, bias: bias) }

  public func copy() -> Linear { Linear(weight: weight.copy(), bias: bias?.copy()) }
}

/// A table of vectors by index.
public final class Embedding: CopyableModule {
  /// [vocabulary, size], in the layout `inputsByOutputs`.
  public let weight: Parameter

  /// A layer with a given table [vocabulary, size].
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
  /// [inputs, outputs], in the layout `inputsByOutputs`.
  public let weight: Parameter
  /// [outputs], or none.
  public let bias: Parameter?

  /// A layer with given parameters: weight [inputs, outputs] in the layout `inputsByOutputs`, bias [outputs].
  public init(weight: Parameter, bias: Parameter?) {
    expect(
      weight.layout == .inputsByOutputs && weight.shape.count == 2 && (bias == nil || bias!.shape == [weight.shape[1]]),
      "Conv1D: weight \(weight.shape) and bias \(bias?.shape.description ?? "none") do not fit")
    self.weight = weight
    self.bias = bias
  }

  /// x [..., inputs] → [..., outputs].
  public func callAsFunction(_ x: Tensor) -> Tensor { weight.linear(x, bias: bias) }

  public func copy() -> Conv1D { Conv1D(weight: weight.copy(), bias: bias?.copy()) }
}

/// Layer normalisation over the last axis.
public final class LayerNorm: Layer, CopyableModule {
  /// The factors, [size].
  public let weight: Parameter
  /// What is added, [size], or none.
  public let bias: Parameter?
  /// Added to the variance, so that a constant row is divided by no zero.
  public let epsilon: Float

  /// A layer with given factors and sums, [size] each.
  public init(weight: Parameter, bias: Parameter?, epsilon: Float = 1e-5) {
    self.weight = weight
    self.bias = bias
    self.epsilon = epsilon
  }

  /// A layer for rows of `size` numbers that starts with factors 1 and sums 0, as PyTorch does.
  public convenience init(size: Int, epsilon: Float = 1e-5) {
    self.init(weight: Parameter(.ones([size])), bias: Parameter(.zeros([size])), epsilon: epsilon)
  }

  /// x [..., size] → the same shape: (x − mean) / √(variance + ε) · weight + bias in each row (Ba et al., 2016).
  public func callAsFunction(_ x: Tensor) -> Tensor {
    x.layerNorm(weight: weight.value, bias: bias?.value ?? .zeros(weight.shape), epsilon: epsilon)
  }

  public func copy() -> LayerNorm { LayerNorm(weight: weight.copy(), bias: bias?.copy(), epsilon: epsilon) }
}

/// Root-mean-square normalisation over the last axis.
public final class RMSNorm: Layer, CopyableModule {
  /// The factors, [size], less `offset`.
  public let weight: Parameter
  /// Added to the mean of squares, so that a row of zeros is divided by no zero.
  public let epsilon: Float
  /// What the factors are stored without: 0, or 1 where a model stores their distance from 1 (Gemma).
  public let offset: Float

  /// A layer with given factors, [size], or their distances from `offset`.
  public init(weight: Parameter, epsilon: Float = 1e-5, offset: Float = 0) {
    self.weight = weight
    self.epsilon = epsilon
    self.offset = offset
  }

  /// A layer for rows of `size` numbers that starts with factors 1.
  public convenience init(size: Int, epsilon: Float = 1e-5) {
    self.init(weight: Parameter(.ones([size])), epsilon: epsilon)
  }

  /// x [..., size] → the same shape: x / √(mean of squares + ε) · weight in each row (Zhang and Sennrich, 2019).
  public func callAsFunction(_ x: Tensor) -> Tensor {
    x.rmsNorm(weight: offset == 0 ? weight.value : weight.value + offset, epsilon: epsilon)
  }

  public func copy() -> RMSNorm { RMSNorm(weight: weight.copy(), epsilon: epsilon, offset: offset) }
}
