// A regular expression as a tree, between its text and its program.

/// A part of a regular expression.
indirect enum PatternNode: Sendable {
  /// One scalar.
  case scalar(UInt32)
  /// One scalar of several.
  case set(ScalarSet)
  case anchor(PatternAnchor)
  case sequence([PatternNode])
  case alternation([PatternNode])
  /// A group that captures, by its number.
  case group(Int, PatternNode)
  /// `maximum` is `Int.max` where there is none.
  case repetition(PatternNode, minimum: Int, maximum: Int, Greed)
  case look(isAhead: Bool, isNegated: Bool, PatternNode)
  case atomic(PatternNode)
  case reference(Int, LetterCase)
  /// What `yes` matches if the group took part, else what `no` does.
  case conditional(Int, yes: PatternNode, no: PatternNode)

  enum Greed: Sendable { case greedy, lazy, possessive }
}

/// A place in a string.
enum PatternAnchor: Sendable {
  case start, lineStart, end, endOrLastNewline, lineEnd
  case boundary(isASCII: Bool)
  case noBoundary(isASCII: Bool)
}

/// How many scalars a part of a pattern can match.
struct PatternWidth: Sendable {
  var minimum: Int
  /// `Int.max` where there is no limit.
  var maximum: Int

  static let zero = PatternWidth(minimum: 0, maximum: 0)

  static func + (a: PatternWidth, b: PatternWidth) -> PatternWidth {
    PatternWidth(minimum: add(a.minimum, b.minimum), maximum: add(a.maximum, b.maximum))
  }

  static func | (a: PatternWidth, b: PatternWidth) -> PatternWidth {
    PatternWidth(minimum: min(a.minimum, b.minimum), maximum: max(a.maximum, b.maximum))
  }

  func repeated(_ minimum: Int, _ maximum: Int) -> PatternWidth {
    PatternWidth(minimum: Self.multiply(self.minimum, minimum), maximum: Self.multiply(self.maximum, maximum))
  }

  private static func add(_ a: Int, _ b: Int) -> Int {
    let (sum, overflow) = a.addingReportingOverflow(b)
    return overflow ? .max : sum
  }

  private static func multiply(_ a: Int, _ b: Int) -> Int {
    let (product, overflow) = a.multipliedReportingOverflow(by: b)
    return overflow ? .max : product
  }
}

extension PatternNode {
  /// How many scalars it can match.
  ///
  /// - Parameter groups: the widths of the groups that references name.
  func width(groups: [PatternWidth?]) -> PatternWidth {
    switch self {
    case .scalar, .set: PatternWidth(minimum: 1, maximum: 1)
    case .anchor, .look: .zero
    case .sequence(let parts): parts.reduce(.zero) { $0 + $1.width(groups: groups) }
    case .alternation(let parts):
      parts.dropFirst().reduce(parts.first?.width(groups: groups) ?? .zero) { $0 | $1.width(groups: groups) }
    case .group(_, let part), .atomic(let part): part.width(groups: groups)
    case .repetition(let part, let minimum, let maximum, _): part.width(groups: groups).repeated(minimum, maximum)
    case .reference(let group, _): groups[group] ?? PatternWidth(minimum: 0, maximum: .max)
    case .conditional(_, let yes, let no): yes.width(groups: groups) | no.width(groups: groups)
    }
  }
}
