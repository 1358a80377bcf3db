/// Tokens by id, and ids by token: an open-addressing table over one block of bytes.
///
/// Tokens are compared as bytes. (Swift's `String` compares by canonical equivalence, which would make one of two
/// tokens.)
struct TokenTable: Sendable {
  private var content: [UInt8] = []
  private var ranges: [Range<Int>] = []  // by id; empty where an id has no token
  private var slots: [Int32]  // ids, -1 where free; the count is a power of two
  private(set) var count = 0  // tokens

  init(minimumCapacity: Int = 16) {
    var capacity = 32
    while capacity < minimumCapacity * 2 { capacity *= 2 }
    slots = Array(repeating: -1, count: capacity)
  }

  /// Ids from here on are refused: the table has a place for each id, whether it is used or not, and no model has
  /// nearly as many tokens.
  static let mostIDs = 1 << 22

  /// One more than the largest id.
  var idBound: Int { ranges.count }

  subscript(id: Int) -> ArraySlice<UInt8>? {
    guard id >= 0, id < ranges.count, !ranges[id].isEmpty else { return nil }
    return content[ranges[id]]
  }

  func id(of token: some Collection<UInt8>) -> Int32? {
    let found =
      token.withContiguousStorageIfAvailable { id(of: $0) } ?? Array(token).withUnsafeBufferPointer { id(of: $0) }
    return found
  }

  func id(of token: UnsafeBufferPointer<UInt8>) -> Int32? {
    let slot = slot(of: token)
    return slots[slot] < 0 ? nil : slots[slot]
  }

  /// Gives `token` this id; `false` where the token has one already.
  mutating func insert(_ token: [UInt8], id: Int) -> Bool {
    if (count + 1) * 2 > slots.count { grow() }
    let slot = token.withUnsafeBufferPointer { self.slot(of: $0) }
    guard slots[slot] < 0 else { return false }
    while ranges.count <= id { ranges.append(0..<0) }
    ranges[id] = content.count..<(content.count + token.count)
    content += token
    slots[slot] = Int32(id)
    count += 1
    return true
  }

  private func slot(of token: UnsafeBufferPointer<UInt8>) -> Int {
    let mask = slots.count - 1
    var slot = hashBytes(token) & mask
    while slots[slot] >= 0 {
      let range = ranges[Int(slots[slot])]
      if range.count == token.count, zip(token, content[range]).allSatisfy({ $0 == $1 }) { break }
      slot = (slot + 1) & mask
    }
    return slot
  }

  private mutating func grow() {
    let old = slots
    slots = Array(repeating: -1, count: old.count * 2)
    for id in old where id >= 0 {
      let range = ranges[Int(id)]
      let slot = content.withUnsafeBufferPointer { self.slot(of: UnsafeBufferPointer(rebasing: $0[range])) }
      slots[slot] = id
    }
  }
}

/// FNV-1a, with its high bits mixed in.
@inline(__always)
func hashBytes(_ bytes: UnsafeBufferPointer<UInt8>) -> Int {
  var hash: UInt64 = 0xCBF2_9CE4_8422_2325
  for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
  return Int(truncatingIfNeeded: hash ^ (hash >> 29))
}
