// What templates make of values: `value | name(…)`.

import Foundation

extension TemplateInterpreter {
  static let filters: Set<String> = [
    "abs", "attr", "batch", "capitalize", "center", "count", "d", "default", "dictsort", "e", "escape", "first",
    "float",
    "format", "groupby", "indent", "int", "items", "join", "last", "length", "list", "lower", "map", "max", "min",
    "reject",
    "rejectattr", "replace", "reverse", "round", "safe", "select", "selectattr", "slice", "sort", "string", "sum",
    "title",
    "tojson", "trim", "unique", "upper", "urlencode",
  ]

  mutating func filter(
    _ name: String, _ value: TemplateValue, _ given: TemplateValues, _ line: Int
  ) throws -> TemplateValue {
    guard TemplateInterpreter.filters.contains(name) else {
      throw error("the filter '\(name)' is not supported", expected: "one of Jinja's that chat templates use", line)
    }
    switch name {
    case "abs", "round", "int", "float", "max", "min", "sum": return try numbers(name, value, given, line)
    case "batch", "dictsort", "first", "groupby", "last", "list", "map", "reject", "rejectattr", "reverse", "select",
      "selectattr", "slice", "sort", "unique", "items":
      return try lists(name, value, given, line)
    case "default", "d":
      let replaces = value.isUndefined || given[1, "boolean"]?.isTrue == true && !value.isTrue
      return replaces ? given[0, "default_value"] ?? .string("") : value
    case "length", "count":
      if case .string(let text) = value { return .integer(text.unicodeScalars.count) }
      guard let elements = value.elements else {
        throw error("\(value.typeName) has no length", expected: "a text, a list or a dictionary", line)
      }
      return .integer(elements.count)
    case "attr":
      guard let name = given[0, "name"]?.string else {
        throw error("'attr' without a name", expected: "the attribute's name", line)
      }
      if case .dictionary = value { return .undefined("'\(name)' of a dictionary, by 'attr'") }
      return try attribute(name, of: value, line)
    case "tojson": return .string(try json(value, given, line))
    case "join": return .string(try joined(value, given, line))
    case "format":
      let values: TemplateValue =
        given.named.isEmpty
        ? .tuple(given.positional) : .dictionary(TemplateDictionary(given.named.map { (.string($0.name), $0.value) }))
      return .string(try formatted(value.text, values, line))
    default: return .string(try text(name, value, given, line))
    }
  }

  // MARK: Texts

  private mutating func text(
    _ name: String, _ value: TemplateValue, _ given: TemplateValues, _ line: Int
  ) throws -> String {
    let text = value.text
    try spend(line, bytes: text.utf8.count)
    switch name {
    case "trim": return text.stripped(given[0, "chars"]?.string)
    case "upper": return text.uppercased()
    case "lower": return text.lowercased()
    case "capitalize": return text.pythonCapitalized
    case "title":
      // Words begin behind a space, a hyphen or an opening bracket.
      var (result, inWord) = ("", false)
      for scalar in text.unicodeScalars {
        result += inWord ? scalar.properties.lowercaseMapping : scalar.properties.uppercaseMapping
        inWord = !(scalar.isPythonSpace || "-({[<".unicodeScalars.contains(scalar))
      }
      return result
    case "replace":
      guard let old = given[0, "old"], let new = given[1, "new"] else {
        throw error("'replace' without two texts", expected: "what is replaced, and by what", line)
      }
      let (from, to) = (old.text, new.text)
      let (bytes, overflow) = (text.utf8.count / max(1, from.utf8.count) + 1).multipliedReportingOverflow(
        by: to.utf8.count)
      if overflow || bytes > 1 << 16 { try spend(line, bytes: overflow ? .max : bytes) }
      return text.pythonReplacing(from, with: to, most: given[2, "count"]?.integer ?? -1)
    case "center":
      let width = given[0, "width"]?.integer ?? 80
      try spend(line, bytes: max(0, width))
      let missing = max(0, width - text.unicodeScalars.count)
      let left = missing / 2 + (missing & width & 1)
      return String(repeating: " ", count: left) + text + String(repeating: " ", count: missing - left)
    case "indent": return try indented(text, given, line)
    case "escape", "e":
      return text.pythonReplacing("&", with: "&amp;", most: -1).pythonReplacing("<", with: "&lt;", most: -1)
        .pythonReplacing(">", with: "&gt;", most: -1).pythonReplacing("'", with: "&#39;", most: -1)
        .pythonReplacing("\"", with: "&#34;", most: -1)
    case "urlencode":
      return text.utf8.reduce(into: "") { result, byte in
        let scalar = Unicode.Scalar(byte)
        if byte < 0x80,
          scalar.properties.isAlphabetic || ("0"..."9").contains(scalar) || "_.-~/".unicodeScalars.contains(scalar)
        {
          result.unicodeScalars.append(scalar)
        } else {
          result += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
        }
      }
    default: return text  // string, safe
    }
  }

  private mutating func indented(_ text: String, _ given: TemplateValues, _ line: Int) throws -> String {
    let width: String
    switch given[0, "width"] {
    case .string(let text)?: width = text
    case let number?:
      try spend(line, bytes: max(0, number.integer ?? 0))
      width = String(repeating: " ", count: max(0, number.integer ?? 0))
    case nil: width = "    "
    }
    let (first, blank) = (given[1, "first"]?.isTrue ?? false, given[2, "blank"]?.isTrue ?? false)
    // As Jinja does: a line end is added, so that the last one is kept.
    let lines = (text + "\n").pythonLines()
    try spend(line, bytes: text.utf8.count + lines.count * width.utf8.count)
    return lines.enumerated().map { index, line in
      index == 0 ? (first ? width : "") + line : line.isEmpty && !blank ? line : width + line
    }.joined(separator: "\n")
  }

  private mutating func joined(_ value: TemplateValue, _ given: TemplateValues, _ line: Int) throws -> String {
    var values = try elements(of: value, line)
    if let name = given[1, "attribute"] { values = try values.map { try path(name, of: $0, line) } }
    let text = values.map(\.text).joined(separator: given[0, "d"]?.text ?? "")
    try spend(line, bytes: text.utf8.count)
    return text
  }

  private mutating func json(_ value: TemplateValue, _ given: TemplateValues, _ line: Int) throws -> String {
    var style = TemplateValue.JSONStyle()
    style.isASCII = given[0, "ensure_ascii"]?.isTrue ?? false
    switch given[1, "indent"] {
    case .integer(let count)?:
      guard count <= 100 else { throw error("'tojson' indents by more than 100", expected: "at most 100", line) }
      style.indent = String(repeating: " ", count: max(0, count))
    case .string(let text)?: style.indent = text
    default: break
    }
    if style.indent != nil { style.item = "," }
    if case .list(let separators)? = given[2, "separators"], separators.values.count == 2 {
      (style.item, style.key) = (separators.values[0].text, separators.values[1].text)
    }
    style.sortsKeys = given[3, "sort_keys"]?.isTrue ?? false
    var text = ""
    guard value.appendJSON(to: &text, style) else {
      throw error("'tojson' can't write \(value.typeName)", expected: "what JSON can say", line)
    }
    try spend(line, bytes: text.utf8.count)
    return text
  }

  // MARK: Numbers

  private mutating func numbers(
    _ name: String, _ value: TemplateValue, _ given: TemplateValues, _ line: Int
  ) throws -> TemplateValue {
    switch name {
    case "int":
      if let integer = value.integer { return .integer(integer) }
      if let number = value.number {
        return Int(exactly: number.rounded(.towardZero)).map { .integer($0) } ?? .integer(0)
      }
      let text = value.text.stripped().pythonReplacing("_", with: "", most: -1)
      if let integer = Int(text, radix: given[1, "base"]?.integer ?? 10) { return .integer(integer) }
      if let number = Double(text), let whole = Int(exactly: number.rounded(.towardZero)) { return .integer(whole) }
      return given[0, "default"] ?? .integer(0)
    case "float":
      return (value.number ?? Double(value.text.stripped())).map { .float($0) } ?? given[0, "default"] ?? .float(0)
    case "abs":
      if let integer = value.integer, integer != .min { return .integer(abs(integer)) }
      guard let number = value.number else { throw error("'abs' of \(value.typeName)", expected: "a number", line) }
      return .float(abs(number))
    case "round":
      guard let number = value.number else { throw error("'round' of \(value.typeName)", expected: "a number", line) }
      let factor = pow(10, Double(given[0, "precision"]?.integer ?? 0))
      switch given[1, "method"]?.string ?? "common" {
      case "ceil": return .float((number * factor).rounded(.up) / factor)
      case "floor": return .float((number * factor).rounded(.down) / factor)
      default:
        if value.integer != nil, factor >= 1 { return value }
        return .float((number * factor).rounded(.toNearestOrEven) / factor)
      }
    case "sum":
      var sum = given[1, "start"] ?? .integer(0)
      for element in try elements(of: value, line) {
        sum = try arithmetic(
          "+", sum, try given[0, "attribute"].map { try path($0, of: element, line) } ?? element, line)
      }
      return sum
    default:
      let values = try elements(of: value, line)
      guard var best = values.first else { return .undefined("the \(name) of nothing") }
      let attribute = given[1, "attribute"]
      func key(_ value: TemplateValue) throws -> TemplateValue {
        TemplateInterpreter.caseless(
          try attribute.map { try path($0, of: value, line) } ?? value, given[0, "case_sensitive"])
      }
      for element in values.dropFirst() {
        let (a, b) = name == "min" ? (try key(element), try key(best)) : (try key(best), try key(element))
        guard let isLess = a.isLess(than: b) else {
          throw error("'\(name)' can't compare its values", expected: "values of one kind", line)
        }
        if isLess { best = element }
      }
      return best
    }
  }

  static func caseless(_ value: TemplateValue, _ sensitive: TemplateValue?) -> TemplateValue {
    guard sensitive?.isTrue != true, case .string(let text) = value else { return value }
    return .string(text.lowercased())
  }

  /// "a.b.0" of a value.
  func path(_ name: TemplateValue, of value: TemplateValue, _ line: Int) throws -> TemplateValue {
    guard case .string(let text) = name else {
      guard let index = name.integer, let elements = value.elements else { return .undefined(name.text) }
      return elements.indices.contains(index) ? elements[index] : .undefined(name.text)
    }
    var value = value
    for part in text.split(separator: ".", omittingEmptySubsequences: false) {
      if let index = Int(part), case .list(let list) = value {
        value = list.values.indices.contains(index) ? list.values[index] : .undefined(text)
      } else if case .dictionary(let dictionary) = value {
        value = dictionary[String(part)] ?? .undefined("'\(part)' of a dictionary")
      } else {
        value = try attribute(String(part), of: value, line)
      }
    }
    return value
  }
}
