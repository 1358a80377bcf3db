import Foundation
import LoRATensors

/// How far a run goes, when it is evaluated and stopped, and where it is kept.
///
/// Digits, classifiers and decoders are plans of one loop, `Trainer.run`; what is learnt is a ``LearningTask``.
public struct TrainingPlan {
  /// Steps in all, those before an interruption included.
  public var steps: Int
  /// In how many parts a batch is worked on, which saves memory. Ranks share them; a rank that gets none waits.
  public var accumulation = 1
  /// Lets ranks train apart and meet now and then; nil: they make every step together.
  public var local: LocalTraining?
  /// Steps between two evaluations; nil: only the last step is evaluated, as it is in any case.
  public var evaluateEvery: Int?
  /// Stops after so many evaluations without a better one.
  public var patience: Int?
  /// Where the state is kept: every so many steps, at the end, and when stopped.
  public var keeping: StateKeeping?
  /// A state to go on from: the outcome is then that of a run without interruption, bit for bit. It must be of the
  /// purpose that `keeping` names.
  public var resumeFrom: URL?

  /// So many steps, and nothing else.
  public init(steps: Int) { self.steps = steps }
}

/// Where, and how often, a run keeps its state.
public struct StateKeeping {
  /// The state's file.
  public let url: URL
  /// After how many steps it is written anew, at least 1.
  public let everySteps: Int
  /// What the run is; a state is only taken up by a run of the same purpose.
  public let purpose: String
  /// What the run found out before its first step, for who resumes it (`TrainingState.note(in:)`).
  public var note: Data?

  /// A state in the file `url`, written every `everySteps` steps of a run of this purpose.
  public init(url: URL, everySteps: Int, purpose: String) {
    expect(everySteps > 0, "StateKeeping: every \(everySteps) steps")
    self.url = url
    self.everySteps = everySteps
    self.purpose = purpose
  }
}

/// What came of a run.
public struct TrainingOutcome: Sendable {
  /// All steps and evaluations, those before an interruption too.
  public var history: TrainingHistory
  /// The evaluation whose parameters the model has now; nil where nothing was evaluated.
  public var best: Evaluation?
  /// Whether patience was spent before the last step.
  public var stoppedEarly: Bool
  /// How long it took, the time between interruptions alone.
  public var seconds: Double

  /// By step.
  public var losses: [Float] { history.losses }
  /// In their order.
  public var evaluations: [Evaluation] { history.evaluations }
}
