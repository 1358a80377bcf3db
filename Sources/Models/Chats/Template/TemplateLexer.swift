/// A word of a template: text between tags, or what stands within one.
struct TemplateToken: Equatable {
  enum Kind: Equatable {
    /// Text as it is given out.
    case text(String)
    case blockBegin, blockEnd, printBegin, printEnd
    case name(String)
    case string(String)
    case integer(Int)
    case float(Double)
    /// `+`, `==`, `(` and the like.
    case mark(String)
    case end
  }

  var kind: Kind
  /// Counted from 1.
  var line: Int

  /// For messages.
  var description: String {
    switch kind {
    case .text: "text"
    case .blockBegin: "'{%'"
    case .blockEnd: "'%}'"
    case .printBegin: "'{{'"
    case .printEnd: "'}}'"
    case .name(let name): "'\(name)'"
    case .string: "a string"
    case .integer(let value): "\(value)"
    case .float(let value): "\(value)"
    case .mark(let mark): "'\(mark)'"
    case .end: "the end of the template"
    }
  }
}

/// Cuts a template into tokens, as Jinja does with `trim_blocks` and `lstrip_blocks` on, which is how transformers sets it:
/// a line end behind a block goes, and so does the space before one that begins its line.
struct TemplateLexer {
  private let source: [Unicode.Scalar]
  private var position = 0
  private var line = 1
  /// Whether the text that comes next begins a line.
  private var startsLine = true
  private var tokens: [TemplateToken] = []

  static func tokens(of template: String) throws -> [TemplateToken] {
    var lexer = TemplateLexer(template)
    return try lexer.run()
  }

  private init(_ template: String) {
    var scalars: [Unicode.Scalar] = []
    scalars.reserveCapacity(template.utf8.count)
    for scalar in template.unicodeScalars {
      if scalar == "\n", scalars.last == "\r" { scalars.removeLast() }
      scalars.append(scalar)
    }
    for index in scalars.indices where scalars[index] == "\r" { scalars[index] = "\n" }
    // One line end at the end of a template is the file's.
    if scalars.last == "\n" { scalars.removeLast() }
    source = scalars
  }

  private func error(_ found: String, expected: String) -> ChatTemplateError {
    ChatTemplateError(line: line, found, expected: expected)
  }

  private func starts(with text: String, at place: Int) -> Bool {
    var place = place
    for scalar in text.unicodeScalars {
      guard place < source.count, source[place] == scalar else { return false }
      place += 1
    }
    return true
  }

  private mutating func advance(to place: Int) {
    for index in position..<place where source[index] == "\n" { line += 1 }
    position = place
  }

  private mutating func skipSpace() {
    var place = position
    while place < source.count, source[place].isPythonSpace { place += 1 }
    advance(to: place)
  }

  private mutating func add(_ kind: TemplateToken.Kind) { tokens.append(TemplateToken(kind: kind, line: line)) }

  private mutating func run() throws -> [TemplateToken] {
    while position < source.count {
      var place = position
      while place < source.count,
        !(source[place] == "{" && ["{%", "{{", "{#"].contains { starts(with: $0, at: place) })
      {
        place += 1
      }
      guard place < source.count else {
        addText(position..<source.count)
        advance(to: source.count)
        break
      }
      let opener = source[place + 1]
      let sign =
        place + 2 < source.count && (source[place + 2] == "-" || source[place + 2] == "+") ? source[place + 2] : nil
      addText(trimmed(position..<place, opener: opener, sign: sign))
      advance(to: place + 2 + (sign == nil ? 0 : 1))
      switch opener {
      case "#": try skipComment()
      case "{":
        add(.printBegin)
        try readTag(end: "}}", .printEnd)
      default:
        if try readRaw() { continue }
        add(.blockBegin)
        try readTag(end: "%}", .blockEnd)
      }
    }
    add(.end)
    return tokens
  }

  private mutating func addText(_ range: Range<Int>) {
    guard !range.isEmpty else { return }
    var text = String.UnicodeScalarView()
    text.append(contentsOf: source[range])
    add(.text(String(text)))
  }

  /// The text before a tag, without the space that the tag takes with it.
  private func trimmed(_ range: Range<Int>, opener: Unicode.Scalar, sign: Unicode.Scalar?) -> Range<Int> {
    var end = range.upperBound
    if sign == "-" {
      while end > range.lowerBound, source[end - 1].isPythonSpace { end -= 1 }
    } else if sign == nil, opener != "{" {
      var start = end
      while start > range.lowerBound, source[start - 1] != "\n" { start -= 1 }
      let beginsLine = start > range.lowerBound || startsLine
      if beginsLine, source[start..<end].allSatisfy(\.isPythonSpace) { end = start }
    }
    return range.lowerBound..<end
  }

  /// Steps over a tag's end, with the space that it takes along.
  private mutating func endTag(_ end: String, trimsLine: Bool, sign: Unicode.Scalar?) {
    advance(to: position + end.unicodeScalars.count + (sign == nil ? 0 : 1))
    let before = position
    if sign == "-" {
      skipSpace()
    } else if trimsLine, sign == nil, position < source.count, source[position] == "\n" {
      advance(to: position + 1)
    }
    startsLine = position > before && source[position - 1] == "\n"
  }

  /// The sign with which a tag's end begins here: "" for none; `nil` where no end is here.
  private func sign(ofEnd end: String, at place: Int, plus: Bool = true) -> (found: Bool, sign: Unicode.Scalar?) {
    if starts(with: end, at: place) { return (true, nil) }
    if starts(with: "-" + end, at: place) { return (true, "-") }
    if plus, starts(with: "+" + end, at: place) { return (true, "+") }
    return (false, nil)
  }

  private mutating func skipComment() throws {
    var place = position
    while place < source.count {
      let (found, sign) = sign(ofEnd: "#}", at: place)
      if found {
        advance(to: place)
        return endTag("#}", trimsLine: true, sign: sign)
      }
      place += 1
    }
    throw error("a comment ('{#') without an end", expected: "'#}'")
  }

  /// `{% raw %} … {% endraw %}`, whose text is given out as it stands.
  private mutating func readRaw() throws -> Bool {
    let (start, startLine) = (position, line)
    skipSpace()
    guard starts(with: "raw", at: position) else {
      (position, line) = (start, startLine)
      return false
    }
    advance(to: position + 3)
    skipSpace()
    let (found, sign) = sign(ofEnd: "%}", at: position, plus: false)
    guard found else {
      (position, line) = (start, startLine)
      return false
    }
    endTag("%}", trimsLine: false, sign: sign)
    var place = position
    while place < source.count {
      if source[place] == "{", starts(with: "{%", at: place) {
        var next = place + 2
        let opening = next < source.count && (source[next] == "-" || source[next] == "+") ? source[next] : nil
        if opening != nil { next += 1 }
        while next < source.count, source[next].isPythonSpace { next += 1 }
        if starts(with: "endraw", at: next) {
          next += 6
          while next < source.count, source[next].isPythonSpace { next += 1 }
          let (ends, sign) = self.sign(ofEnd: "%}", at: next)
          if ends {
            startsLine = false
            addText(trimmed(position..<place, opener: "%", sign: opening))
            advance(to: next)
            endTag("%}", trimsLine: true, sign: sign)
            return true
          }
        }
      }
      place += 1
    }
    throw error("'{% raw %}' without '{% endraw %}'", expected: "both")
  }

  // MARK: Within a tag

  private static let marks = [
    "==", "!=", ">=", "<=", "//", "**", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".",
    ":",
    "|", ",", ";",
  ]

  private mutating func readTag(end: String, _ endKind: TemplateToken.Kind) throws {
    var open: [String] = []
    while true {
      if open.isEmpty {
        let (found, sign) = sign(ofEnd: end, at: position, plus: end == "%}")
        if found {
          add(endKind)
          return endTag(end, trimsLine: end == "%}", sign: sign)
        }
      }
      guard position < source.count else {
        throw error("a tag without its end '\(end)'", expected: "both")
      }
      let scalar = source[position]
      if scalar.isPythonSpace {
        skipSpace()
      } else if scalar == "'" || scalar == "\"" {
        try readString(scalar)
      } else if scalar.isASCIIDigit {
        try readNumber()
      } else if scalar.properties.isAlphabetic || scalar == "_" {
        var place = position
        while place < source.count, source[place].isWord { place += 1 }
        var name = String.UnicodeScalarView()
        name.append(contentsOf: source[position..<place])
        add(.name(String(name)))
        advance(to: place)
      } else {
        guard let mark = TemplateLexer.marks.first(where: { starts(with: $0, at: position) }) else {
          throw error("'\(scalar)' in a tag", expected: "an expression or its end")
        }
        switch mark {
        case "(", "[", "{": open.append(mark)
        case ")", "]", "}":
          guard let last = open.popLast(), ["()", "[]", "{}"].contains(last + mark) else {
            throw error("'\(mark)' closes nothing", expected: "what it closes before it")
          }
        default: break
        }
        add(.mark(mark))
        advance(to: position + mark.unicodeScalars.count)
      }
    }
  }

  private mutating func readNumber() throws {
    var place = position
    var text = ""
    func takeDigits() {
      while place < source.count, source[place].isASCIIDigit || source[place] == "_" && !text.isEmpty {
        if source[place] != "_" { text.unicodeScalars.append(source[place]) }
        place += 1
      }
    }
    if source[place] == "0", place + 1 < source.count,
      let radix = ["x": 16, "o": 8, "b": 2][source[place + 1].properties.lowercaseMapping]
    {
      place += 2
      let start = place
      while place < source.count, source[place].isWord { place += 1 }
      var digits = String.UnicodeScalarView()
      digits.append(contentsOf: source[start..<place].filter { $0 != "_" })
      guard let value = Int(String(digits), radix: radix) else {
        throw error("a number that can't be read", expected: "digits that make one of 64 bits")
      }
      add(.integer(value))
      return advance(to: place)
    }
    takeDigits()
    var isFloat = false
    if place + 1 < source.count, source[place] == ".", source[place + 1].isASCIIDigit {
      isFloat = true
      text += "."
      place += 1
      takeDigits()
    }
    if place < source.count, source[place] == "e" || source[place] == "E" {
      var next = place + 1
      if next < source.count, source[next] == "+" || source[next] == "-" { next += 1 }
      if next < source.count, source[next].isASCIIDigit {
        isFloat = true
        for index in place..<next { text.unicodeScalars.append(source[index]) }
        place = next
        takeDigits()
      }
    }
    if isFloat, let value = Double(text) {
      add(.float(value))
    } else if !isFloat, let value = Int(text) {
      add(.integer(value))
    } else {
      throw error("the number \(text) can't be read", expected: "digits that make one")
    }
    advance(to: place)
  }

  private mutating func readString(_ quote: Unicode.Scalar) throws {
    var text = String.UnicodeScalarView()
    var place = position + 1
    /// The scalar of so many digits in base 16.
    func hexadecimal(_ count: Int) -> Unicode.Scalar? {
      guard place + 1 + count <= source.count else { return nil }
      var digits = String.UnicodeScalarView()
      digits.append(contentsOf: source[place + 1..<place + 1 + count])
      place += count
      return UInt32(String(digits), radix: 16).flatMap(Unicode.Scalar.init)
    }
    while place < source.count, source[place] != quote {
      guard source[place] == "\\", place + 1 < source.count else {
        text.append(source[place])
        place += 1
        continue
      }
      place += 1
      switch source[place] {
      case "n": text.append("\n")
      case "t": text.append("\t")
      case "r": text.append("\r")
      case "\\", "'", "\"": text.append(source[place])
      case "\n": break
      case "a": text.append("\u{07}")
      case "b": text.append("\u{08}")
      case "f": text.append("\u{0C}")
      case "v": text.append("\u{0B}")
      case "x", "u", "U":
        guard let scalar = hexadecimal(["x": 2, "u": 4, "U": 8][source[place]]!) else {
          throw error("an escape in a string that names no character", expected: "one of Python's")
        }
        text.append(scalar)
      case "0"..."7":
        var value: UInt32 = 0
        var count = 0
        while count < 3, place < source.count, ("0"..."7").contains(source[place]) {
          value = value * 8 + source[place].value - 0x30
          count += 1
          place += 1
        }
        place -= 1
        text.append(Unicode.Scalar(value)!)
      case let other:
        text.append("\\")
        text.append(other)
      }
      place += 1
    }
    guard place < source.count else { throw error("a string without an end", expected: "its closing quote") }
    add(.string(String(text)))
    advance(to: place + 1)
  }
}

extension Unicode.Scalar {
  /// What Python's `str.isspace` and the `\s` of its regular expressions say.
  var isPythonSpace: Bool {
    switch value {
    case 0x09...0x0D, 0x1C...0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000: true
    default: false
    }
  }

  fileprivate var isASCIIDigit: Bool { ("0"..."9").contains(self) }

  fileprivate var isWord: Bool { self == "_" || properties.isAlphabetic || properties.numericType != nil }
}
