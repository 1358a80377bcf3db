/// GPT-2's spelling of the 256 bytes as printable characters: those of Latin-1 that print stand for themselves,
/// the others are U+0100 and up, in order (a space is "Ġ").
enum ByteAlphabet {
  /// By byte: its character.
  static let characters: [UInt16] = {
    var characters = [UInt16](repeating: 0, count: 256)
    var spare: UInt16 = 256
    for byte in 0..<256 {
      switch byte {
      case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF: characters[byte] = UInt16(byte)
      default:
        characters[byte] = spare
        spare += 1
      }
    }
    return characters
  }()

  /// By character, less than 324: its byte, or -1.
  private static let bytes: [Int16] = {
    var bytes = [Int16](repeating: -1, count: 324)
    for (byte, character) in characters.enumerated() { bytes[Int(character)] = Int16(byte) }
    return bytes
  }()

  /// Appends, in UTF-8, the character that spells `byte`.
  @inline(__always)
  static func appendCharacter(of byte: UInt8, to text: inout [UInt8]) {
    let character = characters[Int(byte)]
    if character < 0x80 {
      text.append(UInt8(character))
    } else {
      text.append(UInt8(0xC0 | character >> 6))
      text.append(UInt8(0x80 | character & 0x3F))
    }
  }

  /// The bytes that `token` spells, or `nil` where a character is none of the alphabet.
  static func bytes(of token: ArraySlice<UInt8>) -> [UInt8]? {
    var output: [UInt8] = []
    for scalar in String(decoding: token, as: UTF8.self).unicodeScalars {
      guard scalar.value < 324, bytes[Int(scalar.value)] >= 0 else { return nil }
      output.append(UInt8(bytes[Int(scalar.value)]))
    }
    return output
  }
}
