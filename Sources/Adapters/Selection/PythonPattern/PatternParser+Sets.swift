// Character classes and escapes, in and out of classes.

extension PatternParser {
  // MARK: Classes

  /// What follows an opening bracket.
  mutating func set(_ flags: Flags) throws(PythonPatternError) -> ScalarSet {
    let start = source.position - 1
    var items: [ScalarSet.Item] = []
    let isNegated = try source.take("^")
    while true {
      guard let token = try source.get() else { throw error("unterminated character set", at: start) }
      if token == "]", !items.isEmpty { break }
      let item = try setItem(token)
      guard try source.take("-") else {
        items.append(item)
        continue
      }
      guard let last = try source.get() else { throw error("unterminated character set", at: start) }
      if last == "]" {
        items += [item, .range(45...45)]
        break
      }
      let lastItem = try setItem(last)
      guard case .range(let low) = item, case .range(let high) = lastItem, low.lowerBound <= high.lowerBound else {
        throw error("bad character range \(token.text)-\(last.text)", back: token.length + 1 + last.length)
      }
      items.append(.range(low.lowerBound...high.lowerBound))
    }
    return ScalarSet(items, isNegated: isNegated, cases: flags.cases, isASCII: flags.isASCII)
  }

  private mutating func setItem(_ token: PatternSource.Token) throws(PythonPatternError) -> ScalarSet.Item {
    guard token.isEscaped else { return .range(token.scalar.value...token.scalar.value) }
    if let category = category(token.scalar) { return category }
    if token.scalar == "b" { return .range(8...8) }
    if 48...55 ~= token.scalar.value {
      let scalar = try octal(token, upTo: 2)
      return .range(scalar...scalar)
    }
    guard let scalar = try scalarEscape(token) else { throw error("bad escape \(token.text)", back: 2) }
    return .range(scalar...scalar)
  }

  private func category(_ scalar: Unicode.Scalar) -> ScalarSet.Item? {
    switch scalar {
    case "d": .category(.digit, isNegated: false)
    case "D": .category(.digit, isNegated: true)
    case "s": .category(.space, isNegated: false)
    case "S": .category(.space, isNegated: true)
    case "w": .category(.word, isNegated: false)
    case "W": .category(.word, isNegated: true)
    default: nil
    }
  }

  // MARK: Escapes

  /// What a backslash and the scalar behind it mean outside of classes.
  mutating func escape(_ token: PatternSource.Token, _ flags: Flags) throws(PythonPatternError) -> PatternNode {
    if let category = category(token.scalar) {
      return .set(ScalarSet([category], cases: flags.cases, isASCII: flags.isASCII))
    }
    switch token.scalar {
    case "A": return .anchor(.start)
    case "Z": return .anchor(.end)
    case "b": return .anchor(.boundary(isASCII: flags.isASCII))
    case "B": return .anchor(.noBoundary(isASCII: flags.isASCII))
    case "0": return literal(try octal(token, upTo: 2), flags)
    case "1"..."9": return try octalOrReference(token, flags)
    default: break
    }
    guard let scalar = try scalarEscape(token) else { throw error("bad escape \(token.text)", back: 2) }
    return literal(scalar, flags)
  }

  /// Three octal digits are a scalar; one or two digits else refer to a group.
  private mutating func octalOrReference(
    _ token: PatternSource.Token, _ flags: Flags
  ) throws(PythonPatternError) -> PatternNode {
    var digits = String(token.scalar)
    if let second = source.next, !second.isEscaped, 48...57 ~= second.scalar.value {
      digits.unicodeScalars.append(second.scalar)
      try source.advance()
      let areOctal = digits.utf8.allSatisfy { 48...55 ~= $0 }
      if areOctal, let third = source.next, !third.isEscaped, 48...55 ~= third.scalar.value {
        digits.unicodeScalars.append(third.scalar)
        try source.advance()
        return literal(try octalValue(digits), flags)
      }
    }
    let number = Int(digits)!  // one or two digits
    guard number < widths.count else { throw error("invalid group reference \(number)", back: digits.utf8.count) }
    return try reference(number, flags, back: digits.utf8.count + 1)
  }

  private mutating func octal(_ token: PatternSource.Token, upTo more: Int) throws(PythonPatternError) -> UInt32 {
    let digits = try source.take(upTo: more) { 48...55 ~= $0 }
    return try octalValue(String(token.scalar) + digits)
  }

  private func octalValue(_ digits: String) throws(PythonPatternError) -> UInt32 {
    guard let value = UInt32(digits, radix: 8), value <= 0o377 else {
      throw error("octal escape value \\\(digits) outside of range 0-0o377", back: digits.utf8.count + 1)
    }
    return value
  }

  /// The escapes that mean one scalar everywhere; `nil` for those that mean nothing.
  private mutating func scalarEscape(_ token: PatternSource.Token) throws(PythonPatternError) -> UInt32? {
    switch token.scalar {
    case "a": return 7
    case "f": return 12
    case "n": return 10
    case "r": return 13
    case "t": return 9
    case "v": return 11
    case "x": return try hexadecimal(token, digits: 2)
    case "u": return try hexadecimal(token, digits: 4)
    case "U": return try hexadecimal(token, digits: 8)
    case "N":
      throw PythonPatternError(
        .unsupported, pattern: text, reason: "\\N{…} is not supported; write \\uXXXX", position: source.position - 2)
    case "0"..."9", "A"..."Z", "a"..."z": return nil
    default: return token.scalar.value
    }
  }

  private mutating func hexadecimal(_ token: PatternSource.Token, digits: Int) throws(PythonPatternError) -> UInt32 {
    let found = try source.take(upTo: digits) { 48...57 ~= $0 || 97...102 ~= $0 | 32 }
    guard found.utf8.count == digits, let value = UInt32(found, radix: 16) else {
      throw error("incomplete escape \(token.text)\(found)", back: found.utf8.count + 2)
    }
    guard value <= 0x10FFFF else { throw error("bad escape \(token.text)\(found)", back: found.utf8.count + 2) }
    return value
  }
}
