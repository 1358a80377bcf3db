import LoRATensors

/// Which examples make the next mini-batch. Codable, so that a resumed run draws the same.
public protocol BatchSampler: Codable {
  /// The indices of the next batch's examples, without end. Empty only where there is no example at all, which ends a run
  /// with `TrainingError.noExamples`.
  mutating func next() -> [Int]
  /// Whether it draws from the same examples, in batches of the same size: else a state is another run's.
  func isLike(_ other: Self) -> Bool
}

extension BatchSampler {
  public func isLike(_ other: Self) -> Bool { true }
}

/// All examples in a new random order in every epoch; the last batch of an epoch may be smaller.
public struct ShuffledBatches: BatchSampler {
  /// `nil`: the numbers below `count`.
  private let indices: [Int]?
  private let count: Int
  private let batchSize: Int
  private var generator: SeededGenerator
  /// The epoch's order: of more than a million examples, drawn in a way that holds none of them.
  private var order: [Int] = []
  private var permutation: Permutation?
  private var position = 0

  /// The examples `indices` by `batchSize`, at least 1; the seed says in which orders.
  public init(_ indices: [Int], batchSize: Int, seed: UInt64) {
    self.init(indices, count: indices.count, batchSize, seed)
  }

  /// The examples 0, 1, … `count` − 1.
  public init(count: Int, batchSize: Int, seed: UInt64) { self.init(nil, count: count, batchSize, seed) }

  private init(_ indices: [Int]?, count: Int, _ batchSize: Int, _ seed: UInt64) {
    expect(batchSize > 0, "ShuffledBatches: batches of \(batchSize) examples")
    self.indices = indices
    self.count = count
    self.batchSize = batchSize
    self.generator = SeededGenerator(seed: seed)
    position = count
  }

  /// From a state, which may be anything.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    indices = try container.decodeIfPresent([Int].self, forKey: .indices)
    count = try container.decode(Int.self, forKey: .count)
    batchSize = try container.decode(Int.self, forKey: .batchSize)
    generator = try container.decode(SeededGenerator.self, forKey: .generator)
    order = try container.decode([Int].self, forKey: .order)
    permutation = try container.decodeIfPresent(Permutation.self, forKey: .permutation)
    position = try container.decode(Int.self, forKey: .position)
    let isDrawn = permutation.map { $0.count == count } ?? (order.count == count || position == count)
    let known = indices.map(Set.init)
    guard count > 0, batchSize > 0, (0...count).contains(position), isDrawn, indices.map({ $0.count == count }) ?? true,
      order.allSatisfy({ known?.contains($0) ?? (0..<count).contains($0) })
    else {
      throw DecodingError.dataCorruptedError(
        forKey: .order, in: container, debugDescription: "the order is none of \(count) examples")
    }
  }

  public func isLike(_ other: ShuffledBatches) -> Bool {
    (indices, count, batchSize) == (other.indices, other.count, other.batchSize)
  }

  /// How many batches go once through all examples, a smaller last one included.
  public var batchesPerEpoch: Int { count == 0 ? 0 : (count - 1) / batchSize + 1 }

  public mutating func next() -> [Int] {
    if position >= count {
      if count > 1 << 20 {
        permutation = Permutation(count: count, using: &generator)
      } else {
        order = (indices ?? Array(0..<count)).shuffled(using: &generator)
      }
      position = 0
    }
    let places = position..<min(count, batchSize > count ? count : position + batchSize)
    position = places.upperBound
    guard let permutation else { return Array(order[places]) }
    return places.map { place in
      let drawn = permutation[place]
      return indices?[drawn] ?? drawn
    }
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

  public func isLike(_ other: ReplayBatches) -> Bool {
    focus.isLike(other.focus) && replay.isLike(other.replay)
      && (focusCount, replayCount) == (other.focusCount, other.replayCount)
  }

  public mutating func next() -> [Int] {
    let (new, old) = ((0..<focusCount).flatMap { _ in focus.next() }, (0..<replayCount).flatMap { _ in replay.next() })
    // Half a mixture is another recipe.
    return new.isEmpty || old.isEmpty ? [] : new + old
  }
}
