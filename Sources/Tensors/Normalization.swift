// Operations over the last axis: softmax and the normalisations.

import LoRACKernels

extension Tensor {
  private var rowExtents: (rows: Int, columns: Int) {
    expect(rank >= 1, "an operation over rows needs at least one axis")
    let columns = shape[rank - 1]
    return (columns == 0 ? 0 : count / columns, columns)
  }

  private func softmaxRows(log: Bool) -> Tensor {
    let (rows, columns) = rowExtents
    let x = widened
    return Tensor(shape: shape) { ck_softmax_rows(log, x.pointer, $0.baseAddress, rows, columns) }
  }

  /// exp(x) / Σ exp(x) over the last axis.
  public func softmax() -> Tensor {
    let y = softmaxRows(log: false)
    return y.recorded(.softmax, self, Derivative.softmax(y, log: false))
  }

  /// log softmax over the last axis, without forming the exponentials' quotient.
  public func logSoftmax() -> Tensor {
    let y = softmaxRows(log: true)
    return y.recorded(.logSoftmax, self, Derivative.softmax(y, log: true))
  }

  /// (x − mean)/√(variance + ε) · weight + bias over the last axis (Ba, Kiros and Hinton, 2016).
  public func layerNorm(weight: Tensor, bias: Tensor, epsilon: Float = 1e-5) -> Tensor {
    let (rows, columns) = rowExtents
    expect(
      weight.shape == [columns] && bias.shape == [columns],
      "layerNorm: input \(shape), weight \(weight.shape), bias \(bias.shape) do not fit")
    let (mean, deviation) = (Storage(count: rows), Storage(count: rows))
    let (x, scale, offset) = (widened.detached, weight.widened.detached, bias.widened)
    let y = Tensor(shape: shape) {
      ck_layer_norm(
        x.pointer, scale.pointer, offset.pointer, epsilon, $0.baseAddress, mean.base, deviation.base, rows, columns)
    }
    let saved = Derivative.Normalized(
      x: x, weight: scale, mean: Tensor(storage: mean, shape: [rows]),
      reciprocalDeviation: Tensor(storage: deviation, shape: [rows]))
    return y.recorded(.layerNorm, [self, weight, bias]) { Derivative.layerNorm(saved, input: $0) }
  }

  /// x/√(mean(x²) + ε) · weight over the last axis (Zhang and Sennrich, 2019).
  public func rmsNorm(weight: Tensor, epsilon: Float = 1e-5) -> Tensor {
    let (rows, columns) = rowExtents
    expect(weight.shape == [columns], "rmsNorm: input \(shape) and weight \(weight.shape) do not fit")
    let deviation = Storage(count: rows)
    let (x, scale) = (widened.detached, weight.widened.detached)
    let y = Tensor(shape: shape) {
      ck_rms_norm(x.pointer, scale.pointer, epsilon, $0.baseAddress, deviation.base, rows, columns)
    }
    let saved = Derivative.Normalized(
      x: x, weight: scale, mean: nil, reciprocalDeviation: Tensor(storage: deviation, shape: [rows]))
    return y.recorded(.rmsNorm, [self, weight]) { Derivative.rmsNorm(saved, input: $0) }
  }

  /// (x − mean)/√(variance + ε) over groups of channels and their places, then · weight + bias by channel (Wu and He,
  /// 2018). self: [images, channels, …]; weight and bias: [channels].
  public func groupNorm(groups: Int, weight: Tensor, bias: Tensor, epsilon: Float = 1e-5) -> Tensor {
    expect(
      rank >= 2 && groups >= 1 && shape[1] % groups == 0 && weight.shape == [shape[1]] && bias.shape == [shape[1]],
      "groupNorm: input \(shape), weight \(weight.shape), bias \(bias.shape) and \(groups) groups do not fit")
    let elements = count / Swift.max(1, shape[0] * groups)
    let normalized = reshaped([shape[0] * groups, elements])
      .layerNorm(weight: .ones([elements]), bias: .zeros([elements]), epsilon: epsilon).reshaped(shape)
    let byChannel = [shape[1]] + [Int](repeating: 1, count: rank - 2)
    return normalized * weight.reshaped(byChannel) + bias.reshaped(byChannel)
  }

  /// Each element is zeroed with the given probability, the others are divided by 1 − probability (Srivastava et al.,
  /// 2014), so that the expectation stays. Draws one number per element, in order.
  public func dropout(_ probability: Float, using generator: inout some RandomNumberGenerator) -> Tensor {
    expect(probability >= 0 && probability < 1, "dropout: probability \(probability) lies outside [0, 1)")
    if probability == 0 { return self }
    let mask = Tensor(shape: shape) { buffer in
      for i in buffer.indices { buffer[i] = generator.unitFloat() < probability ? 0 : 1 / (1 - probability) }
    }
    return combined(CK_MULTIPLY, mask).recorded(.dropout, self, Derivative.multiply(by: mask, to: shape))
  }
}
