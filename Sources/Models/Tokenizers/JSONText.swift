// A JSON text whose values are found where they lie, without a tree.
//
// A tokenizer.json holds one table of 30 thousand to 300 thousand tokens, one list of merges, and a few small
// objects. The large two are read here, in one pass over the bytes; the small ones go to Foundation. The keys of
// the vocabulary stay bytes: as `String` keys of a dictionary, tokens that are canonically equivalent
// ("é" composed and decomposed) would be one key, and one of the two would be lost.
import Foundation

struct JSONText: Sendable {
  let bytes: [UInt8]

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  struct Malformed: Error {
    var offset: Int
    var expected: String
  }

  /// The range of the outermost value.
  func root() throws(Malformed) -> Range<Int> {
    let start = skippingSpace(0)
    let end = try endOfValue(start)
    guard skippingSpace(end) == bytes.count else { throw Malformed(offset: end, expected: "the end of the text") }
    return start..<end
  }

  /// The members of the object at `range`: each key unescaped, and the range of its value.
  func members(_ range: Range<Int>) throws(Malformed) -> [String: Range<Int>] {
    var members: [String: Range<Int>] = [:]
    try forEachMember(range) { key, value throws(Malformed) in
      members[String(decoding: try string(key), as: UTF8.self)] = value
    }
    return members
  }

  /// Calls `body` with the range of each key (with its quotes) and of its value.
  func forEachMember(
    _ range: Range<Int>, _ body: (_ key: Range<Int>, _ value: Range<Int>) throws(Malformed) -> Void
  ) throws(Malformed) {
    var position = try after("{", at: range.lowerBound)
    if peek(position) == UInt8(ascii: "}") { return }
    while true {
      let key = position..<(try endOfString(position))
      let start = try after(":", at: key.upperBound)
      let value = start..<(try endOfValue(start))
      try body(key, value)
      position = skippingSpace(value.upperBound)
      if peek(position) == UInt8(ascii: "}") { return }
      position = try after(",", at: position)
    }
  }

  /// Calls `body` with the range of each element of the array at `range`.
  func forEachElement(
    _ range: Range<Int>, _ body: (_ element: Range<Int>) throws(Malformed) -> Void
  ) throws(Malformed) {
    var position = try after("[", at: range.lowerBound)
    if peek(position) == UInt8(ascii: "]") { return }
    while true {
      let element = position..<(try endOfValue(position))
      try body(element)
      position = skippingSpace(element.upperBound)
      if peek(position) == UInt8(ascii: "]") { return }
      position = try after(",", at: position)
    }
  }

  /// The UTF-8 bytes of the string at `range` (with its quotes), unescaped.
  func string(_ range: Range<Int>) throws(Malformed) -> [UInt8] {
    guard peek(range.lowerBound) == UInt8(ascii: "\"") else {
      throw Malformed(offset: range.lowerBound, expected: "a string")
    }
    let content = bytes[(range.lowerBound + 1)..<(range.upperBound - 1)]
    guard content.contains(UInt8(ascii: "\\")) else { return Array(content) }
    // Escapes are rare: Foundation knows their rules (surrogate pairs among them).
    guard let string = (try? foundation(range)) as? String else {
      throw Malformed(offset: range.lowerBound, expected: "a string with valid escapes")
    }
    return Array(string.utf8)
  }

  /// The non-negative integer at `range`, within 31 bits.
  func integer(_ range: Range<Int>) throws(Malformed) -> Int {
    var value = 0
    for byte in bytes[range] {
      guard case UInt8(ascii: "0")...UInt8(ascii: "9") = byte, value < Int(Int32.max) / 10 else {
        throw Malformed(offset: range.lowerBound, expected: "a non-negative integer")
      }
      value = value * 10 + Int(byte - UInt8(ascii: "0"))
    }
    return value
  }

  /// The value at `range` as Foundation reads it.
  func foundation(_ range: Range<Int>) throws(Malformed) -> Any {
    do {
      return try JSONSerialization.jsonObject(with: Data(bytes[range]), options: [.fragmentsAllowed])
    } catch {
      throw Malformed(offset: range.lowerBound, expected: "valid JSON")
    }
  }

  // MARK: Scanning

  @inline(__always)
  private func peek(_ position: Int) -> UInt8? { position < bytes.count ? bytes[position] : nil }

  private func skippingSpace(_ start: Int) -> Int {
    var position = start
    while let byte = peek(position), byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
    return position
  }

  /// The position of the first byte after `mark` and the space around it.
  private func after(_ mark: Unicode.Scalar, at start: Int) throws(Malformed) -> Int {
    let position = skippingSpace(start)
    guard peek(position) == UInt8(ascii: mark) else { throw Malformed(offset: position, expected: "“\(mark)”") }
    return skippingSpace(position + 1)
  }

  private func endOfString(_ start: Int) throws(Malformed) -> Int {
    guard peek(start) == UInt8(ascii: "\"") else { throw Malformed(offset: start, expected: "a string") }
    var position = start + 1
    while let byte = peek(position) {
      if byte == UInt8(ascii: "\"") { return position + 1 }
      position += byte == UInt8(ascii: "\\") ? 2 : 1
    }
    throw Malformed(offset: start, expected: "a string with its closing quote")
  }

  private func endOfValue(_ start: Int) throws(Malformed) -> Int {
    guard let first = peek(start) else { throw Malformed(offset: start, expected: "a value") }
    switch first {
    case UInt8(ascii: "\""):
      return try endOfString(start)
    case UInt8(ascii: "{"), UInt8(ascii: "["):
      var depth = 0
      var position = start
      while let byte = peek(position) {
        switch byte {
        case UInt8(ascii: "\""):
          position = try endOfString(position)
          continue
        case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
        case UInt8(ascii: "}"), UInt8(ascii: "]"):
          depth -= 1
          if depth == 0 { return position + 1 }
        default: break
        }
        position += 1
      }
      throw Malformed(offset: start, expected: "an object or array with its closing bracket")
    default:
      var position = start
      scan: while let byte = peek(position) {
        switch byte {
        case UInt8(ascii: ","), UInt8(ascii: "}"), UInt8(ascii: "]"), 0x20, 0x0A, 0x0D, 0x09: break scan
        default: position += 1
        }
      }
      guard position > start else { throw Malformed(offset: start, expected: "a value") }
      return position
    }
  }
}
