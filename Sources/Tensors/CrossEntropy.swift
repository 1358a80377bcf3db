// The cross-entropy of classes.

import LoRACKernels

extension Tensor {
  /// The mean over the counted rows of −log softmax(row)[target]: the loss of a classifier from its logits
  /// [rows, classes]. A row whose target is `ignored` counts neither in the sum nor in the mean; where no row counts,
  /// the loss is 0.
  ///
  /// - Parameters:
  ///   - targets: by row, its class.
  ///   - weights: by class, how much a row of it counts: Σ w (−log softmax(row)[target]) / Σ w, as PyTorch has it; by
  ///     default 1 each.
  ///   - ignored: the target of rows that don't count.
  public func crossEntropy(_ targets: [Int], weights: [Float]? = nil, ignoring ignored: Int = -100) -> Tensor {
    expect(
      rank == 2 && shape[0] == targets.count, "crossEntropy: logits \(shape) and \(targets.count) targets do not fit")
    let unknown = targets.firstIndex { $0 != ignored && !(0..<shape[1]).contains($0) }
    expect(
      unknown == nil,
      "crossEntropy: target \(targets[unknown!]) of row \(unknown!) is none of \(shape[1]) classes, counted from 0")
    if let weights {
      expect(
        weights.count == shape[1] && weights.allSatisfy { $0 >= 0 && $0.isFinite },
        "crossEntropy: \(weights.count) weights for \(shape[1]) classes; each has one, of at least 0")
    }
    let index = targets.map(Int32.init)
    let rowWeights = weights.map { weights in targets.map { $0 == ignored ? 0 : weights[$0] } }
    let total = rowWeights?.reduce(0, +) ?? Float(targets.count { $0 != ignored })
    let counted = total > 0 ? total : 1
    let gradient = isTracked ? Storage(count: count) : nil
    let logits = widened
    let losses = Tensor(shape: [targets.count]) {
      ck_cross_entropy_rows(logits.pointer, index, Int32(ignored), $0.baseAddress, gradient?.base, shape[0], shape[1])
    }
    let rows = rowWeights.map { Tensor(shape: [targets.count, 1], scalars: $0) }
    let loss = (rows.map { losses * $0.reshaped([targets.count]) } ?? losses).sum() / counted
    guard let gradient else { return loss }
    let difference = Tensor(storage: gradient, shape: shape)
    return loss.recorded(
      .crossEntropy, self, Derivative.crossEntropy(rows.map { difference * $0 } ?? difference, counted: counted))
  }
}
