import LoRANetworks
import LoRATensors

/// One training run: an optimizer, a schedule, and what it has gone through. `step` is for a loop of one's own; `run` is
/// the loop.
///
/// ```swift
/// let trainer = Trainer(Adam(model.trainableParameters, learningRate: 1e-3))
/// for batch in batches { try trainer.step { model(batch.images).crossEntropy(batch.labels) } }
/// ```
public final class Trainer {
  /// What changes the parameters.
  public let optimizer: any Optimizer
  /// What sets the optimizer's rate before each step; nil leaves it as it is.
  public let schedule: Schedule?
  /// The largest allowed norm over all gradients; larger ones are scaled down to it.
  public let clipping: Float?
  /// The processes that train together; of a batch in parts, each computes its own.
  public let ranks: any Collective
  /// The steps and evaluations so far, those of the run that this one goes on with too.
  public internal(set) var history = TrainingHistory()
  /// Since when, in seconds of the run.
  private var clock = (start: ContinuousClock.now, before: 0.0)

  /// The loss of every step so far.
  public var losses: [Float] { history.losses }

  /// - Parameters:
  ///   - optimizer: what changes the parameters, and which.
  ///   - schedule: the learning rate by step; by default the optimizer's own.
  ///   - clipping: the largest norm over all gradients; by default they are not clipped.
  ///   - ranks: the processes that train together; by default this one alone.
  public init(
    _ optimizer: any Optimizer, schedule: Schedule? = nil, clipping: Float? = nil, ranks: any Collective = OneProcess()
  ) {
    self.optimizer = optimizer
    self.schedule = schedule
    self.clipping = clipping
    self.ranks = ranks
  }

  /// One step. Throws `TrainingError`, before anything is changed, where the loss or the learning rate is no finite number,
  /// the loss depends on no trained parameter or, with `clipping`, the gradients' norm is no finite number. Without it
  /// such gradients end the same step too, but are met by the pass that changes the parameters, which are lost then.
  @discardableResult
  public func step(_ loss: () throws -> Tensor) throws -> StepReport {
    try step(optimizer.parameters.valueAndGradients(loss))
  }

  /// One step on a mini-batch in parts (gradient accumulation): the loss and its gradient are the means of the parts',
  /// each weighted by its share. Only one part's intermediate values are in memory at a time. Where several ranks train
  /// together, each computes a run of the parts, and the step's bits are those of one process with the same parts.
  ///
  /// - Parameters:
  ///   - shares: how much of the mini-batch each part is; together 1.
  ///   - loss: the loss of a part, by its place in `shares`.
  @discardableResult
  public func step(shares: [Float], loss: (_ part: Int) throws -> Tensor) throws -> StepReport {
    expect(!shares.isEmpty, "step: a batch without parts")
    let mean = try mean(of: Array(shares.indices), shares: shares, loss: loss)
    return try step((mean.value, mean.gradients))
  }

  func step(_ found: (value: Tensor, gradients: Gradients)) throws -> StepReport {
    let (value, gradients) = found
    if let schedule { optimizer.learningRate = schedule.rate(at: history.steps.count) }
    let number = history.steps.count + 1
    guard value.item.isFinite else {
      throw TrainingError.notFinite(loss: value.item, step: number, learningRate: optimizer.learningRate)
    }
    guard optimizer.learningRate.isFinite else {
      throw TrainingError.diverged("the learning rate is", step: number, learningRate: optimizer.learningRate)
    }
    guard optimizer.parameters.contains(where: { gradients[$0.parameter] != nil }) else {
      throw TrainingError.independent(step: number)
    }
    func diverged() -> TrainingError {
      .diverged("the gradients are", step: number, learningRate: optimizer.learningRate)
    }
    // A pass over all gradients costs up to a tenth of a step that is small. Where clipping needs none, the first step
    // alone makes it, before anything changes; after that the optimizer's own pass looks at them.
    let norm = clipping != nil || number == 1 ? Float(gradients.norm(over: optimizer.parameters)) : nil
    if let norm, !norm.isFinite { throw diverged() }
    // PyTorch's clip_grad_norm_ adds 1e-6 in the same place.
    let scale = clipping.map { min(1, $0 / (norm! + 1e-6)) } ?? 1
    guard optimizer.update(gradients, gradientScale: scale) else { throw diverged() }
    let report = StepReport(
      step: number, loss: value.item, learningRate: optimizer.learningRate,
      gradientNorm: clipping == nil ? nil : norm, seconds: seconds)
    history.steps.append(report)
    return report
  }

  /// How long the run has taken so far, the time between interruptions alone.
  public var seconds: Double { clock.before + (ContinuousClock.now - clock.start) / .seconds(1) }

  /// Lets the clock go on from the history's last step.
  func startClock() { clock = (.now, history.seconds) }

  /// - Throws: `TrainingError` where a step has spoilt the parameters though its loss was finite, `CollectiveError` where
  ///   they are not the same on all ranks.
  func checkParameters() throws {
    guard optimizer.parameters.allSatisfy({ $0.parameter.original.isFinite }) else {
      throw TrainingError.diverged(
        "the parameters are", step: history.steps.count, learningRate: optimizer.learningRate)
    }
    try ranks.requireSame("The digest of what is trained", digest)
  }
}
