import LoRATensors

/// Why training can't go on.
public enum TrainingError: DescribedError {
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

  public var subject: String { "" }

  public var problem: String {
    switch self {
    case .notFinite(let loss, let step, let rate):
      "the loss became \(loss.isNaN ? "NaN" : "\(loss)") at step \(step) (learning rate \(rate))"
    case .diverged(let what, let step, let rate):
      "\(what) not finite at step \(step) (learning rate \(rate))"
    case .independent(let step):
      "the loss of step \(step) depends on none of the parameters that are trained: nothing would be learned"
    case .noExamples: "there is no example to train on: the sampler has none to draw"
    case .interrupted(let step): "interrupted after step \(step)"
    }
  }

  public var advice: Advice {
    switch self {
    case .notFinite, .diverged: "Try a smaller one, or a longer warm-up"
    case .independent: "Check that they are trainable, and that the loss comes from the model that holds them"
    case .noExamples: "Give it some"
    case .interrupted: "Go on from the state that was kept, or begin anew"
    }
  }
}
