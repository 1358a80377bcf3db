/// The third stage of a tokenizer: a piece of text becomes token ids.
protocol TokenModel: Sendable {
  /// Whether pieces recur, so that remembering their ids saves time (words, not whole lines).
  var usesWords: Bool { get }
  /// Appends the ids of `word`, which is valid UTF-8 or, in a byte-level model, any bytes.
  func encode(_ word: UnsafeBufferPointer<UInt8>, into ids: inout [Int32])
}

/// The ids of the words met so far, for the length of one call: text repeats its words.
struct WordCache {
  private struct Entry {
    var word: Range<Int>
    var ids: Range<Int>
  }

  private var words: [UInt8] = []
  private var ids: [Int32] = []
  private var entries: [Entry] = []
  private var slots: [Int32] = Array(repeating: -1, count: 1024)

  /// Longer words seldom recur, and a bounded cache can't fill the memory.
  private static let longestWord = 64
  private static let mostEntries = 1 << 18

  /// Appends the ids of `word`, from memory or else from the model.
  mutating func encode(_ word: UnsafeBufferPointer<UInt8>, with model: some TokenModel, into output: inout [Int32]) {
    guard word.count <= WordCache.longestWord else { return model.encode(word, into: &output) }
    let hash = hashBytes(word)
    var slot = hash & (slots.count - 1)
    while slots[slot] >= 0 {
      let entry = entries[Int(slots[slot])]
      if entry.word.count == word.count, zip(words[entry.word], word).allSatisfy({ $0 == $1 }) {
        output += ids[entry.ids]
        return
      }
      slot = (slot + 1) & (slots.count - 1)
    }
    let start = output.count
    model.encode(word, into: &output)
    guard entries.count < WordCache.mostEntries else { return }
    slots[slot] = Int32(entries.count)
    entries.append(
      Entry(
        word: words.count..<(words.count + word.count), ids: ids.count..<(ids.count + output.count - start)))
    words += word
    ids += output[start...]
    if entries.count * 2 > slots.count { grow() }
  }

  private mutating func grow() {
    slots = Array(repeating: -1, count: slots.count * 4)
    for (index, entry) in entries.enumerated() {
      var slot =
        words.withUnsafeBufferPointer { hashBytes(UnsafeBufferPointer(rebasing: $0[entry.word])) } & (slots.count - 1)
      while slots[slot] >= 0 { slot = (slot + 1) & (slots.count - 1) }
      slots[slot] = Int32(index)
    }
  }
}
