/// What tokenizers ask of a Unicode scalar. The Basic Multilingual Plane lies in a table, made once.
package struct CharacterClass: OptionSet, Sendable {
  package let rawValue: UInt8
  package init(rawValue: UInt8) { self.rawValue = rawValue }

  static let letter = CharacterClass(rawValue: 1)  // \p{L}
  static let number = CharacterClass(rawValue: 2)  // \p{N}
  static let space = CharacterClass(rawValue: 4)  // White_Space
  static let punctuation = CharacterClass(rawValue: 8)  // \p{P} and all of ASCII's punctuation and symbols
  static let nonspacingMark = CharacterClass(rawValue: 16)  // \p{Mn}
  static let control = CharacterClass(rawValue: 32)  // \p{Cc}, \p{Cf}, \p{Co}, U+FFFD; not tab, newline, return
  static let ideograph = CharacterClass(rawValue: 64)  // the CJK blocks that BERT splits
  static let word = CharacterClass(rawValue: 128)  // \w

  static func of(_ scalar: UInt32) -> CharacterClass {
    CharacterClass(rawValue: scalar < 0x10000 ? table[Int(scalar)] : computed(scalar))
  }

  private static let table: [UInt8] = (0..<0x10000).map { computed($0) }

  private static func computed(_ value: UInt32) -> UInt8 {
    guard let scalar = Unicode.Scalar(value) else { return 0 }
    var found: CharacterClass = []
    switch scalar.properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: found = [.letter, .word]
    case .decimalNumber: found = [.number, .word]
    case .letterNumber, .otherNumber: found = .number
    case .connectorPunctuation: found = [.punctuation, .word]
    case .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation, .finalPunctuation,
      .otherPunctuation:
      found = .punctuation
    case .nonspacingMark: found = [.nonspacingMark, .word]
    case .spacingMark, .enclosingMark: found = .word
    case .control, .format, .privateUse: if value != 0x09 && value != 0x0A && value != 0x0D { found = .control }
    default: break
    }
    if scalar.properties.isWhitespace { found.insert(.space) }
    if scalar.properties.isAlphabetic || scalar.properties.isJoinControl { found.insert(.word) }
    if value < 0x80, value > 0x20, value != 0x7F, found.isDisjoint(with: [.letter, .number]) {
      found.insert(.punctuation)
    }
    if value == 0xFFFD { found.insert(.control) }
    switch value {
    case 0x4E00...0x9FFF, 0x3400...0x4DBF, 0x20000...0x2A6DF, 0x2A700...0x2B73F, 0x2B740...0x2B81F, 0x2B920...0x2CEAF,
      0xF900...0xFAFF, 0x2F800...0x2FA1F:
      found.insert(.ideograph)
    default: break
    }
    return found.rawValue
  }
}

/// The scalar that starts at `position` of valid UTF-8, and how many bytes it takes.
@inline(__always)
func decodeScalar(_ bytes: UnsafeBufferPointer<UInt8>, _ position: Int) -> (scalar: UInt32, length: Int) {
  let first = UInt32(bytes[position])
  if first < 0x80 { return (first, 1) }
  func continuation(_ offset: Int) -> UInt32 { UInt32(bytes[position + offset]) & 0x3F }
  if first < 0xE0 { return ((first & 0x1F) << 6 | continuation(1), 2) }
  if first < 0xF0 { return ((first & 0x0F) << 12 | continuation(1) << 6 | continuation(2), 3) }
  return ((first & 0x07) << 18 | continuation(1) << 12 | continuation(2) << 6 | continuation(3), 4)
}
