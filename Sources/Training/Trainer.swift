import Foundation
import LoRANetworks
import LoRATensors

/// What one step did.
public struct StepReport: Sendable {
  /// Counted from 1.
  public let step: Int
  /// The loss before the step.
  public let loss: Float
  /// The rate of this step, as the schedule had it.
  public let learningRate: Float
  /// Norm over all gradients before clipping; nil where it was not needed.
  public let gradientNorm: Float?
}

/// Why training can't go on.
public enum TrainingError: Error, CustomStringConvertible {
  /// The loss is NaN or infinite.
  case notFinite(loss: Float, step: Int, learningRate: Float)
  /// Something besides the loss is no finite number any more; `what` says what, with its verb.
  case diverged(_ what: String, step: Int, learningRate: Float)
  /// The loss depends on none of the parameters that are trained.
  case independent(step: Int)
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
    case .interrupted(let step): "interrupted after step \(step)"
    }
  }
}

/// One training run: a loss, an optimizer, a schedule.
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
  /// The loss of every step so far.
  public private(set) var losses: [Float] = []

  /// - Parameters:
  ///   - optimizer: what changes the parameters, and which.
  ///   - schedule: the learning rate by step; by default the optimizer's own.
  ///   - clipping: the largest norm over all gradients; by default they are not clipped.
  public init(_ optimizer: any Optimizer, schedule: Schedule? = nil, clipping: Float? = nil) {
    self.optimizer = optimizer
    self.schedule = schedule
    self.clipping = clipping
  }

  /// One step. Throws `TrainingError`, before anything is changed, where the loss or the learning rate is no finite number,
  /// the loss depends on no trained parameter, or the gradients' norm is no finite number: with `clipping` in every step,
  /// without it in the first and in every sixteenth after that.
  @discardableResult
  public func step(_ loss: () throws -> Tensor) throws -> StepReport {
    try step(optimizer.parameters.valueAndGradients(loss))
  }

  /// One step on a mini-batch in parts (gradient accumulation): the loss and its gradient are the means of the parts',
  /// each weighted by its share. Only one part's intermediate values are in memory at a time.
  ///
  /// - Parameter loss: the loss of a part, by its place in `shares`.
  @discardableResult
  public func step(shares: [Float], loss: (_ part: Int) throws -> Tensor) throws -> StepReport {
    expect(!shares.isEmpty, "step: a batch without parts")
    if shares.count == 1 { return try step { try loss(0) } }
    var (mean, sums): (Float, Gradients) = (0, Gradients())
    for (part, share) in shares.enumerated() {
      let (value, gradients) = try optimizer.parameters.valueAndGradients { try loss(part) }
      mean += share * value.item
      for item in optimizer.parameters {
        guard let gradient = gradients[item.parameter] else { continue }
        sums[item.parameter] =
          sums[item.parameter].map { $0.adding(gradient, scaledBy: share) } ?? gradient * share
      }
    }
    return try step((Tensor(mean), sums))
  }

  private func step(_ found: (value: Tensor, gradients: Gradients)) throws -> StepReport {
    let (value, gradients) = found
    if let schedule { optimizer.learningRate = schedule.rate(at: losses.count) }
    let number = losses.count + 1
    guard value.item.isFinite else {
      throw TrainingError.notFinite(loss: value.item, step: number, learningRate: optimizer.learningRate)
    }
    guard optimizer.learningRate.isFinite else {
      throw TrainingError.diverged("the learning rate is", step: number, learningRate: optimizer.learningRate)
    }
    guard optimizer.parameters.contains(where: { gradients[$0.parameter] != nil }) else {
      throw TrainingError.independent(step: number)
    }
    // A pass over all gradients costs up to a tenth of a step that is small. Where none is needed for clipping, one is
    // made now and then; weights that a broken gradient broke in between end the next step, whose loss is no number.
    var norm: Float?
    if clipping != nil || number % 16 == 1 {
      norm = Float(gradients.norm(over: optimizer.parameters))
      guard norm!.isFinite else {
        throw TrainingError.diverged("the gradients are", step: number, learningRate: optimizer.learningRate)
      }
    }
    // PyTorch's clip_grad_norm_ adds 1e-6 in the same place.
    let scale = clipping.map { min(1, $0 / (norm! + 1e-6)) } ?? 1
    optimizer.update(gradients, gradientScale: scale)
    losses.append(value.item)
    return StepReport(
      step: number, loss: value.item, learningRate: optimizer.learningRate, gradientNorm: clipping == nil ? nil : norm)
  }

  func restore(losses: [Float]) { self.losses = losses }
}
