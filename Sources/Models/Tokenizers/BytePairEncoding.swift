/// Byte-pair encoding (Sennrich et al. 2016): a word begins as single symbols; of the adjacent pairs that have a
/// merge, the one learnt first is joined, the leftmost where there are several, until none is left.
///
/// O(n log n) in the word's length: the symbols form a linked list, the possible merges a heap.
struct BytePairEncoding: TokenModel {
  let table: TokenTable
  let merges: MergeTable
  /// By byte: the token that spells it. Byte-level models start from these (-1 where there is none).
  let byteTokens: [Int32]
  let isByteLevel: Bool
  /// A character that has no token becomes its bytes' tokens `<0x…>`.
  let fallsBackToBytes: Bool
  let unknown: Int32?
  /// Neighbouring unknown characters become one token.
  let fusesUnknown: Bool
  /// A word that is a token is that token, whatever the merges would give (Llama 3).
  let ignoresMerges: Bool
  /// Stands before every character of a word but the first ("##").
  let continuingPrefix: [UInt8]
  /// Stands behind the last character of a word ("</w>").
  let endSuffix: [UInt8]
  let usesWords: Bool

  func encode(_ word: UnsafeBufferPointer<UInt8>, into ids: inout [Int32]) {
    if ignoresMerges, let id = wholeWord(word) {
      ids.append(id)
      return
    }
    var symbols: [Int32] = []
    symbols.reserveCapacity(word.count)
    if isByteLevel {
      for byte in word {
        if byteTokens[Int(byte)] >= 0 {
          symbols.append(byteTokens[Int(byte)])
        } else if let unknown, !(fusesUnknown && symbols.last == unknown) {
          symbols.append(unknown)
        }
      }
    } else {
      appendCharacters(of: word, to: &symbols)
    }
    merge(symbols, into: &ids)
  }

  private func wholeWord(_ word: UnsafeBufferPointer<UInt8>) -> Int32? {
    guard isByteLevel else { return table.id(of: word) }
    var spelled: [UInt8] = []
    spelled.reserveCapacity(word.count * 2)
    for byte in word { ByteAlphabet.appendCharacter(of: byte, to: &spelled) }
    return table.id(of: spelled)
  }

  private func appendCharacters(of word: UnsafeBufferPointer<UInt8>, to symbols: inout [Int32]) {
    var position = 0
    var lastIsUnknown = false
    while position < word.count {
      let character = position..<(position + decodeScalar(word, position).length)
      let affixed = affixed(word, character)
      let id = affixed.map { table.id(of: $0) } ?? table.id(of: UnsafeBufferPointer(rebasing: word[character]))
      if let id {
        symbols.append(id)
        lastIsUnknown = false
      } else if fallsBackToBytes, (affixed ?? Array(word[character])).allSatisfy({ byteTokens[Int($0)] >= 0 }) {
        for byte in affixed ?? Array(word[character]) { symbols.append(byteTokens[Int(byte)]) }
        lastIsUnknown = false
      } else if let unknown {
        if !(fusesUnknown && lastIsUnknown) { symbols.append(unknown) }
        lastIsUnknown = true
      }
      position = character.upperBound
    }
  }

  /// A character with what its place in the word adds to it; nil where that is nothing.
  private func affixed(_ word: UnsafeBufferPointer<UInt8>, _ character: Range<Int>) -> [UInt8]? {
    guard !continuingPrefix.isEmpty || !endSuffix.isEmpty else { return nil }
    return (character.lowerBound > 0 ? continuingPrefix : []) + word[character]
      + (character.upperBound == word.count ? endSuffix : [])
  }

  /// Joins `symbols` and appends what is left to `ids`.
  private func merge(_ symbols: [Int32], into ids: inout [Int32]) {
    guard symbols.count > 1 else {
      ids += symbols
      return
    }
    var symbols = symbols  // -1 where a symbol was joined to the one before
    var next = Array(1...symbols.count)
    var previous = Array(-1..<(symbols.count - 1))
    var heap = MergeHeap()
    for index in 0..<(symbols.count - 1) {
      if let merge = merges[symbols[index], symbols[index + 1]] { heap.push(merge.rank, index, merge.id) }
    }
    while let (index, id) = heap.pop() {
      let right = next[index]
      // The pair may have changed since it was pushed.
      guard symbols[index] >= 0, right < symbols.count, merges[symbols[index], symbols[right]]?.id == id else {
        continue
      }
      symbols[index] = id
      symbols[right] = -1
      next[index] = next[right]
      if next[right] < symbols.count {
        previous[next[right]] = index
        if let merge = merges[id, symbols[next[right]]] { heap.push(merge.rank, index, merge.id) }
      }
      if previous[index] >= 0, let merge = merges[symbols[previous[index]], id] {
        heap.push(merge.rank, previous[index], merge.id)
      }
    }
    for symbol in symbols where symbol >= 0 { ids.append(symbol) }
  }
}

/// The merges by their pair of ids: which came first in training, and the token that they give.
struct MergeTable: Sendable {
  private struct Slot {
    var left: Int32 = -1
    var right: Int32 = -1
    var rank: Int32 = 0
    var id: Int32 = 0
  }
  private var slots: [Slot]

  init(capacity: Int) {
    var size = 32
    while size < capacity * 2 { size *= 2 }
    slots = Array(repeating: Slot(), count: size)
  }

  /// At most as many pairs as the capacity; a pair that is there is replaced.
  mutating func insert(_ left: Int32, _ right: Int32, rank: Int, id: Int32) {
    slots[slot(left, right)] = Slot(left: left, right: right, rank: Int32(rank), id: id)
  }

  subscript(left: Int32, right: Int32) -> (rank: Int32, id: Int32)? {
    let found = slots[slot(left, right)]
    return found.left < 0 ? nil : (found.rank, found.id)
  }

  @inline(__always)
  private func slot(_ left: Int32, _ right: Int32) -> Int {
    let mask = slots.count - 1
    let key = UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    let mixed = key &* 0x9E37_79B9_7F4A_7C15
    var slot = Int(truncatingIfNeeded: mixed ^ (mixed >> 32)) & mask
    while slots[slot].left >= 0, slots[slot].left != left || slots[slot].right != right { slot = (slot + 1) & mask }
    return slot
  }
}

/// A binary heap of possible merges: lowest rank first, then leftmost.
private struct MergeHeap {
  private var items: [(key: UInt64, id: Int32)] = []

  mutating func push(_ rank: Int32, _ index: Int, _ id: Int32) {
    items.append((UInt64(rank) << 32 | UInt64(index), id))
    var child = items.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard items[child].key < items[parent].key else { break }
      items.swapAt(child, parent)
      child = parent
    }
  }

  mutating func pop() -> (index: Int, id: Int32)? {
    guard let top = items.first else { return nil }
    let last = items.removeLast()
    if !items.isEmpty {
      items[0] = last
      var parent = 0
      while true {
        var child = 2 * parent + 1
        guard child < items.count else { break }
        if child + 1 < items.count, items[child + 1].key < items[child].key { child += 1 }
        guard items[child].key < items[parent].key else { break }
        items.swapAt(child, parent)
        parent = child
      }
    }
    return (Int(top.key & 0xFFFF_FFFF), top.id)
  }
}
