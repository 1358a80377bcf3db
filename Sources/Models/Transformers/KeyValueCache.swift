import LoRATensors

/// The keys and values of the tokens read so far, so that each new token is read alone.
public final class KeyValueCache {
  /// The tokens that it holds.
  public private(set) var ids: [Int] = []
  /// How many tokens it holds.
  public var count: Int { ids.count }
  /// How many tokens it has room for.
  public let capacity: Int
  /// Whether the keys were turned by the frequencies of long texts (`RotaryFrequencies.isStretched`).
  var isStretched = false
  private var keys: [Tensor]  // by layer: [capacity, heads, size]
  private var values: [Tensor]

  /// An empty cache, whose memory is taken at once.
  public init(for model: some LanguageModel, capacity: Int) {
    let shape = model.cacheShape
    self.capacity = capacity
    keys = (0..<shape.layers).map { _ in .zeros([capacity, shape.heads, shape.size]) }
    values = keys
  }

  /// Puts the keys and values of new tokens, [rows, heads, size], behind those of a layer, and returns them all.
  func append(_ newKeys: Tensor, _ newValues: Tensor, layer: Int) -> (keys: Tensor, values: Tensor) {
    expect(
      count + newKeys.shape[0] <= capacity,
      "KeyValueCache: \(newKeys.shape[0]) tokens more than \(count), but there is room for \(capacity)")
    let offset = count * newKeys.shape[1] * newKeys.shape[2]
    keys[layer].updateInPlace { newKeys.copyElements(to: $0 + offset) }
    values[layer].updateInPlace { newValues.copyElements(to: $0 + offset) }
    return (keys[layer], values[layer])
  }

  /// Counts the tokens as read, once every layer has them.
  func advance(by ids: [Int]) { self.ids += ids }

  /// Forgets all but the first tokens.
  public func truncate(to count: Int) {
    expect(count <= self.count, "KeyValueCache: \(count) tokens are more than the \(self.count) that it holds")
    ids.removeLast(self.count - count)
  }
}

extension Tensor {
  fileprivate func copyElements(to destination: UnsafeMutablePointer<Float>) {
    withUnsafeBufferPointer { destination.update(from: $0.baseAddress!, count: $0.count) }
  }
}
