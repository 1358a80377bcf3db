// Python's two ways to put values into a text: "%s" % value and "{}".format(value).

import Foundation

extension TemplateInterpreter {
  /// `format % value`
  mutating func formatted(_ format: String, _ value: TemplateValue, _ line: Int) throws -> String {
    var values: [TemplateValue] = if case .list(let list) = value, list.isTuple { list.values } else { [value] }
    var result = ""
    var rest = format.unicodeScalars[...]
    while let scalar = rest.popFirst() {
      guard scalar == "%" else {
        result.unicodeScalars.append(scalar)
        continue
      }
      var specification = FormatSpecification()
      if rest.first == "(" {
        let name = String(rest.dropFirst().prefix { $0 != ")" })
        rest = rest.dropFirst(name.unicodeScalars.count + 2)
        guard case .dictionary(let dictionary) = value, let member = dictionary[name] else {
          throw error("'%(\(name))' without a dictionary that has this key", expected: "one behind '%'", line)
        }
        values.insert(member, at: 0)
      }
      while let flag = rest.first, "-+ 0#".unicodeScalars.contains(flag) {
        specification.take(flag: flag)
        rest = rest.dropFirst()
      }
      specification.width = FormatSpecification.number(&rest) ?? 0
      if rest.first == "." {
        rest = rest.dropFirst()
        specification.precision = FormatSpecification.number(&rest) ?? 0
      }
      guard let kind = rest.popFirst() else {
        throw error("'%' at the end of a format", expected: "a letter behind it", line)
      }
      if kind == "%" {
        result += "%"
        continue
      }
      guard !values.isEmpty else { throw error("fewer values than '%' in a format", expected: "one for each", line) }
      specification.kind = kind
      result += try text(of: values.removeFirst(), specification, isPercent: true, line)
    }
    if case .dictionary = value {
    } else if !values.isEmpty {
      throw error("more values than '%' in a format", expected: "one for each", line)
    }
    try spend(line, bytes: result.utf8.count)
    return result
  }

  /// `text.format(…)`
  mutating func fields(of format: String, _ given: TemplateValues, _ line: Int) throws -> String {
    var (result, next) = ("", 0)
    var rest = format.unicodeScalars[...]
    while let scalar = rest.popFirst() {
      if scalar == "{" || scalar == "}", rest.first == scalar {
        result.unicodeScalars.append(scalar)
        rest = rest.dropFirst()
        continue
      }
      guard scalar == "{" else {
        result.unicodeScalars.append(scalar)
        continue
      }
      let field = String(rest.prefix { $0 != "}" })
      rest = rest.dropFirst(field.unicodeScalars.count + 1)
      let parts = field.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
      let value: TemplateValue?
      let name = String(parts.first ?? "")
      if name.isEmpty {
        value = next < given.positional.count ? given.positional[next] : nil
        next += 1
      } else if let place = Int(name) {
        value = given.positional.indices.contains(place) ? given.positional[place] : nil
      } else {
        value = given.named.first { $0.name == name }?.value
      }
      guard let value else {
        throw error("'format' has no value for '{\(field)}'", expected: "a value for each field", line)
      }
      var specification = FormatSpecification()
      if parts.count > 1 {
        guard let read = FormatSpecification(String(parts[1])) else {
          throw error("the format '{\(field)}' is not supported", expected: "a field as Python's format has them", line)
        }
        specification = read
      }
      result += try text(of: value, specification, isPercent: false, line)
    }
    try spend(line, bytes: result.utf8.count)
    return result
  }

  private mutating func text(
    of value: TemplateValue, _ specification: FormatSpecification, isPercent: Bool, _ line: Int
  ) throws -> String {
    try spend(line, bytes: max(specification.width, specification.precision ?? 0))
    guard (specification.precision ?? 0) <= 100 else {
      throw error("more than 100 decimals", expected: "at most 100", line)
    }
    var text: String
    switch specification.kind {
    case nil where value.integer != nil && (specification.grouped || !specification.sign.isEmpty), "d", "i", "u", "x",
      "X", "o", "b":
      let whole = isPercent ? value.number.flatMap { Int(exactly: $0.rounded(.towardZero)) } : value.integer
      guard let number = value.integer ?? whole else {
        throw error("'%d' of \(value.typeName)", expected: "a number", line)
      }
      let radix = ["x": 16, "X": 16, "o": 8, "b": 2][specification.kind ?? "d"] ?? 10
      text = String(number.magnitude, radix: radix, uppercase: specification.kind == "X")
      if specification.grouped { text = FormatSpecification.grouped(text) }
      text = (number < 0 ? "-" : specification.sign) + text
    case nil, "s", "r", "a":
      if specification.kind == nil, case .float = value, let precision = specification.precision {
        text = String(format: "%.\(precision)g", value.number!)
      } else {
        text = specification.kind == "r" || specification.kind == "a" ? value.representation : value.text
        if let precision = specification.precision { text = String(text.unicodeScalars.prefix(precision)) }
      }
    case "f", "F", "e", "E", "g", "G", "%":
      guard let number = value.number else {
        throw error("'%\(specification.kind!)' of \(value.typeName)", expected: "a number", line)
      }
      let isShare = specification.kind == "%"
      text =
        String(
          format: "%.\(specification.precision ?? 6)\(isShare ? "f" : String(specification.kind!))",
          abs(isShare ? 100 * number : number)) + (isShare ? "%" : "")
      if specification.grouped { text = FormatSpecification.grouped(text) }
      text = (number < 0 ? "-" : specification.sign) + text
    default:
      throw error(
        "the format '%\(specification.kind!)' is not supported", expected: "one of d, i, u, x, o, e, f, g, s, r, c",
        line)
    }
    return specification.padded(text, isNumber: value.number != nil, isPercent: isPercent)
  }
}

/// What stands between `%` and its letter, or behind the colon of `{:…}`.
struct FormatSpecification {
  var fill: Unicode.Scalar = " "
  var alignment: Unicode.Scalar?
  var sign = ""
  var padsWithZeros = false
  var grouped = false
  var width = 0
  var precision: Int?
  var kind: Unicode.Scalar?

  init() {}

  /// `[[fill]align][sign][0][width][,][.precision][kind]`
  init?(_ text: String) {
    var rest = text.unicodeScalars[...]
    let aligns = "<>^=".unicodeScalars
    if let second = rest.dropFirst().first, aligns.contains(second) {
      (fill, alignment) = (rest.first!, second)
      rest = rest.dropFirst(2)
    } else if let first = rest.first, aligns.contains(first) {
      alignment = first
      rest = rest.dropFirst()
    }
    while let flag = rest.first, "+- 0".unicodeScalars.contains(flag) {
      if flag != "-" { take(flag: flag) }
      rest = rest.dropFirst()
    }
    width = FormatSpecification.number(&rest) ?? 0
    if rest.first == "," {
      grouped = true
      rest = rest.dropFirst()
    }
    if rest.first == "." {
      rest = rest.dropFirst()
      guard let number = FormatSpecification.number(&rest) else { return nil }
      precision = number
    }
    kind = rest.popFirst()
    guard rest.isEmpty, kind.map({ "sdixXobfFeEgG%".unicodeScalars.contains($0) }) ?? true else { return nil }
  }

  mutating func take(flag: Unicode.Scalar) {
    switch flag {
    case "-": alignment = "<"
    case "+": sign = "+"
    case " ": if sign.isEmpty { sign = " " }
    case "0": padsWithZeros = true
    default: break
    }
  }

  static func number(_ rest: inout Substring.UnicodeScalarView) -> Int? {
    let digits = rest.prefix { ("0"..."9").contains($0) }
    rest = rest.dropFirst(digits.count)
    return digits.isEmpty ? nil : Int(String(digits)) ?? Int(Int32.max)
  }

  static func grouped(_ text: String) -> String {
    let whole = text.prefix { $0.isNumber }
    var result = ""
    for (index, digit) in whole.enumerated() {
      if index > 0, (whole.count - index) % 3 == 0 { result += "," }
      result.append(digit)
    }
    return result + text.dropFirst(whole.count)
  }

  func padded(_ text: String, isNumber: Bool, isPercent: Bool) -> String {
    let missing = width - text.unicodeScalars.count
    guard missing > 0 else { return text }
    if padsWithZeros, isNumber, alignment == nil {
      let sign = text.prefix { "+- ".contains($0) }
      return sign + String(repeating: "0", count: missing) + text.dropFirst(sign.count)
    }
    let fill = String(Character(self.fill))
    switch alignment ?? (isNumber || isPercent ? ">" : "<") {
    case "<": return text + String(repeating: fill, count: missing)
    case "^":
      return String(repeating: fill, count: missing / 2) + text + String(repeating: fill, count: missing - missing / 2)
    default: return String(repeating: fill, count: missing) + text
    }
  }
}
