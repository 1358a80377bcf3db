// Layers for images: tensors [images, channels, height, width].

import LoRATensors

/// Convolution over height and width (PyTorch's `nn.Conv2d`, with zeros as padding; see `Tensor.conv2d`).
///
/// A parametrization sees the whole weight, or adjusts the output (``ConvolutionParametrization``). `LoRA` takes the weight
/// as the matrix [outputs, inputs · height · width], peft's pair of a convolution to `rank` channels and one of 1 × 1.
public final class Conv2d: Layer, CopyableModule {
  /// [outputs, inputs / groups, height, width]
  public let weight: Parameter
  /// [outputs], or none.
  public let bias: Parameter?
  /// By how much the kernel moves.
  public let stride: Int
  /// How many zeros there are around the input.
  public let padding: Int
  /// How far the kernel's elements are apart.
  public let dilation: Int
  /// Parts of the channels that know nothing of each other.
  public let groups: Int

  /// A layer with given parameters: weight [outputs, inputs / groups, height, width], bias [outputs].
  public init(
    weight: Parameter, bias: Parameter?, stride: Int = 1, padding: Int = 0, dilation: Int = 1, groups: Int = 1
  ) {
    expect(
      weight.shape.count == 4 && groups >= 1 && weight.shape[0] % groups == 0
        && (bias == nil || bias!.shape == [weight.shape[0]]),
      "Conv2d: weight \(weight.shape), bias \(bias?.shape.description ?? "none") and \(groups) groups do not fit")
    self.weight = weight
    self.bias = bias
    self.stride = stride
    self.padding = padding
    self.dilation = dilation
    self.groups = groups
  }

  /// Starts as PyTorch does: weight and bias uniform in ±1/√(inputs / groups · kernel²).
  public convenience init(
    inputs: Int, outputs: Int, kernel: Int, stride: Int = 1, padding: Int = 0, dilation: Int = 1, groups: Int = 1,
    bias hasBias: Bool = true, using generator: inout some RandomNumberGenerator
  ) {
    expect(
      groups >= 1 && inputs % groups == 0 && outputs % groups == 0,
      "Conv2d: \(inputs) inputs and \(outputs) outputs can't be cut into \(groups) groups")
    let weight = Tensor.kaimingUniform([outputs, inputs / groups, kernel, kernel], using: &generator)
    let bound = 1 / Float(inputs / groups * kernel * kernel).squareRoot()
    let bias = hasBias ? Tensor.uniform([outputs], from: -bound, to: bound, using: &generator) : nil
    self.init(
      weight: Parameter(weight), bias: bias.map { Parameter($0) }, stride: stride, padding: padding,
      dilation: dilation, groups: groups)
  }

  /// [images, inputs, height, width] → [images, outputs, height, width] with lengths as `Tensor.conv2d` says.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    weight.conv2d(x, bias: bias, stride: stride, padding: padding, dilation: dilation, groups: groups)
  }

  public func copy() -> Conv2d {
    Conv2d(
      weight: weight.copy(), bias: bias?.copy(), stride: stride, padding: padding, dilation: dilation, groups: groups)
  }
}

/// Normalisation over groups of channels and their places (Wu and He, 2018), image by image: without statistics of the
/// batch, so that training and evaluation compute the same. With one group it is layer normalisation over channels and
/// places, with as many as channels instance normalisation.
public final class GroupNorm: Layer, CopyableModule {
  /// The factors, [channels].
  public let weight: Parameter
  /// What is added, [channels].
  public let bias: Parameter
  /// How many parts of the channels are normalised each for itself.
  public let groups: Int
  /// Added to the variance, so that a constant group is divided by no zero.
  public let epsilon: Float

  /// A layer with given factors and sums, [channels] each.
  public init(groups: Int, weight: Parameter, bias: Parameter, epsilon: Float = 1e-5) {
    expect(
      weight.shape.count == 1 && bias.shape == weight.shape && groups >= 1 && weight.shape[0] % groups == 0,
      "GroupNorm: weight \(weight.shape), bias \(bias.shape) and \(groups) groups do not fit")
    self.weight = weight
    self.bias = bias
    self.groups = groups
    self.epsilon = epsilon
  }

  /// Starts with a weight of ones and a bias of zeros.
  public convenience init(groups: Int, channels: Int, epsilon: Float = 1e-5) {
    self.init(
      groups: groups, weight: Parameter(.ones([channels])), bias: Parameter(.zeros([channels])), epsilon: epsilon)
  }

  /// x, [images, channels, …], normalised.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    x.groupNorm(groups: groups, weight: weight.value, bias: bias.value, epsilon: epsilon)
  }

  public func copy() -> GroupNorm {
    GroupNorm(groups: groups, weight: weight.copy(), bias: bias.copy(), epsilon: epsilon)
  }
}

/// The largest element of each window (see `Tensor.maxPool2d`).
public final class MaxPool2d: Layer, CopyableModule {
  /// The side of a window.
  public let window: Int
  /// By how much it moves.
  public let stride: Int
  /// By how much windows may reach over each edge.
  public let padding: Int

  /// Windows of a side, by default beside each other.
  public init(_ window: Int, stride: Int? = nil, padding: Int = 0) {
    (self.window, self.stride, self.padding) = (window, stride ?? window, padding)
  }

  /// [.., height, width] → the same with lengths as `Tensor.maxPool2d` says.
  public func callAsFunction(_ x: Tensor) -> Tensor { x.maxPool2d(window, stride: stride, padding: padding) }

  /// Itself: there is nothing to copy.
  public func copy() -> MaxPool2d { self }
}

/// The mean of each window (see `Tensor.averagePool2d`).
public final class AveragePool2d: Layer, CopyableModule {
  /// The side of a window.
  public let window: Int
  /// By how much it moves.
  public let stride: Int
  /// By how much windows may reach over each edge.
  public let padding: Int

  /// Windows of a side, by default beside each other.
  public init(_ window: Int, stride: Int? = nil, padding: Int = 0) {
    (self.window, self.stride, self.padding) = (window, stride ?? window, padding)
  }

  /// [.., height, width] → the same with lengths as `Tensor.averagePool2d` says.
  public func callAsFunction(_ x: Tensor) -> Tensor { x.averagePool2d(window, stride: stride, padding: padding) }

  /// Itself: there is nothing to copy.
  public func copy() -> AveragePool2d { self }
}

/// All axes but the first as one: [images, channels, height, width] → [images, channels · height · width].
public final class Flatten: Layer, CopyableModule {
  /// The one there is.
  public init() {}

  /// [n, a, b, …] → [n, a · b · …]
  public func callAsFunction(_ x: Tensor) -> Tensor {
    expect(x.rank >= 1, "Flatten: a scalar has no axis")
    return x.reshaped([x.shape[0], x.shape.dropFirst().reduce(1, *)])
  }

  /// Itself: there is nothing to copy.
  public func copy() -> Flatten { self }
}
