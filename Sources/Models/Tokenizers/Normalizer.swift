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
    default: throw component.unsupported
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
