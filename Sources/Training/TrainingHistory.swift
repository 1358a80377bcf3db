/// What one step did.
public struct StepReport: Sendable, Equatable, Codable {
  /// Counted from 1.
  public var step: Int
  /// The loss before the step.
  public var loss: Float
  /// The rate of this step, as the schedule had it.
  public var learningRate: Float
  /// Norm over all gradients before clipping; nil where it was not needed.
  public var gradientNorm: Float?
  /// Since the beginning of the run, the time between interruptions alone.
  public var seconds: Double
}

/// What an evaluation found; `score` is to be as large as can be.
public struct Evaluation: Sendable, Equatable, Codable {
  /// After how many steps.
  public var step: Int
  /// The larger the better.
  public var score: Double
  /// Of equal scores the lower the better.
  public var loss: Double

  /// What was found after a step.
  public init(step: Int, score: Double, loss: Double) { (self.step, self.score, self.loss) = (step, score, loss) }
}

/// What a run has gone through, from its first step on. It is kept with the run's state, so that a resumed run knows
/// all of it.
public struct TrainingHistory: Sendable, Equatable, Codable {
  /// In their order.
  public internal(set) var steps: [StepReport] = []
  /// In their order.
  public internal(set) var evaluations: [Evaluation] = []

  /// By step.
  public var losses: [Float] { steps.map(\.loss) }

  /// The time that the steps so far have taken.
  public var seconds: Double { steps.last?.seconds ?? 0 }

  /// The place of the best evaluation: the highest score, of equal ones the lowest loss, of equals the first.
  private var bestPlace: Int? {
    evaluations.indices.max {
      let (a, b) = (evaluations[$0], evaluations[$1])
      return (a.score, -a.loss, $1) < (b.score, -b.loss, $0)
    }
  }

  /// The evaluation with the highest score; of equal ones that with the lowest loss, then the first.
  public var best: Evaluation? { bestPlace.map { evaluations[$0] } }

  /// How many evaluations there were after the best one.
  public var evaluationsSinceBest: Int { bestPlace.map { evaluations.count - 1 - $0 } ?? 0 }
}
