import Foundation
import LoRANetworks
import LoRATensors
import LoRATraining

/// How long and how fast to train.
public struct FineTuningSchedule: Sendable {
  /// Passes over the examples, where no number of steps is given.
  public var epochs = 3.0
  /// Steps in all, instead of epochs.
  public var steps: Int?
  /// Examples of a step.
  public var batchSize = 32
  /// A batch is worked on in so many parts, which saves memory, and which ranks share.
  public var accumulation = 1
  /// Lets ranks train apart and meet now and then.
  public var local: LocalTraining?
  /// AdamW's rate at its highest.
  public var learningRate: Float = 1e-3
  /// How the rate goes on after the warm-up.
  public var shape = Schedule.Shape.linear
  /// The share of the steps in which the learning rate rises from zero.
  public var warmUp = 0.06
  /// AdamW's decay of every trained parameter.
  public var weightDecay: Float = 0.01
  /// The largest norm over all gradients; nil for none.
  public var clipping: Float? = 1
  /// Of the order of the examples.
  public var seed: UInt64 = 0
  /// Steps between two evaluations; by default once an epoch.
  public var evaluateEvery: Int?
  /// Stops after so many evaluations without a better one.
  public var patience: Int?

  /// Three epochs by 32 examples at 1e-3, falling linearly.
  public init() {}

  /// The steps that a run on so many examples takes, at least 1.
  public func totalSteps(examples: Int) -> Int {
    steps ?? max(1, Int((epochs * Double(stepsPerEpoch(examples))).rounded()))
  }

  func stepsPerEpoch(_ examples: Int) -> Int { examples == 0 ? 0 : (examples - 1) / batchSize + 1 }
}

/// A run of fine-tuning: a recipe's parameters, a schedule's batches, in the one loop of `Trainer`.
public struct FineTuning {
  /// How long and how fast.
  public let schedule: FineTuningSchedule
  /// What; the model was prepared by it.
  public let recipe: FineTuningRecipe

  /// A recipe's parameters, trained by a schedule.
  public init(_ recipe: FineTuningRecipe, _ schedule: FineTuningSchedule) {
    self.recipe = recipe
    self.schedule = schedule
  }

  /// Trains what is trainable in the task's model.
  ///
  /// - `task`: what is learnt.
  /// - `ranks`: the processes that train it together.
  /// - `keeping`: where a state is kept every so many steps, at the end and when stopped; the best parameters so far lie
  ///   beside it.
  /// - `resumeFrom`: a state to go on from: the outcome is then that of a run without interruption, bit for bit.
  /// - `shouldStop`, `onStep`, `onEvaluation`: as in `Trainer.run`, whose errors it throws.
  public func run(
    _ task: some LearningTask, ranks: any Collective = OneProcess(), keeping: StateKeeping? = nil,
    resumeFrom: URL? = nil, shouldStop: () -> Bool = { false }, onStep: (StepReport) -> Void = { _ in },
    onEvaluation: (Evaluation) -> Void = { _ in }
  ) throws -> TrainingOutcome {
    let (parameters, examples) = (task.model.trainableParameters, task.count)
    var plan = TrainingPlan(steps: schedule.totalSteps(examples: examples))
    (plan.accumulation, plan.local) = (schedule.accumulation, schedule.local)
    plan.evaluateEvery = schedule.evaluateEvery ?? max(1, schedule.stepsPerEpoch(examples))
    (plan.patience, plan.keeping, plan.resumeFrom) = (schedule.patience, keeping, resumeFrom)
    let trainer = Trainer(
      Adam(
        parameters, learningRate: schedule.learningRate, weightDecay: .decoupled(schedule.weightDecay),
        groups: try recipe.groups(of: parameters)),
      schedule: Schedule(
        schedule.shape, learningRate: schedule.learningRate, warmUpSteps: Int(schedule.warmUp * Double(plan.steps)),
        totalSteps: plan.steps),
      clipping: schedule.clipping, ranks: ranks)
    var sampler = ShuffledBatches(count: examples, batchSize: schedule.batchSize, seed: schedule.seed)
    return try trainer.run(
      task, plan, drawing: &sampler, shouldStop: shouldStop, onStep: onStep, onEvaluation: onEvaluation)
  }
}
