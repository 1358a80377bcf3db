/// The regular expressions by which byte-level tokenizers cut text into words, written out by hand: they run over
/// every text that is read, and a general engine takes ten times as long.
package enum WordPattern: Sendable, CaseIterable {
  /// GPT-2's (Radford et al. 2019, `encoder.py`).
  case gpt2
  /// Llama 3's: any one mark may lead a word, numbers in groups of three, line ends kept together.
  case llama3
  /// Qwen2's: Llama 3's with each digit on its own.
  case qwen2

  package var expression: String {
    switch self {
    case .gpt2: #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#
    case .llama3: WordPattern.grouped(numbers: #"\p{N}{1,3}"#)
    case .qwen2: WordPattern.grouped(numbers: #"\p{N}"#)
    }
  }

  private static func grouped(numbers: String) -> String {
    #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"# + numbers
      + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
  }

  /// The end of the word that starts at `start`. Every byte belongs to a word.
  func end(of bytes: UnsafeBufferPointer<UInt8>, from start: Int, to limit: Int) -> Int {
    let text = Text(bytes: bytes, limit: limit)
    switch self {
    case .gpt2: return text.endOfGPT2Word(start)
    case .llama3: return text.endOfGroupedWord(start, numbersTogether: 3)
    case .qwen2: return text.endOfGroupedWord(start, numbersTogether: 1)
    }
  }
}

private struct Text {
  let bytes: UnsafeBufferPointer<UInt8>
  let limit: Int

  @inline(__always)
  func kind(_ position: Int) -> (kind: CharacterClass, next: Int) {
    let (scalar, length) = decodeScalar(bytes, position)
    return (CharacterClass.of(scalar), position + length)
  }

  /// The end of the run, from `start`, of scalars for which `belongs` holds.
  @inline(__always)
  func run(_ start: Int, most: Int = .max, _ belongs: (CharacterClass) -> Bool) -> Int {
    var position = start
    var count = 0
    while position < limit, count < most {
      let (kind, next) = kind(position)
      guard belongs(kind) else { break }
      position = next
      count += 1
    }
    return position
  }

  @inline(__always)
  func isLineEnd(_ byte: UInt8) -> Bool { byte == 0x0A || byte == 0x0D }

  static func isOther(_ kind: CharacterClass) -> Bool { kind.isDisjoint(with: [.space, .letter, .number]) }

  /// `'s|'t|'re|'ve|'m|'ll|'d`
  func endOfContraction(_ start: Int, ignoringCase: Bool) -> Int? {
    guard bytes[start] == UInt8(ascii: "'"), start + 1 < limit else { return nil }
    let fold: UInt8 = ignoringCase ? 0x20 : 0
    let first = bytes[start + 1] | fold
    switch first {
    case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"): return start + 2
    case UInt8(ascii: "r"), UInt8(ascii: "v"), UInt8(ascii: "l"):
      let second = first == UInt8(ascii: "l") ? first : UInt8(ascii: "e")
      return start + 2 < limit && bytes[start + 2] | fold == second ? start + 3 : nil
    case 0xC5 | fold where ignoringCase && start + 2 < limit && bytes[start + 1] == 0xC5 && bytes[start + 2] == 0xBF:
      return start + 3  // ſ, the long s, is an s when case is ignored
    default: return nil
    }
  }

  func endOfGPT2Word(_ start: Int) -> Int {
    if let end = endOfContraction(start, ignoringCase: false) { return end }
    let body = bytes[start] == 0x20 ? start + 1 : start
    if body < limit {
      let (kind, next) = kind(body)
      if kind.contains(.letter) { return run(next) { $0.contains(.letter) } }
      if kind.contains(.number) { return run(next) { $0.contains(.number) } }
      if !kind.contains(.space) { return run(next, Text.isOther) }
    }
    return endOfSpace(start)
  }

  func endOfGroupedWord(_ start: Int, numbersTogether: Int) -> Int {
    if let end = endOfContraction(start, ignoringCase: true) { return end }
    let (first, second) = kind(start)
    if first.contains(.letter) { return run(second) { $0.contains(.letter) } }
    if first.contains(.number) { return run(start, most: numbersTogether) { $0.contains(.number) } }
    if !isLineEnd(bytes[start]), second < limit, kind(second).kind.contains(.letter) {
      return run(second) { $0.contains(.letter) }
    }
    let body = bytes[start] == 0x20 ? start + 1 : start
    if body < limit, Text.isOther(kind(body).kind) {
      var end = run(body, Text.isOther)
      while end < limit, isLineEnd(bytes[end]) { end += 1 }
      return end
    }
    // `\s*[\r\n]+`: space up to the last line end in it.
    let end = run(start) { $0.contains(.space) }
    var lineEnd = end
    while lineEnd > start, !isLineEnd(bytes[lineEnd - 1]) { lineEnd -= 1 }
    return lineEnd > start ? lineEnd : endOfSpace(start)
  }

  /// `\s+(?!\S)|\s+`: the last space before a word is left for that word, unless it stands alone.
  func endOfSpace(_ start: Int) -> Int {
    let end = run(start) { $0.contains(.space) }
    guard end < limit else { return end }
    var last = end - 1
    while last > start, bytes[last] & 0xC0 == 0x80 { last -= 1 }
    return last > start ? last : end
  }
}
