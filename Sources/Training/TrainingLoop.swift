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
  ///   - shouldStop: asked after every step; where true, the state is kept and `TrainingError.interrupted` thrown. Ranks stop
  ///     together, at the next step, where one of them is asked to.
  ///   - onStep: is told of each step.
  ///   - onEvaluation: is told of each evaluation.
  ///   - evaluate: is asked for a score and a loss; without it the last parameters stay.
  ///   - loss: the mean loss of some examples, by their indices.
  /// - Throws: `TrainingError` where the run diverges, is interrupted or has no example; the model is then left as it is.
  ///   `CheckpointError` where a state can't be kept, or the one to resume is not of this run. `CollectiveError` where the
  ///   ranks part.
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
    // Rank 0 alone writes, and evaluates; every rank has the best in memory.
    var best = BestParameters(optimizer.parameters, beside: ranks.rank == 0 ? plan.keeping?.url : nil)
    var meetings = plan.local.map { Meetings($0, of: self) }
    if let state = plan.resumeFrom {
      let kept = try ranks.withFile(state) {
        try TrainingState.restore(self, of: model, sampler: &sampler, purpose: plan.keeping?.purpose ?? "", from: $0)
      }
      try meetings?.restore(kept, self)
      if history.best != nil { try ranks.withFile(BestParameters.file(beside: state)) { try best.restore(from: $0) } }
    }
    let noise = PartNoise(of: model)
    var isAgreed = ranks.count == 1
    startClock()
    func keep() throws {
      guard let keeping = plan.keeping else { return }
      try checkParameters()
      let others = try meetings?.state(optimizer) ?? [:]
      guard ranks.rank == 0 else { return }
      try TrainingState.save(
        self, of: model, sampler: sampler, purpose: keeping.purpose, parts: plan.accumulation, note: keeping.note,
        beside: others, to: keeping.url)
    }
    var isPatienceSpent: Bool { plan.patience.map { history.evaluationsSinceBest >= $0 } ?? false }
    while history.steps.count < plan.steps, !isPatienceSpent {
      let batch = sampler.next()
      guard !batch.isEmpty else { throw TrainingError.noExamples }
      let parts = batch.parts(plan.accumulation)
      if !isAgreed {
        // Another base, other data, another processor: found before the first step.
        try ranks.requireSame(
          "The first loss, with the number of steps and parts,",
          [try loss(parts[0]).item, Float(plan.steps), Float(plan.accumulation)])
        isAgreed = true
      }
      let stops = ranks.count > 1 && shouldStop()
      let worked = meetings == nil ? Array(parts.indices) : ownParts(of: parts.count)
      let weights = try worked.map { try parts[$0].reduce(0) { try $0 + weight($1) } }
      let whole = weights.reduce(0, +)
      let mean = try mean(of: worked, shares: weights.map { $0 / whole }, apart: meetings != nil, raising: stops) {
        part in
        noise.begin(step: history.steps.count, part: part)
        return try loss(parts[part])
      }
      noise.end()
      let report = try step((mean.value, mean.gradients))
      onStep(report)
      let since = meetings?.last ?? report.step - 1
      var isStopped = mean.isRaised
      if let every = meetings?.plan.everySteps {
        guard report.step % every == 0 || report.step == plan.steps else { continue }
        isStopped = try meetings!.meet(&history, raising: stops)
      }
      /// Whether it is so many steps since the last time, where ranks meet only now and then: or more.
      func isDue(every steps: Int) -> Bool { report.step / steps > since / steps }
      if let evaluate, report.step == plan.steps || plan.evaluateEvery.map(isDue) ?? false {
        try checkParameters()
        let (score, loss) = try ranks.first(evaluate)
        guard score.isFinite, loss.isFinite else {
          throw TrainingError.diverged(
            "the loss on the evaluation data is", step: report.step, learningRate: report.learningRate)
        }
        let evaluation = Evaluation(step: report.step, score: score, loss: loss)
        history.evaluations.append(evaluation)
        onEvaluation(evaluation)
        if history.best == evaluation { try best.keep(evaluation) }
      }
      if ranks.count > 1 ? isStopped : shouldStop() {
        try keep()
        throw TrainingError.interrupted(step: report.step)
      }
      if let keeping = plan.keeping, isDue(every: keeping.everySteps), report.step < plan.steps { try keep() }
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
