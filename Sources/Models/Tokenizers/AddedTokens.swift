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
        guard !byFirst[Int(bytes[position])].isEmpty, let token = token(in: bytes, at: position, from: start) else {
          position += 1
          continue
        }
        var end = position + token.content.count
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
        (start, position) = (end, end)
      }
      if start < bytes.count { parts.append(.text(start..<bytes.count)) }
    }
    return parts
  }

  private func token(in bytes: UnsafeBufferPointer<UInt8>, at position: Int, from start: Int) -> Token? {
    for index in byFirst[Int(bytes[position])] {
      let token = tokens[index]
      let end = position + token.content.count
      guard end <= bytes.count, bytes[position..<end].elementsEqual(token.content) else { continue }
      if token.singleWord {
        // Only the longest token counts; where it stands inside a word, nothing matches here.
        if let before = AddedTokens.previous(bytes, position, 0), isWord(bytes, before) { return nil }
        if end < bytes.count, isWord(bytes, end) { return nil }
      }
      return token
    }
    return nil
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
