// How Python writes its values: str(), repr() and json.dumps().

import LoRAFiles

extension TemplateValue {
  /// As `{{ value }}` gives it out: `str(value)`.
  var text: String {
    switch self {
    case .undefined: ""
    case .string(let text): text
    default: representation
    }
  }

  /// `repr(value)`
  var representation: String {
    switch self {
    case .undefined: "Undefined"
    case .none: "None"
    case .bool(let value): value ? "True" : "False"
    case .integer(let value): String(value)
    case .float(let value): pythonText(value)
    case .string(let text): text.pythonRepresentation
    case .list(let list):
      list.isTuple
        ? "(" + list.values.map(\.representation).joined(separator: ", ") + (list.values.count == 1 ? ",)" : ")")
        : "[" + list.values.map(\.representation).joined(separator: ", ") + "]"
    case .dictionary(let dictionary):
      "{" + dictionary.members.map { "\($0.key.representation): \($0.value.representation)" }.joined(separator: ", ")
        + "}"
    case .namespace(let namespace): "<Namespace \(namespace.members.keys.sorted())>"
    case .macro(let macro): "<Macro '\(macro.definition.name)'>"
    case .loop(let loop): "<LoopContext \(loop.index + 1)/\(loop.values.count)>"
    case .function(let name), .method(_, let name): "<function \(name)>"
    }
  }

  /// How `json.dumps` is to write.
  struct JSONStyle {
    var indent: String?
    var item = ", "
    var key = ": "
    var isASCII = false
    var sortsKeys = false
  }

  /// Appends `json.dumps(value, …)`.
  ///
  /// - Returns: false where Python can't write the value either.
  func appendJSON(to text: inout String, _ style: JSONStyle, level: Int = 0) -> Bool {
    func line(_ level: Int) -> String { style.indent.map { "\n" + String(repeating: $0, count: level) } ?? "" }
    switch self {
    case .none: text += "null"
    case .bool(let value): text += value ? "true" : "false"
    case .integer(let value): text += String(value)
    case .float(let value):
      text += value.isNaN ? "NaN" : value.isInfinite ? (value > 0 ? "Infinity" : "-Infinity") : pythonText(value)
    case .string(let value): JSON.write(value, to: &text, isASCII: style.isASCII)
    case .list(let list):
      text += "["
      for (index, value) in list.values.enumerated() {
        if index > 0 { text += style.item }
        text += line(level + 1)
        guard value.appendJSON(to: &text, style, level: level + 1) else { return false }
      }
      if !list.values.isEmpty { text += line(level) }
      text += "]"
    case .dictionary(let dictionary):
      text += "{"
      var members = dictionary.members
      if style.sortsKeys { members.sort { $0.key.isLess(than: $1.key) ?? false } }
      for (index, member) in members.enumerated() {
        if index > 0 { text += style.item }
        text += line(level + 1)
        switch member.key {
        case .string(let key): JSON.write(key, to: &text, isASCII: style.isASCII)
        case .none, .bool, .integer, .float:
          text += "\""
          _ = member.key.appendJSON(to: &text, style)
          text += "\""
        default: return false
        }
        text += style.key
        guard member.value.appendJSON(to: &text, style, level: level + 1) else { return false }
      }
      if !members.isEmpty { text += line(level) }
      text += "}"
    default: return false
    }
    return true
  }
}

/// `repr` of a float: the shortest digits that tell it apart, with an exponent below 1e-4 and from 1e16 on.
func pythonText(_ value: Double) -> String {
  guard value.isFinite else { return value.isNaN ? "nan" : value > 0 ? "inf" : "-inf" }
  guard value != 0 else { return value.sign == .minus ? "-0.0" : "0.0" }
  // Swift's description has the same digits and another rule for the exponent.
  var text = "\(value.magnitude)"
  var exponent = 0
  if let place = text.firstIndex(where: { $0 == "e" || $0 == "E" }) {
    exponent = Int(text[text.index(after: place)...]) ?? 0
    text = String(text[..<place])
  }
  let parts = text.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
  var digits = parts[0] + (parts.count > 1 ? parts[1] : "")
  var point = parts[0].count + exponent  // where the point stands in `digits`
  let leading = digits.prefix { $0 == "0" }.count
  digits.removeFirst(leading)
  point -= leading
  while digits.count > 1, digits.hasSuffix("0") { digits.removeLast() }
  let sign = value < 0 ? "-" : ""
  guard point > -4, point <= 16 else {
    let power = point - 1
    let rest = digits.dropFirst()
    return sign + digits.prefix(1) + (rest.isEmpty ? "" : "." + rest) + "e" + (power < 0 ? "-" : "+")
      + (abs(power) < 10 ? "0" : "") + String(abs(power))
  }
  if point <= 0 { return sign + "0." + String(repeating: "0", count: -point) + digits }
  if point >= digits.count { return sign + digits + String(repeating: "0", count: point - digits.count) + ".0" }
  return sign + digits.prefix(point) + "." + digits.dropFirst(point)
}

extension String {
  fileprivate var pythonRepresentation: String {
    let quote: Unicode.Scalar = utf8.contains(UInt8(ascii: "'")) && !utf8.contains(UInt8(ascii: "\"")) ? "\"" : "'"
    var text = String.UnicodeScalarView()
    text.append(quote)
    func hexadecimal(_ mark: String, _ value: UInt32, _ count: Int) {
      let digits = String(value, radix: 16)
      text.append(
        contentsOf: ("\\" + mark + String(repeating: "0", count: count - digits.count) + digits).unicodeScalars)
    }
    for scalar in unicodeScalars {
      switch scalar {
      case "\\", quote:
        text.append("\\")
        text.append(scalar)
      case "\n": text.append(contentsOf: "\\n".unicodeScalars)
      case "\r": text.append(contentsOf: "\\r".unicodeScalars)
      case "\t": text.append(contentsOf: "\\t".unicodeScalars)
      case " ": text.append(scalar)
      default:
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator,
          .spaceSeparator:
          if scalar.value < 0x100 {
            hexadecimal("x", scalar.value, 2)
          } else if scalar.value < 0x10000 {
            hexadecimal("u", scalar.value, 4)
          } else {
            hexadecimal("U", scalar.value, 8)
          }
        default: text.append(scalar)
        }
      }
    }
    text.append(quote)
    return String(text)
  }
}
