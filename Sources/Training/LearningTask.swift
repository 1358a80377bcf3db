import LoRANetworks
import LoRATensors

/// What a model is to learn: examples that are known by their index, the loss of some of them, and how good the model is
/// by now.
///
/// With a `TrainingPlan` it is a whole run:
/// ```swift
/// struct Line: LearningTask {
///   let (layer, x, y): (Linear, Tensor, Tensor)
///   var model: any Module { layer }
///   var count: Int { x.shape[0] }
///   func loss(of examples: [Int]) -> Tensor {
///     (layer(x.rows(at: examples)) - y.rows(at: examples)).squared().mean()
///   }
/// }
/// try trainer.run(task, TrainingPlan(steps: 100), drawing: &sampler)
/// ```
public protocol LearningTask {
  /// What learns.
  var model: any Module { get }
  /// How many examples there are.
  var count: Int { get }
  /// Whether there is something to evaluate on; by default there is not.
  var isEvaluated: Bool { get }
  /// How much an example counts for in the mean loss of a batch (its number of predicted tokens); by default 1.
  func weight(of example: Int) throws -> Float
  /// The mean loss of some examples, a scalar.
  func loss(of examples: [Int]) throws -> Tensor
  /// How good the model is on what it is not trained on: the highest score is the best. Only asked where `isEvaluated`.
  func evaluate() throws -> (score: Double, loss: Double)
}

extension LearningTask {
  public var isEvaluated: Bool { false }
  public func weight(of example: Int) -> Float { 1 }
  public func evaluate() -> (score: Double, loss: Double) {
    fatalError("evaluate: \(Self.self) says that it is evaluated, and does not say how")
  }
}

extension Trainer {
  /// The loop, for a task: as `run(_:_:drawing:…)` with its model, weights, evaluation and loss.
  ///
  /// - `task`: what is learnt.
  /// - `plan`: how long, when it is evaluated and stopped, where its state is kept.
  /// - `sampler`: says which examples make a batch.
  /// - `shouldStop`, `onStep`, `onEvaluation`: as there, and the errors too.
  @discardableResult
  public func run(
    _ task: some LearningTask, _ plan: TrainingPlan, drawing sampler: inout some BatchSampler,
    shouldStop: () -> Bool = { false }, onStep: (StepReport) -> Void = { _ in },
    onEvaluation: (Evaluation) -> Void = { _ in }
  ) throws -> TrainingOutcome {
    try run(
      task.model, plan, drawing: &sampler, weight: task.weight, shouldStop: shouldStop, onStep: onStep,
      onEvaluation: onEvaluation, evaluate: task.isEvaluated ? task.evaluate : nil, loss: task.loss)
  }
}
