// Trained wide, shipped narrow.

import LoRAAdapters
import LoRALinearAlgebra
import LoRANetworks
import LoRATensors
import LoRATraining

/// What a trained adapter of a wide rank becomes without getting worse: its best approximation of half the rank, of a quarter,
/// and so on, as long as the evaluation's score is no lower and its loss at most a hundredth higher.
///
/// B A of a smaller rank is exact as the singular value decomposition has it (`svd(ofProduct:)`). In memory the factors keep
/// their shape, the rest being zero; a file need not hold that.
public struct Narrowing: Sendable, Equatable {
  /// An adapter cut to a rank, and how it did.
  public struct Step: Sendable, Equatable {
    /// Of every module.
    public let rank: Int
    /// The evaluation's, the higher the better.
    public let score: Double
    /// The evaluation's.
    public let loss: Double
  }

  /// The ranks that were tried, the trained one first.
  public let steps: [Step]
  /// The rank that the adapter has now.
  public let rank: Int

  /// By how much the loss may grow.
  private static let tolerance = 0.01

  /// Cuts the plain LoRAs of a trained task's model.
  ///
  /// - `task`: evaluated, and trained.
  /// - `rank`: of its adapters.
  /// - Returns: nil where there is nothing to cut: no evaluation, no plain LoRA, rank 1.
  /// - Throws: what the evaluation throws; `LinearAlgebraError` where a factor is not finite.
  public init?(of task: some LearningTask, from rank: Int) throws {
    let adapters = task.model.attachedAdapters.compactMap { $0.adapter as? LoRA }
    guard task.isEvaluated, rank > 1, !adapters.isEmpty, adapters.allSatisfy({ $0.rank == rank && $0.origin == nil })
    else { return nil }
    let updates = try adapters.map { try svd(ofProduct: $0.b.original, $0.a.original) }
    func cut(to rank: Int) throws {
      for (adapter, update) in zip(adapters, updates) {
        let (b, a) = update.truncated(to: min(rank, update.singularValues.count)).balanced()
        let rest = adapter.rank - a.shape[0]
        try adapter.a.assignOriginal(.concatenated([a, .zeros([rest, a.shape[1]])], axis: 0))
        try adapter.b.assignOriginal(.concatenated([b, .zeros([b.shape[0], rest])], axis: 1))
      }
    }
    let trained = adapters.map { ($0.a.original, $0.b.original) }
    let (score, loss) = try task.evaluate()
    var steps = [Step(rank: rank, score: score, loss: loss)]
    var kept = rank
    while kept > 1 {
      try cut(to: kept / 2)
      let (newScore, newLoss) = try task.evaluate()
      steps.append(Step(rank: kept / 2, score: newScore, loss: newLoss))
      // Where the score is the loss (a decoder's), the tolerance is all.
      let isWorse = newLoss > loss + Self.tolerance * abs(loss) || newScore < score && score != -loss
      if isWorse { break }
      kept /= 2
    }
    if kept == rank {
      for (adapter, (a, b)) in zip(adapters, trained) {
        try adapter.a.assignOriginal(a)
        try adapter.b.assignOriginal(b)
      }
    } else {
      try cut(to: kept)
    }
    (self.steps, self.rank) = (steps, kept)
  }
}
