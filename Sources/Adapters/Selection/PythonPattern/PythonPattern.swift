// Regular expressions as Python's `re` reads and matches them, for the patterns in adapter configurations.
//
//     let pattern = try PythonPattern(#".*\.[[qv]_proj"#)
//     try pattern.matches("layers.0.q_proj")  // true
//
// Another engine won't do: `[[qv]` is an error to ICU and a set of three characters to Python, and an adapter that
// trained with one meaning must be read with the same. Parsing follows Python's documentation of `re` (3.11), matching
// works on Unicode scalars as on the elements of Python's `str`.
//
// Matching ends: where a pattern has no references to groups, a state that failed once is not tried again, so that
// time is polynomial; and every match has a budget of steps, after which it is an error, never "no match".

import LoRATensors

/// A compiled regular expression of Python's.
///
/// Two patterns are equal where their texts are.
public struct PythonPattern: Sendable, Equatable {
  /// The pattern as it was written.
  public let text: String
  let program: PatternProgram

  /// - Throws: ``PythonPatternError`` where Python would raise `re.error`, and for the few notations that are not
  ///   supported (`\N{…}`, more than 31 nested groups).
  public init(_ text: String) throws(PythonPatternError) {
    self.text = text
    program = try PatternProgram(text)
  }

  /// Whether the whole of `string` matches: `re.fullmatch(text, string) is not None`.
  ///
  /// - Throws: ``PythonPatternError`` of kind ``PythonPatternError/Kind/tooComplex`` where that can't be told within
  ///   the budget of steps.
  public func matches(_ string: String) throws(PythonPatternError) -> Bool {
    try captures(in: string.unicodeScalars.map(\.value), whole: true) != nil
  }

  /// Whether `string` begins with a match: `re.match(text, string) is not None`.
  ///
  /// - Throws: ``PythonPatternError``, as ``matches(_:)`` does.
  public func matchesPrefix(_ string: String) throws(PythonPatternError) -> Bool {
    try captures(in: string.unicodeScalars.map(\.value), whole: false) != nil
  }

  /// The text of the group `(?P<name>…)` where the whole of `string` matches; `nil` where it doesn't, where the group
  /// took no part, and where there is no such group.
  ///
  /// - Throws: ``PythonPatternError``, as ``matches(_:)`` does.
  public func group(_ name: String, in string: String) throws(PythonPatternError) -> String? {
    guard let number = program.names[name] else { return nil }
    let scalars = Array(string.unicodeScalars)
    guard let registers = try captures(in: scalars.map(\.value), whole: true) else { return nil }
    let (start, end) = (registers[2 * number], registers[2 * number + 1])
    guard start >= 0, end >= start else { return nil }
    var text = String.UnicodeScalarView()
    text.append(contentsOf: scalars[start..<end])
    return String(text)
  }

  /// Where the groups lie in `subject`, start and end of each in turn, -1 where one took no part; `nil` for no match.
  func captures(in subject: [UInt32], whole: Bool) throws(PythonPatternError) -> [Int]? {
    var matcher = PatternMatcher(program, subject: subject, matchesWhole: whole)
    switch matcher.run() {
    case .matched: return matcher.registers
    case .failed: return nil
    case .exhausted:
      throw PythonPatternError(
        .tooComplex, pattern: text,
        reason: "matching a string of \(subject.count) characters takes more than \(matcher.budget) steps")
    }
  }

  public static func == (a: PythonPattern, b: PythonPattern) -> Bool {
    a.text.unicodeScalars.elementsEqual(b.text.unicodeScalars)
  }
}

/// Why a text is no regular expression, or why it can't be told whether one matches.
public struct PythonPatternError: DescribedError, Equatable {
  /// What sort of failure it is.
  public enum Kind: Sendable {
    /// Python refuses the pattern too.
    case malformed
    /// Python reads it, this engine does not.
    case unsupported
    /// Matching would take too many steps.
    case tooComplex
  }

  /// Whether Python would refuse the pattern too.
  public let kind: Kind
  /// The pattern that the error is about.
  public var pattern: String
  /// What is wrong, in Python's words where Python has some: "unterminated character set".
  public let reason: String
  /// Where in the pattern, in Unicode scalars from 0; `nil` where no one place is at fault.
  public var position: Int?

  init(_ kind: Kind, pattern: String, reason: String, position: Int? = nil) {
    self.kind = kind
    self.pattern = pattern
    self.reason = reason
    self.position = position
  }

  public var subject: String { "" }
  /// Whoever knows where the pattern comes from says what to do.
  public var advice: Advice { .given }

  /// The reason and the place, without the pattern: "unterminated character set at position 4".
  public var problem: String { position.map { "\(reason) at position \($0)" } ?? reason }
}
