/// The way back: tokens become text. Each step maps a list of pieces to a list of pieces, which are joined at the end.
/// Pieces are bytes: only their joined text need be valid UTF-8.
package indirect enum TokenDecoder: Sendable {
  case sequence([TokenDecoder])
  case byteLevel
  case wordPiece(prefix: [UInt8], cleanup: Bool)
  case byteFallback
  case fuse
  /// Takes a character (in UTF-8) off the beginning and the end, at most so many times.
  case strip([UInt8], start: Int, stop: Int)
  case replace(TextPattern, with: [UInt8])
  case metaspace(replacement: [UInt8], prepended: Bool)
  case suffix([UInt8])
  /// What a recognizer of speech gives: tokens that repeat are one, and the padding is nothing.
  case ctc(padding: [UInt8], delimiter: [UInt8], cleanup: Bool)
  /// Where the file has no decoder: a space between the tokens.
  case spaced

  package init(_ component: TokenizerComponent) throws {
    switch component.type {
    case "Sequence": self = .sequence(try component.components("decoders").map(TokenDecoder.init))
    case "ByteLevel": self = .byteLevel
    case "WordPiece":
      self = .wordPiece(
        prefix: Array(try component.text("prefix", default: "##").utf8),
        cleanup: try component.flag("cleanup", default: true))
    case "ByteFallback": self = .byteFallback
    case "Fuse": self = .fuse
    case "Strip":
      let (start, stop) = (try component.integer("start"), try component.integer("stop"))
      guard start >= 0, stop >= 0 else {
        throw component.error("“start” is \(start) and “stop” \(stop)", expected: "how many characters are stripped")
      }
      self = .strip(Array(try component.text("content").utf8), start: start, stop: stop)
    case "Replace":
      self = .replace(try component.pattern("pattern"), with: Array(try component.text("content").utf8))
    case "Metaspace":
      let scheme = try component.optionalText("prepend_scheme")
      let prepended = try scheme.map { $0 != "never" } ?? component.flag("add_prefix_space", default: true)
      self = .metaspace(replacement: Array(try component.text("replacement").utf8), prepended: prepended)
    case "BPEDecoder": self = .suffix(Array(try component.text("suffix", default: "</w>").utf8))
    case "CTC":
      self = .ctc(
        padding: Array(try component.text("pad_token", default: "<pad>").utf8),
        delimiter: Array(try component.text("word_delimiter_token", default: "|").utf8),
        cleanup: try component.flag("cleanup", default: true))
    default: throw component.unsupported
    }
  }

  /// How many bytes one of a piece becomes at most.
  var growth: Double {
    switch self {
    case .sequence(let steps): steps.reduce(1) { $0 * $1.growth }
    case .replace(let pattern, let content): Normalizer.replace(pattern, with: content).growth
    default: 1
    }
  }

  package func text(of tokens: [[UInt8]]) -> String { String(decoding: bytes(of: tokens), as: UTF8.self) }

  func bytes(of tokens: [[UInt8]]) -> [UInt8] { Array(apply(tokens).joined()) }

  private func apply(_ tokens: [[UInt8]]) -> [[UInt8]] {
    switch self {
    case .sequence(let steps): return steps.reduce(tokens) { $1.apply($0) }
    case .byteLevel: return tokens.map { ByteAlphabet.bytes(of: $0[...]) ?? $0 }
    case .wordPiece(let prefix, let cleanup):
      return tokens.enumerated().map { index, token in
        var piece = token
        if index > 0 {
          if !prefix.isEmpty, token.starts(with: prefix) {
            piece.removeFirst(prefix.count)
          } else {
            piece.insert(0x20, at: 0)
          }
        }
        return cleanup ? TokenDecoder.cleaned(piece) : piece
      }
    case .byteFallback: return TokenDecoder.joiningBytes(tokens)
    case .fuse: return [Array(tokens.joined())]
    case .strip(let character, let start, let stop):
      return tokens.map { token in
        var piece = token[...]
        for _ in 0..<min(start, token.count) where !character.isEmpty && piece.starts(with: character) {
          piece.removeFirst(character.count)
        }
        for _ in 0..<min(stop, token.count)
        where !character.isEmpty && piece.suffix(character.count).elementsEqual(character) {
          piece.removeLast(character.count)
        }
        return Array(piece)
      }
    case .replace(let pattern, let content):
      return tokens.map { token in
        var piece = token
        Normalizer.replace(pattern, with: content).apply(to: &piece)
        return piece
      }
    case .metaspace(let replacement, let prepended):
      return tokens.enumerated().map { index, token in
        var piece = token
        let isFirst = index == 0 && prepended
        Normalizer.replace(.text(replacement), with: isFirst ? [] : [0x20]).apply(to: &piece)
        return piece
      }
    case .suffix(let suffix):
      return tokens.enumerated().map { index, token in
        var piece = token
        let space: [UInt8] = index + 1 < tokens.count ? [0x20] : []
        Normalizer.replace(.text(suffix), with: space).apply(to: &piece)
        return piece
      }
    case .ctc(let padding, let delimiter, let cleanup):
      let single = tokens.enumerated().filter { $0.offset == 0 || tokens[$0.offset - 1] != $0.element }.map(\.element)
      return single.compactMap { token in
        var piece = token
        Normalizer.replace(.text(padding), with: []).apply(to: &piece)
        if cleanup {
          piece = TokenDecoder.cleaned(piece)
          Normalizer.replace(.text(delimiter), with: [0x20]).apply(to: &piece)
        }
        return piece.isEmpty ? nil : piece
      }
    case .spaced: return tokens.enumerated().map { $0 == 0 ? $1 : [0x20] + $1 }
    }
  }

  /// The spaces that English writes nowhere but WordPiece puts everywhere.
  private static func cleaned(_ piece: [UInt8]) -> [UInt8] {
    guard piece.contains(0x20) else { return piece }
    var text = piece
    for (found, replacement) in [
      (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
      (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
    ] {
      Normalizer.replace(.text(Array(found.utf8)), with: Array(replacement.utf8)).apply(to: &text)
    }
    return text
  }

  /// Runs of `<0x…>` become the characters that they spell, or one U+FFFD a byte where they spell none.
  private static func joiningBytes(_ tokens: [[UInt8]]) -> [[UInt8]] {
    var output: [[UInt8]] = []
    var run: [UInt8] = []
    func endRun() {
      guard !run.isEmpty else { return }
      if String(validating: run, as: UTF8.self) != nil {
        output.append(run)
      } else {
        output += Array(repeating: Array("\u{FFFD}".utf8), count: run.count)
      }
      run = []
    }
    for token in tokens {
      if let byte = byteValue(of: token) {
        run.append(byte)
      } else {
        endRun()
        output.append(token)
      }
    }
    endRun()
    return output
  }

  /// The byte that `<0x0A>` stands for.
  static func byteValue(of token: [UInt8]) -> UInt8? {
    guard token.count == 6, token.starts(with: "<0x".utf8), token[5] == UInt8(ascii: ">") else { return nil }
    return UInt8(String(decoding: token[3..<5], as: UTF8.self), radix: 16)
  }
}
