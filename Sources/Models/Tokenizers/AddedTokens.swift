/// The tokens that are cut out of a text before anything else is done to it (`[SEP]`, `<|endoftext|>`, …).
struct AddedTokens: Sendable {
  struct Token: Sendable {
    var id: Int32
    var content: [UInt8]
    /// Matches only where no word character stands beside it.
    var singleWord: Bool
    /// Takes the space before, or after, with it.
    var stripsLeft: Bool
    var stripsRight: Bool
    /// Is looked for in the normalized text.
    var isNormalized: Bool
    /// Is left out when decoding for reading.
    var isSpecial: Bool
  }

  private let tokens: [Token]
  private let byFirst: [[Int]]  // by first byte: indices into tokens, longest content first

  init(_ tokens: [Token]) {
    let sorted = tokens.filter { !$0.content.isEmpty }.sorted { $0.content.count > $1.content.count }
    var byFirst = [[Int]](repeating: [], count: 256)
    for (index, token) in sorted.enumerated() { byFirst[Int(token.content[0])].append(index) }
    self.tokens = sorted
    self.byFirst = byFirst
  }

  var isEmpty: Bool { tokens.isEmpty }

  enum Part {
    case text(Range<Int>)
    case token(Int32)
  }

  /// The text cut at its added tokens, leftmost first and the longest of several.
  func parts(of text: [UInt8]) -> [Part] {
    guard !tokens.isEmpty else { return [.text(0..<text.count)] }
    var parts: [Part] = []
    text.withUnsafeBufferPointer { bytes in
      var start = 0
      var position = 0
      while position < bytes.count {
        guard !byFirst[Int(bytes[position])].isEmpty, let token = token(in: bytes, at: position) else {
          position += 1
          continue
        }
        // The next one is looked for behind this, even in space that it takes with it.
        let next = position + token.content.count
        guard !token.singleWord || standsAlone(position..<next, in: bytes) else {
          position = next
          continue
        }
        var end = next
        var textEnd = position
        if token.stripsLeft {
          while textEnd > start, let before = AddedTokens.previous(bytes, textEnd, start), isSpace(bytes, before) {
            textEnd = before
          }
        }
        if token.stripsRight {
          while end < bytes.count, isSpace(bytes, end) { end += decodeScalar(bytes, end).length }
        }
        if textEnd > start { parts.append(.text(start..<textEnd)) }
        parts.append(.token(token.id))
        (start, position) = (end, next)
      }
      if start < bytes.count { parts.append(.text(start..<bytes.count)) }
    }
    return parts
  }

  /// The longest token here.
  private func token(in bytes: UnsafeBufferPointer<UInt8>, at position: Int) -> Token? {
    for index in byFirst[Int(bytes[position])] {
      let token = tokens[index]
      let end = position + token.content.count
      if end <= bytes.count, bytes[position..<end].elementsEqual(token.content) { return token }
    }
    return nil
  }

  private func standsAlone(_ range: Range<Int>, in bytes: UnsafeBufferPointer<UInt8>) -> Bool {
    if let before = AddedTokens.previous(bytes, range.lowerBound, 0), isWord(bytes, before) { return false }
    return range.upperBound == bytes.count || !isWord(bytes, range.upperBound)
  }

  private func isSpace(_ bytes: UnsafeBufferPointer<UInt8>, _ position: Int) -> Bool {
    CharacterClass.of(decodeScalar(bytes, position).scalar).contains(.space)
  }

  private func isWord(_ bytes: UnsafeBufferPointer<UInt8>, _ position: Int) -> Bool {
    CharacterClass.of(decodeScalar(bytes, position).scalar).contains(.word)
  }

  private static func previous(_ bytes: UnsafeBufferPointer<UInt8>, _ position: Int, _ start: Int) -> Int? {
    guard position > start else { return nil }
    var before = position - 1
    while before > start, bytes[before] & 0xC0 == 0x80 { before -= 1 }
    return before
  }
}
