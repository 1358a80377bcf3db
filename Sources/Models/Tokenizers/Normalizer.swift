import Foundation

/// The first stage of a tokenizer: text becomes the text that is cut up (lower case, one Unicode form, …).
/// Works on UTF-8 bytes, which are valid before and after.
package indirect enum Normalizer: Sendable {
  case sequence([Normalizer])
  case bert(cleanText: Bool, isolateIdeographs: Bool, stripAccents: Bool, lowercase: Bool)
  case lowercase
  case stripAccents
  case form(UnicodeForm)
  case strip(left: Bool, right: Bool)
  case prepend([UInt8])
  case replace(TextPattern, with: [UInt8])
  /// SentencePiece's map, applied by whole characters as `tokenizers` does, or by the longest match as SentencePiece does.
  case characterMap(CharacterMap, byLongest: Bool)
  /// Spaces become ▁, one stands before the text, and those at its ends and behind others go, as a SentencePiece model asks.
  case sentencePieceSpaces(removesExtra: Bool, addsPrefix: Bool)
  /// What SentencePiece's rules "nmt" do beside NFKC: controls go, kinds of space become one.
  case nmt
  /// Bytes become the characters that spell them in GPT-2's alphabet.
  case byteLevel

  package enum UnicodeForm: String, Sendable {
    case nfc = "NFC"
    case nfd = "NFD"
    case nfkc = "NFKC"
    case nfkd = "NFKD"
  }

  package init(_ component: TokenizerComponent) throws {
    switch component.type {
    case "Sequence": self = .sequence(try component.components("normalizers").map(Normalizer.init))
    case "BertNormalizer":
      let lowercase = try component.flag("lowercase", default: true)
      self = .bert(
        cleanText: try component.flag("clean_text", default: true),
        isolateIdeographs: try component.flag("handle_chinese_chars", default: true),
        stripAccents: try component.optionalFlag("strip_accents") ?? lowercase,  // as BERT: with the lower case
        lowercase: lowercase)
    case "Lowercase": self = .lowercase
    case "StripAccents": self = .stripAccents
    case "NFC", "NFD", "NFKC", "NFKD": self = .form(UnicodeForm(rawValue: component.type)!)
    case "Strip":
      self = .strip(
        left: try component.flag("strip_left", default: true), right: try component.flag("strip_right", default: true))
    case "Prepend": self = .prepend(Array(try component.text("prepend").utf8))
    case "Replace":
      self = .replace(try component.pattern("pattern"), with: Array(try component.text("content").utf8))
    case "Precompiled":
      let text = try component.optionalText("precompiled_charsmap") ?? ""
      guard let data = Data(base64Encoded: text), let map = CharacterMap([UInt8](data)) else {
        throw component.error("“precompiled_charsmap” is damaged", expected: "a map of characters in base 64")
      }
      self = .characterMap(map, byLongest: false)
    case "Nmt": self = .nmt
    case "ByteLevel": self = .byteLevel
    default: throw component.unsupported
    }
  }

  /// How many bytes one of a text becomes at most.
  var growth: Double {
    switch self {
    case .sequence(let normalizers): normalizers.reduce(1) { $0 * $1.growth }
    case .replace(_, with: let content): max(1, Double(content.count))
    default: 1
    }
  }

  package func apply(to text: inout [UInt8]) {
    switch self {
    case .sequence(let normalizers):
      for normalizer in normalizers { normalizer.apply(to: &text) }
    case .bert(let cleanText, let isolateIdeographs, let stripAccents, let lowercase):
      if cleanText || isolateIdeographs { Normalizer.bertClean(&text, cleanText, isolateIdeographs) }
      if stripAccents {
        Normalizer.form(.nfd).apply(to: &text)
        Normalizer.remove([.nonspacingMark], from: &text)
      }
      if lowercase { Normalizer.lowercase.apply(to: &text) }
    case .lowercase:
      if text.isASCII {
        for index in text.indices where text[index] &- 0x41 < 26 { text[index] |= 0x20 }
      } else {
        // One scalar at a time (no final sigma), as the tokenizers were trained.
        Normalizer.mapScalars(&text) { scalar, output in
          output.append(contentsOf: scalar.properties.lowercaseMapping.utf8)
        }
      }
    case .stripAccents: Normalizer.remove([.nonspacingMark, .spacingMark, .enclosingMark], from: &text)
    case .form(let form):
      guard !text.isASCII else { return }
      let string = String(decoding: text, as: UTF8.self)
      switch form {
      case .nfc: text = Array(string.precomposedStringWithCanonicalMapping.utf8)
      case .nfd: text = Array(string.decomposedStringWithCanonicalMapping.utf8)
      case .nfkc: text = Array(string.precomposedStringWithCompatibilityMapping.utf8)
      case .nfkd: text = Array(string.decomposedStringWithCompatibilityMapping.utf8)
      }
    case .strip(let left, let right):
      var scalars = String(decoding: text, as: UTF8.self).unicodeScalars[...]
      if left { scalars = scalars.drop { $0.properties.isWhitespace } }
      if right { while scalars.last?.properties.isWhitespace == true { scalars.removeLast() } }
      text = Array(String(scalars).utf8)
    case .characterMap(let map, let byLongest):
      if !map.isEmpty { text = byLongest ? map.normalizedByLongest(text) : map.normalizedByCharacters(text) }
    case .sentencePieceSpaces(let removesExtra, let addsPrefix):
      var output: [UInt8] = []
      output.reserveCapacity(text.count + text.count / 4 + 3)
      var isPastSpace = true
      for byte in text {
        if byte == 0x20 {
          if !isPastSpace || !removesExtra { output += Normalizer.spaceMark }
        } else {
          output.append(byte)
        }
        isPastSpace = byte == 0x20
      }
      while removesExtra, output.suffix(3).elementsEqual(Normalizer.spaceMark) { output.removeLast(3) }
      text = addsPrefix && !output.isEmpty ? Normalizer.spaceMark + output : output
    case .nmt:
      Normalizer.mapScalars(&text) { scalar, output in
        switch scalar.value {
        case 0x01...0x08, 0x0B, 0x0E...0x1F, 0x7F, 0x8F, 0x9F: break
        case 0x09, 0x0A, 0x0C, 0x0D, 0x1680, 0x200B...0x200F, 0x2028, 0x2029, 0x2581, 0xFEFF, 0xFFFD:
          output.append(0x20)
        default: output.append(contentsOf: UTF8.encode(scalar)!)
        }
      }
    case .byteLevel:
      var spelled: [UInt8] = []
      spelled.reserveCapacity(2 * text.count)
      for byte in text { ByteAlphabet.appendCharacter(of: byte, to: &spelled) }
      text = spelled
    case .prepend(let prefix):
      if !text.isEmpty { text.insert(contentsOf: prefix, at: 0) }
    case .replace(let pattern, with: let content):
      let matches = pattern.matches(in: text[...])
      guard !matches.isEmpty else { return }
      var output: [UInt8] = []
      output.reserveCapacity(text.count + matches.count * content.count)
      var position = 0
      for match in matches {
        output += text[position..<match.lowerBound]
        output += content
        position = match.upperBound
      }
      text = output + text[position...]
    }
  }

  private static let spaceMark = Array("▁".utf8)

  /// BERT's cleaning: control characters go, every kind of space becomes one, ideographs stand alone.
  private static func bertClean(_ text: inout [UInt8], _ cleanText: Bool, _ isolateIdeographs: Bool) {
    if text.allSatisfy({ $0 &- 0x20 < 0x5F }) { return }  // printable ASCII stays as it is
    var output: [UInt8] = []
    output.reserveCapacity(text.count + 16)
    text.withUnsafeBufferPointer { bytes in
      var position = 0
      while position < bytes.count {
        let (scalar, length) = decodeScalar(bytes, position)
        let kind = CharacterClass.of(scalar)
        if cleanText && kind.contains(.control) {
        } else if cleanText && kind.contains(.space) {
          output.append(0x20)
        } else if isolateIdeographs && kind.contains(.ideograph) {
          output.append(0x20)
          output.append(contentsOf: bytes[position..<(position + length)])
          output.append(0x20)
        } else {
          output.append(contentsOf: bytes[position..<(position + length)])
        }
        position += length
      }
    }
    text = output
  }

  private static func remove(_ categories: Set<Unicode.GeneralCategory>, from text: inout [UInt8]) {
    guard !text.isASCII else { return }
    mapScalars(&text) { scalar, output in
      if !categories.contains(scalar.properties.generalCategory) { output.append(contentsOf: UTF8.encode(scalar)!) }
    }
  }

  private static func mapScalars(_ text: inout [UInt8], _ body: (Unicode.Scalar, inout [UInt8]) -> Void) {
    var output: [UInt8] = []
    output.reserveCapacity(text.count)
    for scalar in String(decoding: text, as: UTF8.self).unicodeScalars { body(scalar, &output) }
    text = output
  }
}

extension [UInt8] {
  fileprivate var isASCII: Bool { withUnsafeBufferPointer { $0.allSatisfy { $0 < 0x80 } } }
}
