// The one loop of training: batches, steps, evaluations, the best, patience, resuming.

import LoRANetworks
import LoRATensors

extension Trainer {
  /// The loop: draws batches and takes steps up to the plan's number, counting those that were done before (by an
  /// earlier call, or by the run whose state is resumed); evaluates; at the end the model has the best parameters.
  ///
  /// - Parameters:
  ///   - model: what is trained, for the random state of its dropouts.
  ///   - plan: how long it is trained, when it is evaluated and stopped, where its state is kept.
  ///   - sampler: says which examples make a batch.
  ///   - weight: by example, how much it counts for in the mean loss of a batch (its number of predicted tokens); 1 for
  ///     a classifier.
  ///   - shouldStop: asked after every step; where true, the state is kept and `TrainingError.interrupted` thrown.
  ///   - onStep: is told of each step.
  ///   - onEvaluation: is told of each evaluation.
  ///   - evaluate: is asked for a score and a loss; without it the last parameters stay.
  ///   - loss: the mean loss of some examples, by their indices.
  /// - Throws: `TrainingError` where the run diverges, is interrupted or has no example; the model is then left as it is.
  ///   `CheckpointError` where a state can't be kept, or the one to resume is not of this run.
  @discardableResult
  public func run<Sampler: BatchSampler>(
    _ model: some Module, _ plan: TrainingPlan, drawing sampler: inout Sampler,
    weight: (Int) throws -> Float = { _ in 1 },
    shouldStop: () -> Bool = { false }, onStep: (StepReport) -> Void = { _ in },
    onEvaluation: (Evaluation) -> Void = { _ in }, evaluate: (() throws -> (score: Double, loss: Double))? = nil,
    loss: ([Int]) throws -> Tensor
  ) throws -> TrainingOutcome {
    expect(
      plan.accumulation > 0 && (plan.evaluateEvery ?? 1) > 0 && (plan.patience ?? 1) > 0,
      "run: a batch in \(plan.accumulation) parts, evaluated every \(plan.evaluateEvery ?? 1) steps with a patience of "
        + "\(plan.patience ?? 1); each is at least 1")
    var best = BestParameters(optimizer.parameters, beside: plan.keeping?.url)
    if let state = plan.resumeFrom {
      try TrainingState.restore(self, of: model, sampler: &sampler, purpose: plan.keeping?.purpose ?? "", from: state)
      if history.best != nil { try best.restore(beside: state) }
    }
    startClock()
    func keep() throws {
      guard let keeping = plan.keeping else { return }
      try checkParameters()
      try TrainingState.save(self, of: model, sampler: sampler, purpose: keeping.purpose, to: keeping.url)
    }
    var isPatienceSpent: Bool { plan.patience.map { history.evaluationsSinceBest >= $0 } ?? false }
    while history.steps.count < plan.steps, !isPatienceSpent {
      let batch = sampler.next()
      guard !batch.isEmpty else { throw TrainingError.noExamples }
      let parts = batch.parts(plan.accumulation)
      let whole = try batch.reduce(0) { try $0 + weight($1) }
      let shares = try parts.map { try $0.reduce(0) { try $0 + weight($1) } / whole }
      let report = try step(shares: shares) { try loss(parts[$0]) }
      onStep(report)
      let isDue = report.step == plan.steps || plan.evaluateEvery.map { report.step % $0 == 0 } ?? false
      if let evaluate, isDue {
        try checkParameters()
        let (score, loss) = try evaluate()
        guard score.isFinite, loss.isFinite else {
          throw TrainingError.diverged(
            "the loss on the evaluation data is", step: report.step, learningRate: report.learningRate)
        }
        let evaluation = Evaluation(step: report.step, score: score, loss: loss)
        history.evaluations.append(evaluation)
        onEvaluation(evaluation)
        if history.best == evaluation { try best.keep(evaluation) }
      }
      if shouldStop() {
        try keep()
        throw TrainingError.interrupted(step: report.step)
      }
      if let keeping = plan.keeping, report.step % keeping.everySteps == 0, report.step < plan.steps { try keep() }
    }
    try checkParameters()
    try keep()
    try best.putBack()
    return TrainingOutcome(
      history: history, best: best.evaluation, stoppedEarly: history.steps.count < plan.steps, seconds: seconds)
  }

  /// The same for a plan of nothing but a number of steps.
  @discardableResult
  public func run(
    _ model: some Module, steps: Int, drawing sampler: inout some BatchSampler,
    onStep: (StepReport) -> Void = { _ in }, loss: ([Int]) throws -> Tensor
  ) throws -> TrainingOutcome {
    try run(model, TrainingPlan(steps: steps), drawing: &sampler, onStep: onStep, loss: loss)
  }
}

extension [Int] {
  /// Cut into at most `count` parts of one size, of which the last may be smaller.
  fileprivate func parts(_ count: Int) -> [[Int]] {
    let size = (self.count - 1) / count + 1
    return stride(from: 0, to: self.count, by: size).map { Array(self[$0..<Swift.min($0 + size, self.count)]) }
  }
}
