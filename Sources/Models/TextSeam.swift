/// A place at which a long text can be cut for a tokenizer, so that the tokens of both parts are those of the whole.
///
/// Where that is depends on the tokenizer: one puts the space before a word into the word's token, another begins every
/// text as if a space stood before it. So the places are tried, with a few hundred bytes around them.
struct TextSeam {
  /// Where the first part ends.
  let end: Int
  /// Where the second begins: there, or behind the space that the tokenizer would put before it.
  let next: Int

  /// About as many bytes as are given to the tokenizer at once.
  static let pieceBytes = 1 << 20

  init(before end: Int) { self.init(end: end, next: end) }

  private init(end: Int, next: Int) { (self.end, self.next) = (end, next) }

  /// The last such place in `bytes`; where none is found, between two characters.
  init(in bytes: [UInt8], tokenizer: Tokenizer) {
    self =
      TextSeam.last(in: bytes, tokenizer: tokenizer)
      ?? TextSeam(before: TextSeam.places(in: bytes).first { bytes[$0] & 0xC0 != 0x80 } ?? bytes.count)
  }

  /// Places away from the end, so that what follows them is seen too, the last first.
  private static func places(in bytes: [UInt8]) -> ReversedCollection<Range<Int>> {
    (bytes.count / 2..<max(bytes.count / 2, bytes.count - 1024)).reversed()
  }

  /// The last such place in `bytes`; nil where none is found.
  static func last(in bytes: [UInt8], tokenizer: Tokenizer) -> TextSeam? {
    // White space; in a text without any, every character.
    let places = places(in: bytes)
    let spaces = places.lazy.filter { bytes[$0] == 0x20 || bytes[$0] == 0x0A }.prefix(64)
    let characters = places.lazy.filter { bytes[$0] & 0xC0 != 0x80 }.prefix(64)
    func ids(_ range: Range<Int>) -> [Int32] {
      tokenizer.encode(String(decoding: bytes[range], as: UTF8.self), addingSpecialTokens: false).ids
    }
    for place in spaces.isEmpty ? Array(characters) : Array(spaces) {
      let first = bytes[(place - 256)...].firstIndex { $0 & 0xC0 != 0x80 }!
      let last = bytes[..<(place + 257)].lastIndex { $0 & 0xC0 != 0x80 }!
      guard first < place, place + 1 < last else { continue }
      let (whole, left) = (ids(first..<last), ids(first..<place))
      for next in [place, place + 1] where next == place || bytes[place] == 0x20 {
        if whole == left + ids(next..<last) { return TextSeam(end: place, next: next) }
      }
    }
    return nil
  }
}
