// Which images make a batch: the draws of the library's `ShuffledBatches` and `ReplayBatches`, number for number.

#if !arch(wasm32)
  import LoRATensors
#endif

/// The examples in a new random order in every epoch.
package struct Shuffled {
  private let indices: [Int]
  private var generator: SeededGenerator
  private var order: [Int] = []
  private var position = 0

  package init(_ indices: [Int], seed: UInt64) {
    self.indices = indices
    generator = SeededGenerator(seed: seed)
  }

  /// The next `count`; fewer at the end of an epoch.
  package mutating func next(_ count: Int) -> [Int] {
    if position >= order.count {
      order = indices
      // The standard library's shuffle, with 64 bits also where `Int` has 32.
      for start in 0..<max(0, order.count - 1) {
        order.swapAt(start, start + Int(below(UInt64(order.count - start))))
      }
      position = 0
    }
    defer { position += count }
    return Array(order[position..<min(order.count, position + count)])
  }

  /// Uniform below a bound, without bias (Lemire, 2019), as `next(upperBound:)` draws.
  private mutating func below(_ bound: UInt64) -> UInt64 {
    var draw = bound.multipliedFullWidth(by: generator.next())
    if draw.low < bound {
      let threshold = (0 &- bound) % bound
      while draw.low < threshold { draw = bound.multipliedFullWidth(by: generator.next()) }
    }
    return draw.high
  }
}

/// Batches with a share of one digit and the rest of the others, which keep the model from forgetting them.
struct FocusedBatches {
  private var focus: Shuffled
  private var replay: Shuffled?
  private let focusCount: Int
  private let size: Int

  init(_ digit: Int, of labels: [UInt8], share: Float, size: Int, seed: UInt64) {
    focusCount = min(size, max(1, Int(share * Float(size) + 0.5)))
    self.size = size
    focus = Shuffled(labels.indices.filter { labels[$0] == digit }, seed: seed)
    if focusCount < size { replay = Shuffled(labels.indices.filter { labels[$0] != digit }, seed: seed &+ 1) }
  }

  mutating func next() -> [Int] {
    guard replay != nil else { return focus.next(size) }
    var batch: [Int] = []
    for _ in 0..<focusCount { batch += focus.next(1) }
    for _ in focusCount..<size { batch += replay!.next(1) }
    return batch
  }
}
