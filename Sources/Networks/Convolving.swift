// A convolution's weight and its parametrizations: by the output where that is possible, as for linear maps.

import LoRATensors

/// A parametrization that can adjust the output of a convolution instead of its weight.
///
/// For W + s B A, with A a kernel of few channels and B one of 1 × 1, the sum is never formed, and the gradient of the
/// whole weight never computed. Both ways give the same result.
public protocol ConvolutionParametrization: Parametrization {
  /// The output for the value of this link, from the output for the previous one.
  /// - Parameters:
  ///   - output: the convolution without bias, [images, outputs, height, width].
  ///   - input: [images, inputs, height, width].
  ///   - weight: the value of the previous link, [outputs, inputs, height, width], formed where it is called.
  ///   - convolve: an input, convolved as the layer does it with kernels given as a matrix
  ///     [channels, inputs · height · width].
  func adjust(
    output: Tensor, input: Tensor, weight: () -> Tensor, convolve: (_ input: Tensor, _ kernels: Tensor) -> Tensor
  ) -> Tensor
}

extension Parameter {
  /// A convolution of `input` with the value, [outputs, inputs / groups, height, width]: by the output where every
  /// enabled link offers it, else (and with groups) by the formed value. Both give the same answer.
  ///
  /// - Parameters: as in `Tensor.conv2d`.
  public func conv2d(
    _ input: Tensor, bias: Parameter? = nil, stride: Int = 1, padding: Int = 0, dilation: Int = 1, groups: Int = 1
  ) -> Tensor {
    func convolve(_ input: Tensor, _ weight: Tensor, _ bias: Tensor? = nil) -> Tensor {
      input.conv2d(weight, bias: bias, stride: stride, padding: padding, dilation: dilation, groups: groups)
    }
    let links = takingPart
    let adjusting = links.compactMap { $0 as? any ConvolutionParametrization }
    guard !links.isEmpty, groups == 1, adjusting.count == links.count, !Parameter.isCaching else {
      return convolve(input, value, bias?.value)
    }
    let kernel = Array(shape.dropFirst())
    let output = adjusting.enumerated().reduce(convolve(input, stored)) { output, item in
      item.element.adjust(
        output: output, input: input, weight: { self.computedValue(through: links.prefix(item.offset)) },
        convolve: { convolve($0, $1.reshaped([$1.shape[0]] + kernel)) })
    }
    return bias.map { output + $0.value.reshaped([outputs, 1, 1]) } ?? output
  }
}
