// Losses besides `crossEntropy`: scalars, the mean over elements or rows. Sums and weights by element are a line:
// `(x - y).squared().sum()`.

extension Tensor {
  /// mean((self − target)²). The shapes are equal.
  public func meanSquaredError(_ target: Tensor) -> Tensor {
    difference(target, "meanSquaredError").squared().mean()
  }

  /// mean |self − target|, the L1 loss. The shapes are equal.
  public func meanAbsoluteError(_ target: Tensor) -> Tensor {
    difference(target, "meanAbsoluteError").absoluteValue().mean()
  }

  /// The mean of −t log σ(x) − (1 − t) log(1 − σ(x)): binary cross-entropy from logits x (self) and targets t between 0
  /// and 1, of one shape. Computed as t softplus(−x) + (1 − t) softplus(x), which neither overflows nor cancels.
  public func binaryCrossEntropy(_ target: Tensor) -> Tensor {
    expect(shape == target.shape, "binaryCrossEntropy: logits \(shape) and targets \(target.shape) differ")
    return (target * (-self).softplus() + (1 - target) * softplus()).mean()
  }

  /// KL(p ‖ q) = Σ p (log p − log q) over the last axis, the mean over rows: how far the distribution q whose
  /// log-probabilities these are (`logSoftmax`) is from the probabilities p of a target. Where p is 0, so is its term.
  ///
  /// ```swift
  /// let loss = student(x).logSoftmax().klDivergence(from: teacher(x).softmax())
  /// ```
  public func klDivergence(from target: Tensor) -> Tensor {
    expect(
      rank >= 1 && shape == target.shape,
      "klDivergence: log-probabilities \(shape) and probabilities \(target.shape) differ")
    let logarithms = target.clamped(to: Float.leastNormalMagnitude...).log()
    return (target * (logarithms - self)).sum() / Float(Swift.max(1, count / Swift.max(1, shape[rank - 1])))
  }

  private func difference(_ target: Tensor, _ operation: String) -> Tensor {
    expect(shape == target.shape, "\(operation): shapes \(shape) and \(target.shape) differ")
    return self - target
  }
}
