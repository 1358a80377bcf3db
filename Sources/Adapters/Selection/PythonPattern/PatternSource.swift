// The text of a regular expression as tokens: a scalar, or a backslash with the scalar behind it.

/// A text being read, one token ahead.
struct PatternSource {
  struct Token: Equatable {
    let scalar: Unicode.Scalar
    let isEscaped: Bool

    var length: Int { isEscaped ? 2 : 1 }
    var text: String { isEscaped ? "\\\(scalar)" : "\(scalar)" }
    /// Whether the flag `x` skips it.
    var isSpace: Bool { !isEscaped && (scalar == " " || 9...13 ~= scalar.value) }

    static func == (token: Token, scalar: Unicode.Scalar) -> Bool { !token.isEscaped && token.scalar == scalar }
    static func != (token: Token, scalar: Unicode.Scalar) -> Bool { !(token == scalar) }
  }

  let text: String
  private let scalars: [Unicode.Scalar]
  private var index = 0
  private(set) var next: Token?

  init(_ text: String) {
    self.text = text
    scalars = Array(text.unicodeScalars)
  }

  /// Where the next token begins, in scalars.
  var position: Int { index - (next?.length ?? 0) }

  mutating func advance() throws(PythonPatternError) {
    next = nil
    guard index < scalars.count else { return }
    var isEscaped = false
    if scalars[index] == "\\" {
      isEscaped = true
      index += 1
      guard index < scalars.count else {
        throw PythonPatternError(
          .malformed, pattern: text, reason: "bad escape (end of pattern)", position: scalars.count - 1)
      }
    }
    next = Token(scalar: scalars[index], isEscaped: isEscaped)
    index += 1
  }

  mutating func get() throws(PythonPatternError) -> Token? {
    let token = next
    try advance()
    return token
  }

  /// Takes the next token if it is this one.
  mutating func take(_ scalar: Unicode.Scalar) throws(PythonPatternError) -> Bool {
    guard let token = next, token == scalar else { return false }
    try advance()
    return true
  }

  /// Takes up to `count` scalars that fulfil a condition.
  mutating func take(upTo count: Int, where isTaken: (UInt32) -> Bool) throws(PythonPatternError) -> String {
    var taken = String.UnicodeScalarView()
    while taken.count < count, let token = next, !token.isEscaped, isTaken(token.scalar.value) {
      taken.append(token.scalar)
      try advance()
    }
    return String(taken)
  }

  mutating func seek(_ position: Int) throws(PythonPatternError) {
    index = position
    try advance()
  }
}

extension PatternSource.Token? {
  static func == (token: PatternSource.Token?, scalar: Unicode.Scalar) -> Bool { token.map { $0 == scalar } ?? false }
}
