import Foundation

/// The map of characters that SentencePiece compiles into a model: what is replaced lies in a double-array trie
/// (Aoe 1989, in the layout of darts-clone), what replaces it in one text behind it.
package struct CharacterMap: Sendable {
  private let units: [UInt32]
  private let texts: [UInt8]

  /// - Parameter bytes: the trie's size in bytes, the trie, and the texts, each with a zero at its end. Empty: no map.
  /// - Returns: nil where it is cut off.
  init?(_ bytes: [UInt8]) {
    guard bytes.count >= 4 else {
      guard bytes.isEmpty else { return nil }
      (units, texts) = ([], [])
      return
    }
    func word(_ place: Int) -> UInt32 {
      UInt32(bytes[place]) | UInt32(bytes[place + 1]) << 8 | UInt32(bytes[place + 2]) << 16 | UInt32(bytes[place + 3])
        << 24
    }
    let size = Int(word(0))
    guard size % 4 == 0, size <= bytes.count - 4 else { return nil }
    units = (0..<size / 4).map { word(4 + 4 * $0) }
    texts = Array(bytes[(4 + size)...])
  }

  var isEmpty: Bool { units.isEmpty }

  /// What the beginnings of a text are replaced by, shortest first: their lengths, and where the replacements stand.
  private func prefixes(of text: ArraySlice<UInt8>, _ body: (_ length: Int, _ place: Int) -> Void) {
    func offset(_ unit: UInt32) -> Int { Int((unit >> 10) << ((unit & (1 << 9)) >> 6)) }
    guard var unit = units.first else { return }
    var node = offset(unit)
    for (index, byte) in text.enumerated() {
      guard byte != 0 else { return }
      node ^= Int(byte)
      guard units.indices.contains(node) else { return }
      unit = units[node]
      guard unit & (1 << 31 | 0xFF) == UInt32(byte) else { return }
      node ^= offset(unit)
      if unit >> 8 & 1 == 1 {
        guard units.indices.contains(node) else { return }
        body(index + 1, Int(units[node] & (1 << 31 - 1)))
      }
    }
  }

  private func text(at place: Int) -> ArraySlice<UInt8>? {
    guard place < texts.count else { return nil }
    return texts[place..<(texts[place...].firstIndex(of: 0) ?? texts.count)]
  }

  /// As Python's `tokenizers` applies it: to whole characters of up to five bytes, else to their scalars, each replaced
  /// by what its shortest beginning is.
  func normalizedByCharacters(_ bytes: [UInt8]) -> [UInt8] {
    func replacement(_ part: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
      var found: Int?
      prefixes(of: part) { _, place in if found == nil { found = place } }
      return found.flatMap(text)
    }
    var output: [UInt8] = []
    output.reserveCapacity(bytes.count)
    for character in String(decoding: bytes, as: UTF8.self) {
      let part = Array(character.utf8)
      if part.count < 6, let text = replacement(part[...]) {
        output += text
        continue
      }
      for scalar in character.unicodeScalars {
        let part = Array(UTF8.encode(scalar)!)
        output += replacement(part[...]) ?? part[...]
      }
    }
    return output
  }

  /// As SentencePiece applies it: at each place what its longest beginning is replaced by.
  func normalizedByLongest(_ bytes: [UInt8]) -> [UInt8] {
    var output: [UInt8] = []
    output.reserveCapacity(bytes.count)
    var place = 0
    while place < bytes.count {
      var longest: (length: Int, place: Int)?
      prefixes(of: bytes[place...]) { longest = ($0, $1) }
      if let longest, let text = text(at: longest.place) {
        output += text
        place += longest.length
      } else {
        let length = bytes.withUnsafeBufferPointer { decodeScalar($0, place).length }
        output += bytes[place..<min(bytes.count, place + length)]
        place += length
      }
    }
    return output
  }
}
