// The cross-entropy of a linear layer's outputs, which are never all in memory.

import LoRACKernels

extension Tensor {
  /// The mean cross-entropy of the logits self · weightᵀ over the counted rows, in blocks of rows: over a vocabulary of
  /// tens of thousands, neither the logits nor their gradient are ever whole.
  ///
  /// Equal to `linear(weight).crossEntropy(targets)`. self: [rows, inputs], weight: [classes, inputs].
  ///
  /// - `cap`: where there is one, a logit x counts as c tanh(x / c) (Gemma 2, section 2).
  public func linearCrossEntropy(
    _ weight: Tensor, _ targets: [Int], ignoring ignored: Int = -100, cap: Float? = nil
  ) -> Tensor {
    expect(
      rank == 2 && weight.rank == 2 && shape[1] == weight.shape[1] && shape[0] == targets.count,
      "linearCrossEntropy: input \(shape), weight \(weight.shape) and \(targets.count) targets do not fit")
    expect(
      targets.allSatisfy { $0 == ignored || ($0 >= 0 && $0 < weight.shape[0]) },
      "linearCrossEntropy: a target lies outside the \(weight.shape[0]) classes")
    let counted = targets.indices.filter { targets[$0] != ignored }
    guard !counted.isEmpty else { return sum() * 0 }
    guard counted.count == targets.count else {
      return rows(at: counted).linearCrossEntropy(weight, counted.map { targets[$0] }, cap: cap)
    }
    let (inputs, classes) = (shape[1], weight.shape[0])
    let block = Swift.min(targets.count, Swift.max(64, (6 << 20) / classes))
    let index = targets.map(Int32.init)
    let inputGradient = isTracked ? Storage(count: count) : nil
    let weightGradient = weight.isTracked ? Tensor.zeros(weight.shape) : nil
    let logits = Storage(count: block * classes)
    let slopes = inputGradient != nil || weightGradient != nil ? Storage(count: block * classes) : nil
    let inputRows = widened
    let losses = Tensor(shape: [targets.count]) { losses in
      index.withUnsafeBufferPointer { index in
        for start in stride(from: 0, to: targets.count, by: block) {
          let rows = Swift.min(block, targets.count - start)
          let x = inputRows.pointer + start * inputs
          multiply(
            Factor(x, stride: inputs), Factor(weight.storage, stride: inputs, transposed: true), m: rows, n: classes,
            k: inputs, to: logits.base, stride: classes)
          if let cap { ck_cap(logits.base, cap, rows * classes) }
          ck_cross_entropy_rows(
            logits.base, index.baseAddress! + start, Int32(-1), losses.baseAddress! + start, slopes?.base, rows, classes
          )
          if let cap, let slopes { ck_cap_slopes(logits.base, cap, slopes.base, rows * classes) }
          if let inputGradient, let slopes {
            multiply(
              Factor(slopes.base, stride: classes), Factor(weight.storage, stride: inputs), m: rows, n: inputs,
              k: classes, to: inputGradient.base + start * inputs, stride: inputs)
          }
          if let weightGradient, let slopes {
            multiply(
              Factor(slopes.base, stride: classes, transposed: true), Factor(x, stride: inputs), m: classes, n: inputs,
              k: rows, beta: 1, to: weightGradient.storage.base, stride: inputs)
          }
        }
      }
    }
    let loss = losses.sum() / Float(targets.count)
    let gradients = [inputGradient.map { Tensor(storage: $0, shape: shape) }, weightGradient]
    return loss.recorded(.linearCrossEntropy, [self, weight]) {
      Derivative.crossEntropy(gradients[$0]!, counted: Float(targets.count))
    }
  }
}
