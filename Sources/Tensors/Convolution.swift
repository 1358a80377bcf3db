// Convolution of images in two dimensions.

import LoRACKernels

extension Tensor {
  /// Convolution over the last two axes, as PyTorch's `conv2d` counts (a cross-correlation: the kernel is not turned).
  ///
  /// ```swift
  /// let y = images.conv2d(weight, bias: bias, stride: 2, padding: 1)
  /// ```
  /// The lengths of the result are ⌊(length + 2 padding − dilation (kernel − 1) − 1) / stride⌋ + 1.
  ///
  /// - Parameters:
  ///   - weight: [outputs, inputs / groups, kernel height, kernel width].
  ///   - bias: [outputs].
  ///   - stride: by how much the kernel moves.
  ///   - padding: how many zeros there are around the input, on each side.
  ///   - dilation: how far the kernel's elements are apart.
  ///   - groups: parts of the channels that know nothing of each other; as many as inputs for a depthwise convolution.
  /// - Returns: [images, outputs, height, width], from self: [images, inputs, height, width].
  public func conv2d(
    _ weight: Tensor, bias: Tensor? = nil, stride: Int = 1, padding: Int = 0, dilation: Int = 1, groups: Int = 1
  ) -> Tensor {
    expect(
      rank == 4 && weight.rank == 4 && groups >= 1 && shape[1] == weight.shape[1] * groups && weight.count > 0
        && weight.shape[0] % groups == 0 && (bias == nil || bias!.shape == [weight.shape[0]]),
      "conv2d: input \(shape), weight \(weight.shape), bias \(bias?.shape.description ?? "none") and \(groups) groups "
        + "do not fit; [images, inputs, height, width] and [outputs, inputs / groups, height, width] are needed")
    expect(
      stride >= 1 && padding >= 0 && dilation >= 1,
      "conv2d: stride \(stride), padding \(padding), dilation \(dilation)")
    let convolution = ck_convolution(
      batch: shape[0], in_channels: shape[1], in_height: shape[2], in_width: shape[3], out_channels: weight.shape[0],
      kernel_height: weight.shape[2], kernel_width: weight.shape[3], stride: stride, padding: padding,
      dilation: dilation, groups: groups)
    let lengths = [2, 3].map { ck_convolved_length(shape[$0], weight.shape[$0], stride, padding, dilation) }
    expect(
      lengths.allSatisfy { $0 > 0 },
      "conv2d: a kernel of \(weight.shape[2]) × \(weight.shape[3]) with dilation \(dilation) does not fit an input of "
        + "\(shape[2]) × \(shape[3]) with padding \(padding)")
    let (x, kernel, offsets) = (widened.detached, weight.widened.detached, bias?.widened)
    let y = Tensor(shape: [shape[0], weight.shape[0]] + lengths) { y in
      withUnsafePointer(to: convolution) {
        ck_convolve($0, x.pointer, kernel.pointer, offsets?.pointer, y.baseAddress)
      }
    }
    return y.recorded(.convolution, [self, weight] + (bias.map { [$0] } ?? [])) { input in
      switch input {
      case 0: Derivative.convolutionInput(convolution, kernel, shape)
      case 1: Derivative.convolutionWeight(convolution, x, weight.shape)
      default: Derivative.convolutionBias()
      }
    }
  }

  /// The largest element of each window of the last two axes; the gradient goes to the first of equals.
  ///
  /// The lengths of the result are ⌊(length + 2 padding − window) / stride⌋ + 1.
  ///
  /// - Parameters:
  ///   - window: the side of a window.
  ///   - stride: by how much it moves; by default its side, so that windows don't overlap.
  ///   - padding: by how much windows may reach over each edge, at most half of one. What lies there is never chosen.
  public func maxPool2d(_ window: Int, stride: Int? = nil, padding: Int = 0) -> Tensor {
    let (pooling, newShape) = pooling("maxPool2d", window, stride ?? window, padding)
    let x = widened
    var places = [Int32](repeating: 0, count: newShape.reduce(1, *))
    let y = Tensor(shape: newShape) { y in
      withUnsafePointer(to: pooling) { ck_max_pool($0, x.pointer, y.baseAddress, &places) }
    }
    return y.recorded(.maxPool, self, Derivative.maxPool(pooling, places, shape))
  }

  /// The mean of each window of the last two axes; parameters as `maxPool2d` has them. Padding counts as zeros.
  public func averagePool2d(_ window: Int, stride: Int? = nil, padding: Int = 0) -> Tensor {
    let (pooling, newShape) = pooling("averagePool2d", window, stride ?? window, padding)
    let x = widened
    return Tensor(shape: newShape) { y in
      withUnsafePointer(to: pooling) { ck_average_pool($0, x.pointer, y.baseAddress) }
    }.recorded(.averagePool, self, Derivative.averagePool(pooling, shape))
  }

  private func pooling(_ operation: String, _ window: Int, _ stride: Int, _ padding: Int) -> (ck_pooling, [Int]) {
    expect(
      rank >= 2 && window >= 1 && stride >= 1 && padding >= 0 && 2 * padding <= window,
      "\(operation): window \(window), stride \(stride) and padding \(padding) for shape \(shape)")
    let (height, width) = (shape[rank - 2], shape[rank - 1])
    let lengths = [height, width].map { ck_convolved_length($0, window, stride, padding, 1) }
    expect(
      lengths.allSatisfy { $0 > 0 },
      "\(operation): a window of \(window) does not fit \(height) × \(width) with padding \(padding)")
    let planes = shape.dropLast(2)
    let pooling = ck_pooling(
      planes: planes.reduce(1, *), height: height, width: width, window_height: window, window_width: window,
      stride: stride, padding: padding)
    return (pooling, planes + lengths)
  }
}
