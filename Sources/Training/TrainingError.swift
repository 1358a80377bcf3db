/// Why training can't go on.
public enum TrainingError: Error, CustomStringConvertible {
  /// The loss is NaN or infinite.
  case notFinite(loss: Float, step: Int, learningRate: Float)
  /// Something besides the loss is no finite number any more; `what` says what, with its verb.
  case diverged(_ what: String, step: Int, learningRate: Float)
  /// The loss depends on none of the parameters that are trained.
  case independent(step: Int)
  /// The sampler has no example to draw.
  case noExamples
  /// `shouldStop` said so; where a state is kept, it is kept after that step.
  case interrupted(step: Int)

  public var description: String {
    switch self {
    case .notFinite(let loss, let step, let rate):
      "the loss became \(loss.isNaN ? "NaN" : "\(loss)") at step \(step) (learning rate \(rate)): try a smaller one, or a longer warm-up"
    case .diverged(let what, let step, let rate):
      "\(what) not finite at step \(step) (learning rate \(rate)): try a smaller one, or a longer warm-up"
    case .independent(let step):
      "the loss of step \(step) depends on none of the parameters that are trained: nothing would be learned. Are they "
        + "trainable, and does the loss come from the model that holds them?"
    case .noExamples: "there is no example to train on: the sampler has none to draw"
    case .interrupted(let step): "interrupted after step \(step)"
    }
  }
}
