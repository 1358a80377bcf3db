// Reads the text of a regular expression as Python's `re` does, with Python's reasons and positions in errors.
// Source: the documentation of `re`, Python 3.11; what it leaves open was found by asking Python.

import LoRAFiles

/// A regular expression's text being read.
struct PatternParser {
  /// What the flags in effect say.
  struct Flags {
    var ignoresCase = false
    var isMultiline = false
    var dotMatchesAll = false
    var isVerbose = false
    var isASCII = false

    var cases: LetterCase { !ignoresCase ? .distinct : isASCII ? .sameInASCII : .same }
  }

  /// Deeper nesting is refused: parsing and compiling are recursive, and stacks are small.
  static let deepest = 32

  let text: String
  var source: PatternSource
  private(set) var names: [ExactString: Int] = [:]
  /// The widths of the groups, 0 being the whole; `nil` while a group is open.
  private(set) var widths: [PatternWidth?] = [nil]
  private var globalFlags = Flags()
  private var globalType: Character?
  /// How many groups there were where the outermost lookbehind began.
  private var groupsBeforeLookbehind: Int?
  /// The groups that conditions name by number, which may come later.
  private var conditions: [(group: Int, position: Int)] = []
  private var depth = 0

  init(_ text: String) throws(PythonPatternError) {
    self.text = text
    source = PatternSource(text)
    try source.advance()
  }

  mutating func parse() throws(PythonPatternError) -> PatternNode {
    let node = try alternation(Flags(), isOutermost: true)
    guard source.next == nil else { throw error("unbalanced parenthesis") }
    for condition in conditions where condition.group >= widths.count {
      throw error("invalid group reference \(condition.group)", at: condition.position)
    }
    return node
  }

  func error(_ reason: String, back: Int = 0) -> PythonPatternError { error(reason, at: source.position - back) }

  func error(_ reason: String, at position: Int?) -> PythonPatternError {
    PythonPatternError(.malformed, pattern: text, reason: reason, position: position)
  }

  // MARK: Sequences

  private mutating func alternation(
    _ flags: Flags, isOutermost: Bool = false
  ) throws(PythonPatternError) -> PatternNode {
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.deepest else {
      throw PythonPatternError(
        .unsupported, pattern: text, reason: "more than \(Self.deepest - 1) nested groups", position: source.position)
    }
    var flags = flags
    var parts = [try sequence(flags, isFirst: isOutermost)]
    if isOutermost { flags = globalFlags }
    while try source.take("|") { parts.append(try sequence(flags)) }
    return parts.count == 1 ? parts[0] : .alternation(parts)
  }

  private mutating func sequence(_ flags: Flags, isFirst: Bool = false) throws(PythonPatternError) -> PatternNode {
    var flags = flags
    var parts: [PatternNode] = []
    while let token = source.next, token != "|", token != ")" {
      try source.advance()
      if flags.isVerbose, !token.isEscaped {
        if token.isSpace { continue }
        if token == "#" {
          while let skipped = try source.get(), skipped != "\n" {}
          continue
        }
      }
      if token.isEscaped {
        parts.append(try escape(token, flags))
        continue
      }
      switch Character(token.scalar) {
      case "[": parts.append(.set(try set(flags)))
      case ".": parts.append(.set(flags.dotMatchesAll ? .all : .allButNewline))
      case "^": parts.append(.anchor(flags.isMultiline ? .lineStart : .start))
      case "$": parts.append(.anchor(flags.isMultiline ? .lineEnd : .endOrLastNewline))
      case "*": try repeatLast(of: &parts, 0, .max, at: source.position)
      case "+": try repeatLast(of: &parts, 1, .max, at: source.position)
      case "?": try repeatLast(of: &parts, 0, 1, at: source.position)
      case "{":
        let start = source.position
        if let (minimum, maximum) = try bounds() {
          try repeatLast(of: &parts, minimum, maximum, at: start)
        } else {
          try source.seek(start)
          parts.append(literal(token.scalar.value, flags))
        }
      case "(":
        if let node = try group(&flags, isFirst: isFirst && parts.isEmpty) { parts.append(node) }
      default: parts.append(literal(token.scalar.value, flags))
      }
    }
    return parts.count == 1 ? parts[0] : .sequence(parts)
  }

  func literal(_ scalar: UInt32, _ flags: Flags) -> PatternNode {
    let relatives = flags.cases.relatives(of: scalar)
    return relatives.count == 1 ? .scalar(scalar) : .set(ScalarSet([.range(scalar...scalar)], cases: flags.cases))
  }

  // MARK: Quantifiers

  /// The numbers between "{" and "}"; `nil` where it is no quantifier, and so a literal brace.
  private mutating func bounds() throws(PythonPatternError) -> (minimum: Int, maximum: Int)? {
    let start = source.position
    if source.next == "}" { return nil }
    let low = try source.take(upTo: .max) { 48...57 ~= $0 }
    let high = try source.take(",") ? try source.take(upTo: .max) { 48...57 ~= $0 } : low
    guard try source.take("}") else { return nil }
    let (minimum, maximum) = (low.isEmpty ? 0 : Int(low), high.isEmpty ? Int.max : Int(high))
    guard let minimum, let maximum, minimum < 4_294_967_295, high.isEmpty || maximum < 4_294_967_295 else {
      throw error("the repetition number is too large", at: nil)
    }
    guard maximum >= minimum else { throw error("min repeat greater than max repeat", at: start) }
    return (minimum, maximum)
  }

  /// - Parameter start: where the quantifier begins, behind its first scalar.
  private mutating func repeatLast(
    of parts: inout [PatternNode], _ minimum: Int, _ maximum: Int, at start: Int
  ) throws(PythonPatternError) {
    switch parts.last {
    case nil, .anchor: throw error("nothing to repeat", at: start - 1)
    case .repetition: throw error("multiple repeat", at: start - 1)
    default: break
    }
    let greed: PatternNode.Greed = try source.take("?") ? .lazy : try source.take("+") ? .possessive : .greedy
    parts.append(.repetition(parts.removeLast(), minimum: minimum, maximum: maximum, greed))
  }

  // MARK: Groups

  /// What follows an opening parenthesis; `nil` for comments and global flags, which match nothing.
  private mutating func group(_ flags: inout Flags, isFirst: Bool) throws(PythonPatternError) -> PatternNode? {
    let start = source.position - 1
    guard try source.take("?") else { return try captured(name: nil, flags, start) }
    guard let kind = try source.get() else { throw error("unexpected end of pattern") }
    switch kind.isEscaped ? "\\" : Character(kind.scalar) {
    case "P": return try named(flags, start)
    case ":": return wrapped(try closed(flags, start))
    case ">": return .atomic(try closed(flags, start))
    case "=": return .look(isAhead: true, isNegated: false, try closed(flags, start))
    case "!": return .look(isAhead: true, isNegated: true, try closed(flags, start))
    case "<": return try lookbehind(flags, start)
    case "(": return try conditional(flags, start)
    case "#":
      while true {
        guard source.next != nil else { throw error("missing ), unterminated comment", at: start) }
        if try source.get() == ")" { return nil }
      }
    case "i", "L", "m", "s", "x", "a", "u", "-":
      var scoped = flags
      if try inlineFlags(&scoped, first: kind) { return wrapped(try closed(scoped, start)) }
      guard isFirst else { throw error("global flags not at the start of the expression", at: start) }
      flags = globalFlags
      return nil
    default: throw error("unknown extension ?\(kind.text)", back: kind.length + 1)
    }
  }

  /// A group that is a part of its own, so that what follows can repeat it even where it is an anchor or a repetition.
  private func wrapped(_ node: PatternNode) -> PatternNode {
    switch node {
    case .anchor, .repetition: .sequence([node])
    default: node
    }
  }

  /// The inside of a group and its closing parenthesis.
  private mutating func closed(_ flags: Flags, _ start: Int) throws(PythonPatternError) -> PatternNode {
    let node = try alternation(flags)
    try close(start)
    return node
  }

  private mutating func close(_ start: Int) throws(PythonPatternError) {
    guard try source.take(")") else { throw error("missing ), unterminated subpattern", at: start) }
  }

  private mutating func captured(
    name: String?, _ flags: Flags, _ start: Int
  ) throws(PythonPatternError) -> PatternNode {
    let number = widths.count
    widths.append(nil)
    if let name {
      if let other = names[name] {
        throw error(
          "redefinition of group name '\(name)' as group \(number); was group \(other)",
          back: name.unicodeScalars.count + 1)
      }
      names[name] = number
    }
    let node = try closed(flags, start)
    widths[number] = node.width(groups: widths)
    return .group(number, node)
  }

  private mutating func named(_ flags: Flags, _ start: Int) throws(PythonPatternError) -> PatternNode {
    if try source.take("<") {
      return try captured(name: try groupName(until: ">"), flags, start)
    }
    if try source.take("=") {
      let name = try groupName(until: ")")
      guard let number = names[name] else {
        throw error("unknown group name '\(name)'", back: name.unicodeScalars.count + 1)
      }
      return try reference(number, flags, back: name.unicodeScalars.count + 1)
    }
    guard let token = try source.get() else { throw error("unexpected end of pattern") }
    throw error("unknown extension ?P\(token.text)", back: token.length + 2)
  }

  private mutating func groupName(until end: Unicode.Scalar) throws(PythonPatternError) -> String {
    let name = try rawName(until: end)
    guard name.isPythonIdentifier else {
      throw error("bad character in group name '\(name)'", back: name.unicodeScalars.count + 1)
    }
    return name
  }

  private mutating func rawName(until end: Unicode.Scalar) throws(PythonPatternError) -> String {
    var name = ""
    while let token = try source.get() {
      if token == end {
        if name.isEmpty { throw error("missing group name", back: 1) }
        return name
      }
      name += token.text
    }
    if name.isEmpty { throw error("missing group name") }
    throw error("missing \(end), unterminated name", back: name.unicodeScalars.count)
  }

  /// - Parameter back: how far before the present position the reference begins.
  mutating func reference(_ number: Int, _ flags: Flags, back: Int) throws(PythonPatternError) -> PatternNode {
    guard number < widths.count, widths[number] != nil else { throw error("cannot refer to an open group", back: back) }
    try checkLookbehind(number)
    return .reference(number, flags.cases)
  }

  private func checkLookbehind(_ group: Int) throws(PythonPatternError) {
    guard let before = groupsBeforeLookbehind else { return }
    guard group < widths.count, widths[group] != nil else { throw error("cannot refer to an open group") }
    guard group < before else { throw error("cannot refer to group defined in the same lookbehind subpattern") }
  }

  private mutating func lookbehind(_ flags: Flags, _ start: Int) throws(PythonPatternError) -> PatternNode {
    guard let kind = try source.get() else { throw error("unexpected end of pattern") }
    guard kind == "=" || kind == "!" else { throw error("unknown extension ?<\(kind.text)", back: kind.length + 2) }
    let before = groupsBeforeLookbehind
    groupsBeforeLookbehind = before ?? widths.count
    let node = try alternation(flags)
    groupsBeforeLookbehind = before
    try close(start)
    return .look(isAhead: false, isNegated: kind == "!", node)
  }

  private mutating func conditional(_ flags: Flags, _ start: Int) throws(PythonPatternError) -> PatternNode {
    let name = try rawName(until: ")")
    let length = name.unicodeScalars.count
    let number: Int
    if name.isPythonIdentifier {
      guard let known = names[name] else { throw error("unknown group name '\(name)'", back: length + 1) }
      number = known
    } else {
      guard name.utf8.allSatisfy({ 48...57 ~= $0 }) else {
        throw error("bad character in group name '\(name)'", back: length + 1)
      }
      guard let value = Int(name), value < 1_073_741_823 else {
        throw error("invalid group reference \(name)", back: length + 1)
      }
      guard value > 0 else { throw error("bad group number", back: length + 1) }
      conditions.append((value, source.position - length - 1))
      number = value
    }
    try checkLookbehind(number)
    depth += 1
    defer { depth -= 1 }
    let yes = try sequence(flags)
    var no = PatternNode.sequence([])
    if try source.take("|") {
      no = try sequence(flags)
      if source.next == "|" { throw error("conditional backref with more than two branches") }
    }
    try close(start)
    return .conditional(number, yes: yes, no: no)
  }

  // MARK: Flags

  /// Reads flags and applies them: to all of the pattern and `false`, or to `scoped` and `true`.
  private mutating func inlineFlags(
    _ scoped: inout Flags, first: PatternSource.Token
  ) throws(PythonPatternError) -> Bool {
    var token = first
    var added: [Character] = []
    var removed: [Character] = []
    if token != "-" {
      while true {
        let flag = Character(token.scalar)
        if flag == "L" { throw error("bad inline flags: cannot use 'L' flag with a str pattern") }
        added.append(flag)
        if added.contains("a"), added.contains("u") {
          throw error("bad inline flags: flags 'a', 'u' and 'L' are incompatible")
        }
        token = try flagToken(orElse: "missing -, : or )")
        if token == ")" || token == "-" || token == ":" { break }
        try checkFlag(token, orElse: "missing -, : or )")
      }
    }
    if token == ")" {
      if let type = added.first(where: { $0 == "a" || $0 == "u" }) {
        guard globalType == nil || globalType == type else {
          throw error("ASCII and UNICODE flags are incompatible", at: nil)
        }
        globalType = type
      }
      for flag in added { globalFlags.set(flag, true) }
      return false
    }
    if token == "-" {
      token = try flagToken(orElse: "missing flag")
      try checkFlag(token, orElse: "missing flag")
      while true {
        let flag = Character(token.scalar)
        if "auL".contains(flag) { throw error("bad inline flags: cannot turn off flags 'a', 'u' and 'L'") }
        removed.append(flag)
        token = try flagToken(orElse: "missing :")
        if token == ":" { break }
        try checkFlag(token, orElse: "missing :")
      }
    }
    if added.contains(where: removed.contains) {
      throw error("bad inline flags: flag turned on and off", back: 1)
    }
    for flag in added { scoped.set(flag, true) }
    for flag in removed { scoped.set(flag, false) }
    return true
  }

  private mutating func flagToken(orElse reason: String) throws(PythonPatternError) -> PatternSource.Token {
    guard let token = try source.get() else { throw error(reason) }
    return token
  }

  private func checkFlag(_ token: PatternSource.Token, orElse reason: String) throws(PythonPatternError) {
    if !token.isEscaped, "iLmsxau".unicodeScalars.contains(token.scalar) { return }
    let isLetter = !token.isEscaped && token.scalar.properties.isAlphabetic
    throw error(isLetter ? "unknown flag" : reason, back: token.length)
  }
}

extension PatternParser.Flags {
  fileprivate mutating func set(_ flag: Character, _ value: Bool) {
    switch flag {
    case "i": ignoresCase = value
    case "m": isMultiline = value
    case "s": dotMatchesAll = value
    case "x": isVerbose = value
    case "a": isASCII = value
    case "u": isASCII = !value
    default: break
    }
  }
}

extension String {
  /// Whether Python takes it for an identifier, as it asks of the names of groups.
  fileprivate var isPythonIdentifier: Bool {
    guard let first = unicodeScalars.first, first == "_" || first.properties.isXIDStart else { return false }
    return unicodeScalars.dropFirst().allSatisfy(\.properties.isXIDContinue)
  }
}
