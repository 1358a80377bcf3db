// The cross-entropy of classes.

import LoRACKernels

extension Tensor {
  /// The mean over the counted rows of −log softmax(row)[target]: the loss of a classifier from its logits
  /// [rows, classes]. A row whose target is `ignored` counts neither in the sum nor in the mean; where no row counts,
  /// the loss is 0.
  public func crossEntropy(_ targets: [Int], ignoring ignored: Int = -100) -> Tensor {
    expect(
      rank == 2 && shape[0] == targets.count, "crossEntropy: logits \(shape) and \(targets.count) targets do not fit")
    let unknown = targets.firstIndex { $0 != ignored && !(0..<shape[1]).contains($0) }
    expect(
      unknown == nil,
      "crossEntropy: target \(targets[unknown!]) of row \(unknown!) is none of \(shape[1]) classes, counted from 0")
    let index = targets.map(Int32.init)
    let counted = Float(Swift.max(1, targets.count { $0 != ignored }))
    let gradient = isTracked ? Storage(count: count) : nil
    let logits = widened
    let losses = Tensor(shape: [targets.count]) {
      ck_cross_entropy_rows(logits.pointer, index, Int32(ignored), $0.baseAddress, gradient?.base, shape[0], shape[1])
    }
    let loss = losses.sum() / counted
    guard let gradient else { return loss }
    return loss.recorded(
      .crossEntropy, self, Derivative.crossEntropy(Tensor(storage: gradient, shape: shape), counted: counted))
  }
}
