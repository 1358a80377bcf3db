// Reading JSON from bytes: a cursor that others parse with, and the parser of whole values.
//
// Input is hostile until shown otherwise: nesting is bounded, duplicate keys are errors, strings must be UTF-8, and
// memory grows only with bytes that were read.

import LoRATensors

/// What is wrong with a JSON text, and at which byte.
public struct JSONError: DescribedError, Equatable {
  /// At which byte of the text, from 0.
  public let offset: Int
  /// What stands there that should not.
  public let message: String

  public var subject: String { "byte \(offset)" }
  public var problem: String { message }
  /// Whoever reads a file with it says what to do.
  public var advice: Advice { .given }
}

/// A cursor over JSON text. It copies nothing but the strings that it is asked for.
package struct JSONReader {
  let bytes: UnsafeRawBufferPointer
  package private(set) var offset = 0

  /// Deeper nesting is refused: neither headers nor configurations need it, and the parser recurses.
  static let deepestNesting = 64

  /// Whether strings are texts, which may hold anything, and not names.
  private let holdsTexts: Bool

  package init(_ bytes: UnsafeRawBufferPointer, holdsTexts: Bool = false) {
    self.bytes = bytes
    self.holdsTexts = holdsTexts
  }

  package func error(_ message: String) -> JSONError { JSONError(offset: offset, message: message) }

  private mutating func skipWhitespace() {
    while offset < bytes.count {
      switch bytes[offset] {
      case 0x20, 0x0A, 0x0D, 0x09: offset += 1
      default: return
      }
    }
  }

  /// The next byte that is not white space; `nil` at the end.
  package mutating func peek() -> UInt8? {
    skipWhitespace()
    return offset < bytes.count ? bytes[offset] : nil
  }

  /// Steps over `character` if it comes next.
  mutating func take(_ character: Character) -> Bool {
    guard let next = peek(), next == character.asciiValue else { return false }
    offset += 1
    return true
  }

  mutating func expect(_ character: Character) throws(JSONError) {
    guard take(character) else { throw error("expected '\(character)', found \(found)") }
  }

  package mutating func expectEnd() throws(JSONError) {
    guard peek() == nil else { throw error("expected the end, found \(found)") }
  }

  private var found: String {
    guard offset < bytes.count else { return "the end" }
    let byte = bytes[offset]
    return (0x21...0x7E).contains(byte) ? "'\(Character(UnicodeScalar(byte)))'" : "byte \(byte)"
  }

  /// Calls `body` at each member's value of an object; `body` must step over the value.
  package mutating func readObject(
    _ body: (inout JSONReader, String) throws(JSONError) -> Void
  ) throws(JSONError) {
    try expect("{")
    if take("}") { return }
    repeat {
      let key = try readString()
      try expect(":")
      try body(&self, key)
    } while take(",")
    try expect("}")
  }

  /// Calls `body` at each element of an array; `body` must step over it.
  package mutating func readArray(_ body: (inout JSONReader) throws(JSONError) -> Void) throws(JSONError) {
    try expect("[")
    if take("]") { return }
    repeat { try body(&self) } while take(",")
    try expect("]")
  }

  package mutating func readString() throws(JSONError) -> String {
    try expect("\"")
    let start = offset
    while offset < bytes.count, bytes[offset] != 0x22, bytes[offset] != 0x5C, bytes[offset] >= 0x20 { offset += 1 }
    guard offset < bytes.count else { throw error("a string without an end") }
    if bytes[offset] == 0x22 {
      defer { offset += 1 }
      return try text(UnsafeRawBufferPointer(rebasing: bytes[start..<offset]))
    }
    return try readEscapedString(from: start)
  }

  /// The slow way, for a string with escapes: `offset` stands at the first byte that isn't plain.
  private mutating func readEscapedString(from start: Int) throws(JSONError) -> String {
    var content = Array(bytes[start..<offset])
    while offset < bytes.count {
      let byte = bytes[offset]
      offset += 1
      switch byte {
      case 0x22: return try text(content)
      case 0x5C: try readEscape(into: &content)
      case ..<0x20: throw error("a control character in a string")
      default: content.append(byte)
      }
    }
    throw error("a string without an end")
  }

  private mutating func readEscape(into content: inout [UInt8]) throws(JSONError) {
    guard offset < bytes.count else { throw error("a string without an end") }
    let byte = bytes[offset]
    offset += 1
    switch byte {
    case 0x22, 0x5C, 0x2F: content.append(byte)
    case UInt8(ascii: "b"): content.append(0x08)
    case UInt8(ascii: "f"): content.append(0x0C)
    case UInt8(ascii: "n"): content.append(0x0A)
    case UInt8(ascii: "r"): content.append(0x0D)
    case UInt8(ascii: "t"): content.append(0x09)
    case UInt8(ascii: "u"):
      var code = try readHexadecimal()
      if (0xD800..<0xDC00).contains(code) {
        guard offset + 1 < bytes.count, bytes[offset] == 0x5C, bytes[offset + 1] == UInt8(ascii: "u") else {
          throw error("half a surrogate pair")
        }
        offset += 2
        let low = try readHexadecimal()
        guard (0xDC00..<0xE000).contains(low) else { throw error("half a surrogate pair") }
        code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
      }
      guard let scalar = UnicodeScalar(code) else { throw error("half a surrogate pair") }
      content.append(contentsOf: Array(String(Character(scalar)).utf8))
    default: throw error("an unknown escape in a string")
    }
  }

  private mutating func readHexadecimal() throws(JSONError) -> UInt32 {
    guard offset + 4 <= bytes.count else { throw error("a string without an end") }
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard let digit = Character(UnicodeScalar(bytes[offset])).hexDigitValue, bytes[offset] < 0x80 else {
        throw error("\\u needs four hexadecimal digits")
      }
      value = value << 4 | UInt32(digit)
      offset += 1
    }
    return value
  }

  private func text(_ content: some Sequence<UInt8>) throws(JSONError) -> String {
    guard let text = String(validating: content, as: UTF8.self) else { throw error("a string that is not UTF-8") }
    guard holdsTexts || text.isStreamSafe else { throw error("a string with more than 30 combining marks in a row") }
    return text
  }

  /// A number: an integer where it is written as one and fits.
  package mutating func readNumber() throws(JSONError) -> JSON {
    _ = peek()
    let start = offset
    var isInteger = true
    while offset < bytes.count {
      switch bytes[offset] {
      case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"): break
      case UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"), UInt8(ascii: "+"): isInteger = false
      default: return try number(in: start..<offset, isInteger: isInteger)
      }
      offset += 1
      guard offset - start <= 400 else { throw error("a number of more than 400 characters") }
    }
    return try number(in: start..<offset, isInteger: isInteger)
  }

  private func number(in range: Range<Int>, isInteger: Bool) throws(JSONError) -> JSON {
    let digits = String(decoding: bytes[range], as: UTF8.self)
    let unsigned = digits.hasPrefix("-") ? digits.dropFirst() : digits[...]
    guard let first = unsigned.first, first.isNumber, !(unsigned.count > 1 && first == "0" && isInteger) else {
      throw JSONError(
        offset: range.lowerBound,
        message: digits.isEmpty ? "expected a value, found \(found)" : "'\(digits)' is no number")
    }
    if isInteger, let value = Int(digits) { return .integer(value) }
    guard let value = Double(digits), value.isFinite else {
      throw JSONError(offset: range.lowerBound, message: "'\(digits)' is no number that fits")
    }
    return .number(value)
  }

  /// A whole value of any kind.
  package mutating func readValue(depth: Int = 0) throws(JSONError) -> JSON {
    guard depth < Self.deepestNesting else { throw error("nested deeper than \(Self.deepestNesting)") }
    switch peek() {
    case UInt8(ascii: "{"):
      var members: [JSON.Member] = []
      var keys: Set<ExactString> = []
      try readObject { reader, key throws(JSONError) in
        guard keys.insert(ExactString(key)).inserted else { throw reader.error("the key \"\(key)\" occurs twice") }
        members.append(JSON.Member(key, try reader.readValue(depth: depth + 1)))
      }
      return .object(members)
    case UInt8(ascii: "["):
      var values: [JSON] = []
      try readArray { reader throws(JSONError) in values.append(try reader.readValue(depth: depth + 1)) }
      return .array(values)
    case UInt8(ascii: "\""): return .string(try readString())
    case UInt8(ascii: "t"): return try readWord("true", .bool(true))
    case UInt8(ascii: "f"): return try readWord("false", .bool(false))
    case UInt8(ascii: "n"): return try readWord("null", .null)
    // Python's json writes these three where a float is not finite.
    case UInt8(ascii: "N"): return try readWord("NaN", .number(.nan))
    case UInt8(ascii: "I"): return try readWord("Infinity", .number(.infinity))
    case UInt8(ascii: "-") where offset + 1 < bytes.count && bytes[offset + 1] == UInt8(ascii: "I"):
      return try readWord("-Infinity", .number(-.infinity))
    default: return try readNumber()
    }
  }

  /// Steps over a value of any kind without building it.
  package mutating func skipValue(depth: Int = 0) throws(JSONError) {
    guard depth < Self.deepestNesting else { throw error("nested deeper than \(Self.deepestNesting)") }
    switch peek() {
    case UInt8(ascii: "{"):
      try readObject { reader, _ throws(JSONError) in try reader.skipValue(depth: depth + 1) }
    case UInt8(ascii: "["):
      try readArray { reader throws(JSONError) in try reader.skipValue(depth: depth + 1) }
    default: _ = try readValue(depth: depth)
    }
  }

  private mutating func readWord(_ word: StaticString, _ value: JSON) throws(JSONError) -> JSON {
    let length = word.utf8CodeUnitCount
    guard offset + length <= bytes.count,
      bytes[offset..<offset + length].elementsEqual(UnsafeBufferPointer(start: word.utf8Start, count: length))
    else { throw error("expected \(word), found something else") }
    offset += length
    return value
  }
}

extension JSON {
  /// Parses a whole text, which must hold one value and nothing after it.
  ///
  /// - `holdsTexts`: whether its strings are texts, which may hold anything; those of headers and configurations
  ///   are names, and may not have more than thirty combining marks in a row.
  public init(parsing bytes: UnsafeRawBufferPointer, holdsTexts: Bool = false) throws(JSONError) {
    var reader = JSONReader(bytes, holdsTexts: holdsTexts)
    let value = try reader.readValue()
    try reader.expectEnd()
    self = value
  }

  /// Parses a whole text, which must hold one value and nothing after it.
  public init(parsing text: String) throws(JSONError) {
    self = try Array(text.utf8).withUnsafeBytes { bytes in
      Result { () throws(JSONError) in try JSON(parsing: bytes) }
    }.get()
  }
}
