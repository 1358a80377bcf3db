/// A text on its way through the pre-tokenizers: the bytes, and the pieces that they are cut into so far.
package struct TextPieces {
  package var bytes: [UInt8]
  package var ranges: [Range<Int>]
  /// Whether nothing of the original text stands before these bytes.
  let startsText: Bool

  package init(_ bytes: [UInt8], startsText: Bool = true) {
    self.bytes = bytes
    self.ranges = bytes.isEmpty ? [] : [0..<bytes.count]
    self.startsText = startsText
  }
}

/// The second stage of a tokenizer: where tokens may not cross. Some pre-tokenizers change the text as well.
package indirect enum PreTokenizer: Sendable {
  case sequence([PreTokenizer])
  case split(Boundary, SplitBehavior, inverted: Bool = false)
  /// A space in front of each piece that has none.
  case leadingSpace
  /// Spaces become the replacement (▁), and one is put in front according to the scheme.
  case metaspace(replacement: [UInt8], PrependScheme)
  /// Bytes become the characters that spell them in GPT-2's alphabet.
  case spelledBytes
  /// Cuts where the script changes (Latin, Greek, Han with Hiragana and Katakana, …).
  case scripts
  /// Pieces of so many scalars.
  case fixedLength(Int)

  /// What a split looks for.
  package enum Boundary: Sendable {
    /// Each scalar of the class.
    case scalars(CharacterClass)
    case pattern(TextPattern)
    case words(WordPattern)
  }

  /// What becomes of the matches.
  package enum SplitBehavior: String, Sendable {
    case removed = "Removed"
    case isolated = "Isolated"
    case mergedWithPrevious = "MergedWithPrevious"
    case mergedWithNext = "MergedWithNext"
    case contiguous = "Contiguous"
  }

  package enum PrependScheme: String, Sendable { case always, never, first }

  package init(_ component: TokenizerComponent) throws {
    switch component.type {
    case "Sequence":
      let parts = try component.components("pretokenizers")
      let isKept = try PreTokenizer.endsWithBytes(component)
      // Where more follows ByteLevel, that sees the characters which spell the bytes.
      self = .sequence(
        try parts.map { part in
          let step = try PreTokenizer(part)
          return part.type == "ByteLevel" && !isKept ? .sequence([step, .spelledBytes]) : step
        })
    case "ByteLevel":
      // The bytes stay bytes here; the model knows that its vocabulary spells them as characters.
      var steps: [PreTokenizer] = []
      if try component.flag("add_prefix_space", default: true) { steps.append(.leadingSpace) }
      if try component.flag("use_regex", default: true) { steps.append(.split(.words(.gpt2), .isolated)) }
      self = .sequence(steps)
    case "Split":
      let boundary: Boundary
      if let expression = try component.object("pattern")["Regex"]?.string,
        let known = WordPattern.allCases.first(where: { $0.expression.utf8.elementsEqual(expression.utf8) })
      {
        boundary = .words(known)
      } else {
        boundary = .pattern(try component.pattern("pattern"))
      }
      self = .split(
        boundary, try PreTokenizer.behavior(component), inverted: try component.flag("invert", default: false))
    case "BertPreTokenizer":
      self = .sequence([.split(.scalars(.space), .removed), .split(.scalars(.punctuation), .isolated)])
    case "Whitespace":
      self = .sequence([.split(.scalars(.space), .removed), .split(.scalars(.word), .contiguous)])
    case "WhitespaceSplit": self = .split(.scalars(.space), .removed)
    case "Punctuation": self = .split(.scalars(.punctuation), try PreTokenizer.behavior(component))
    case "Digits":
      self = .split(
        .scalars(.number), try component.flag("individual_digits", default: false) ? .isolated : .contiguous)
    case "CharDelimiterSplit":
      self = .split(.pattern(.text(Array(try component.text("delimiter").utf8))), .removed)
    case "UnicodeScripts": self = .scripts
    case "FixedLength":
      let length = try component.integer("length", default: 5)
      guard length > 0 else { throw component.error("“length” is \(length)", expected: "a number above 0") }
      self = .fixedLength(length)
    case "Metaspace":
      let replacement = Array(try component.text("replacement").utf8)
      let scheme: PrependScheme
      if let name = try component.optionalText("prepend_scheme") {
        guard let known = PrependScheme(rawValue: name) else {
          throw component.error("the prepend scheme is “\(name)”", expected: "always, never or first")
        }
        scheme = known
      } else {
        scheme = try component.flag("add_prefix_space", default: true) ? .always : .never
      }
      let mark = PreTokenizer.metaspace(replacement: replacement, scheme)
      let cut = PreTokenizer.split(.pattern(.text(replacement)), .mergedWithNext)
      self = .sequence(try component.flag("split", default: true) ? [mark, cut] : [mark])
    default: throw component.unsupported
    }
  }

  /// Whether the pieces are handed to the model as bytes, which its vocabulary spells in GPT-2's byte alphabet.
  package static func endsWithBytes(_ component: TokenizerComponent) throws -> Bool {
    guard component.type == "Sequence" else { return component.type == "ByteLevel" }
    let parts = try component.components("pretokenizers")
    return parts.last?.type == "ByteLevel" && parts.count { $0.type == "ByteLevel" } == 1
  }

  private static func behavior(_ component: TokenizerComponent) throws -> SplitBehavior {
    let name = try component.text("behavior", default: "Isolated")
    guard let behavior = SplitBehavior(rawValue: name) else {
      throw component.error("the behavior is “\(name)”", expected: "one that tokenizers has")
    }
    return behavior
  }

  package func apply(to text: inout TextPieces) {
    switch self {
    case .sequence(let steps):
      for step in steps { step.apply(to: &text) }
    case .split(let boundary, let behavior, let inverted):
      var ranges: [Range<Int>] = []
      ranges.reserveCapacity(text.bytes.count / 4 + 1)
      for range in text.ranges {
        PreTokenizer.split(text.bytes, range, boundary, behavior, inverted: inverted, into: &ranges)
      }
      text.ranges = ranges
    case .spelledBytes:
      PreTokenizer.rewrite(&text) { piece, output in
        for byte in piece { ByteAlphabet.appendCharacter(of: byte, to: &output) }
      }
    case .scripts:
      text.ranges = text.bytes.withUnsafeBufferPointer { bytes in
        text.ranges.flatMap { PreTokenizer.scriptRuns(bytes, $0) }
      }
    case .fixedLength(let length):
      text.ranges = text.bytes.withUnsafeBufferPointer { bytes in
        text.ranges.flatMap { range in
          var (cuts, count, place) = ([range.lowerBound], 0, range.lowerBound)
          while place < range.upperBound {
            place += decodeScalar(bytes, place).length
            count += 1
            if count % length == 0 || place >= range.upperBound { cuts.append(place) }
          }
          return zip(cuts, cuts.dropFirst()).map { $0..<$1 }
        }
      }
    case .leadingSpace:
      PreTokenizer.rewrite(&text) { piece, output in
        if piece.first != 0x20 { output.append(0x20) }
        output += piece
      }
    case .metaspace(let replacement, let scheme):
      let prepends = scheme == .always || scheme == .first && text.startsText
      var isFirst = true
      PreTokenizer.rewrite(&text) { piece, output in
        if prepends, scheme == .always || isFirst, piece.first != 0x20, !piece.starts(with: replacement) {
          output += replacement
        }
        isFirst = false
        for byte in piece {
          if byte == 0x20 { output += replacement } else { output.append(byte) }
        }
      }
    }
  }

  /// As `tokenizers` cuts, which loses what stands before the first character of a known script.
  private static func scriptRuns(_ bytes: UnsafeBufferPointer<UInt8>, _ range: Range<Int>) -> [Range<Int>] {
    var cuts: [Int] = []
    var last: UInt8?
    var place = range.lowerBound
    while place < range.upperBound {
      let (scalar, length) = decodeScalar(bytes, place)
      let script = ScriptRuns.script(of: scalar)
      if script != ScriptRuns.any {
        if last != script { cuts.append(place) }
        last = script
      }
      place += length
    }
    cuts.append(range.upperBound)
    return zip(cuts, cuts.dropFirst()).map { $0..<$1 }
  }

  private static func rewrite(_ text: inout TextPieces, _ body: (ArraySlice<UInt8>, inout [UInt8]) -> Void) {
    var output: [UInt8] = []
    output.reserveCapacity(text.bytes.count * 2)
    text.ranges = text.ranges.map { range in
      let start = output.count
      body(text.bytes[range], &output)
      return start..<output.count
    }
    text.bytes = output
  }

  /// Cuts `range` into matches and what lies between them, and treats the matches as `behavior` says.
  private static func split(
    _ bytes: [UInt8], _ range: Range<Int>, _ boundary: Boundary, _ behavior: SplitBehavior, inverted: Bool,
    into ranges: inout [Range<Int>]
  ) {
    let first = ranges.count
    var previousMatched = false
    func add(_ segment: Range<Int>, _ matched: Bool) {
      guard !segment.isEmpty else { return }
      let isMatch = matched != inverted
      let continues = ranges.count > first && ranges[ranges.count - 1].upperBound == segment.lowerBound
      switch behavior {
      case .removed: if !isMatch { ranges.append(segment) }
      case .isolated: ranges.append(segment)
      case .contiguous where continues && isMatch == previousMatched,
        .mergedWithPrevious where continues && isMatch && !previousMatched,
        // A match opens a piece, which what follows continues.
        .mergedWithNext where continues && !isMatch && previousMatched:
        ranges[ranges.count - 1] = ranges[ranges.count - 1].lowerBound..<segment.upperBound
      default: ranges.append(segment)
      }
      previousMatched = isMatch
    }
    switch boundary {
    case .words(let pattern):
      bytes.withUnsafeBufferPointer { bytes in
        var position = range.lowerBound
        while position < range.upperBound {
          let end = pattern.end(of: bytes, from: position, to: range.upperBound)
          add(position..<end, true)
          position = end
        }
      }
    case .scalars(let kind):
      bytes.withUnsafeBufferPointer { bytes in
        var position = range.lowerBound
        var start = position
        while position < range.upperBound {
          let (scalar, length) = decodeScalar(bytes, position)
          if !CharacterClass.of(scalar).isDisjoint(with: kind) {
            add(start..<position, false)
            add(position..<(position + length), true)
            start = position + length
          }
          position += length
        }
        add(start..<range.upperBound, false)
      }
    case .pattern(let pattern):
      var start = range.lowerBound
      for match in pattern.matches(in: bytes[range]) {
        add(start..<match.lowerBound, false)
        add(match, true)
        start = match.upperBound
      }
      add(start..<range.upperBound, false)
    }
  }
}
