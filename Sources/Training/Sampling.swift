import LoRATensors

/// Which examples make the next mini-batch. Codable, so that a resumed run draws the same.
public protocol BatchSampler: Codable {
  /// The indices of the next batch's examples, without end. Empty only where there is no example at all, which ends a run
  /// with `TrainingError.noExamples`.
  mutating func next() -> [Int]
}

/// All examples in a new random order in every epoch; the last batch of an epoch may be smaller.
public struct ShuffledBatches: BatchSampler {
  private let indices: [Int]
  private let batchSize: Int
  private var generator: SeededGenerator
  private var order: [Int] = []
  private var position = 0

  /// The examples `indices` by `batchSize`, at least 1; the seed says in which orders.
  public init(_ indices: [Int], batchSize: Int, seed: UInt64) {
    expect(batchSize > 0, "ShuffledBatches: batches of \(batchSize) examples")
    self.indices = indices
    self.batchSize = batchSize
    self.generator = SeededGenerator(seed: seed)
  }

  /// How many batches go once through all examples, a smaller last one included.
  public var batchesPerEpoch: Int { (indices.count + batchSize - 1) / batchSize }

  public mutating func next() -> [Int] {
    if position >= order.count {
      order = indices.shuffled(using: &generator)
      position = 0
    }
    let batch = order[position..<min(order.count, position + batchSize)]
    position += batch.count
    return Array(batch)
  }
}

/// Batches of which a fixed number of examples come from one group and the rest from another: a new skill with replay
/// of the old ones (Robins, 1995: rehearsal). The two groups are each gone through in shuffled order.
public struct ReplayBatches: BatchSampler {
  private var focus: ShuffledBatches
  private var replay: ShuffledBatches
  private let focusCount: Int
  private let replayCount: Int

  /// - Parameters:
  ///   - focus: examples of the new skill.
  ///   - replay: examples of the old ones.
  ///   - focusCount: how many of a batch are of the new skill, at least 1.
  ///   - replayCount: how many are of the old ones, at least 1.
  ///   - seed: says in which orders.
  public init(focus: [Int], replay: [Int], focusCount: Int, replayCount: Int, seed: UInt64) {
    expect(focusCount > 0 && replayCount > 0, "ReplayBatches: \(focusCount) and \(replayCount) examples a batch")
    self.focus = ShuffledBatches(focus, batchSize: 1, seed: seed)
    self.replay = ShuffledBatches(replay, batchSize: 1, seed: seed &+ 1)
    self.focusCount = focusCount
    self.replayCount = replayCount
  }

  public mutating func next() -> [Int] {
    let (new, old) = ((0..<focusCount).flatMap { _ in focus.next() }, (0..<replayCount).flatMap { _ in replay.next() })
    // Half a mixture is another recipe.
    return new.isEmpty || old.isEmpty ? [] : new + old
  }
}
