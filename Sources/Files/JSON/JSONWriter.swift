// Writing JSON: compact, or laid out as Python's json.dumps(…, indent=2) does it.

extension JSON {
  /// The text in one line without spaces, as safetensors headers have it.
  public var compact: String {
    var text = ""
    write(to: &text, indent: nil, level: 0, isASCII: false)
    return text
  }

  /// The beginning of the text, for messages.
  package var shown: String {
    let text = compact
    return text.utf8.count <= 200 ? text : "\(text.prefix(200))…"
  }

  /// The text as Python writes it with `indent=2`: one member a line, non-ASCII characters escaped.
  public var pretty: String {
    var text = ""
    write(to: &text, indent: 2, level: 0, isASCII: true)
    return text
  }

  /// The same value with every object's members sorted by key, as Python's `sort_keys` does.
  public var sorted: JSON {
    switch self {
    case .object(let members):
      .object(
        members.map { Member($0.key, $0.value.sorted) }
          .sorted { $0.key.unicodeScalars.lexicographicallyPrecedes($1.key.unicodeScalars) })
    case .array(let values): .array(values.map(\.sorted))
    default: self
    }
  }

  fileprivate func write(to text: inout String, indent: Int?, level: Int, isASCII: Bool) {
    func separate(_ isFirst: Bool, _ text: inout String) {
      if !isFirst { text += "," }
      if let indent { text += "\n" + String(repeating: " ", count: indent * (level + 1)) }
    }
    func close(_ text: inout String) {
      if let indent { text += "\n" + String(repeating: " ", count: indent * level) }
    }
    switch self {
    case .null: text += "null"
    case .bool(let value): text += value ? "true" : "false"
    case .integer(let value): text += String(value)
    case .number(let value):
      // Not in the standard, but what Python writes and reads.
      text += value.isNaN ? "NaN" : value.isInfinite ? (value > 0 ? "Infinity" : "-Infinity") : "\(value)"
    case .string(let value): Self.write(value, to: &text, isASCII: isASCII)
    case .array(let values):
      text += "["
      for (index, value) in values.enumerated() {
        separate(index == 0, &text)
        value.write(to: &text, indent: indent, level: level + 1, isASCII: isASCII)
      }
      if !values.isEmpty { close(&text) }
      text += "]"
    case .object(let members):
      text += "{"
      for (index, member) in members.enumerated() {
        separate(index == 0, &text)
        Self.write(member.key, to: &text, isASCII: isASCII)
        text += indent == nil ? ":" : ": "
        member.value.write(to: &text, indent: indent, level: level + 1, isASCII: isASCII)
      }
      if !members.isEmpty { close(&text) }
      text += "}"
    }
  }

  /// Appends a string in quotes, with the escapes that Python writes.
  package static func write(_ string: String, to text: inout String, isASCII: Bool) {
    text += "\""
    for scalar in string.unicodeScalars {
      switch scalar {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case "\n": text += "\\n"
      case "\r": text += "\\r"
      case "\t": text += "\\t"
      case "\u{08}": text += "\\b"
      case "\u{0C}": text += "\\f"
      case _ where scalar.value < 0x20 || (isASCII && scalar.value > 0x7E):
        for unit in String(scalar).utf16 {
          let digits = String(unit, radix: 16)
          text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        }
      default: text.unicodeScalars.append(scalar)
      }
    }
    text += "\""
  }
}

/// An object that is written part by part, as `pretty` would write the whole: no part of it is held.
package struct JSONParts {
  private let write: (String) throws -> Void
  private var text = "{"
  private var isFirstMember = true
  private var isFirstElement = true

  /// - Parameter write: is given some of the text at a time.
  package init(_ write: @escaping (String) throws -> Void) { self.write = write }

  /// A member with its value.
  package mutating func append(_ key: String, _ value: JSON) throws {
    begin(key)
    value.write(to: &text, indent: 2, level: 1, isASCII: true)
    try passOn()
  }

  /// A member whose value is an array; `elements` appends these.
  package mutating func append(_ key: String, elements: (inout JSONParts) throws -> Void) throws {
    begin(key)
    text += "["
    isFirstElement = true
    try elements(&self)
    text += isFirstElement ? "]" : "\n  ]"
    try passOn()
  }

  /// Another element of the array that is being written.
  package mutating func append(element: JSON) throws {
    text += isFirstElement ? "\n    " : ",\n    "
    isFirstElement = false
    element.write(to: &text, indent: 2, level: 2, isASCII: true)
    try passOn()
  }

  /// The object's end, with a line's end.
  package mutating func finish() throws {
    text += isFirstMember ? "}\n" : "\n}\n"
    try passOn(all: true)
  }

  private mutating func begin(_ key: String) {
    text += isFirstMember ? "\n  " : ",\n  "
    isFirstMember = false
    JSON.write(key, to: &text, isASCII: true)
    text += ": "
  }

  private mutating func passOn(all: Bool = false) throws {
    guard all || text.utf8.count >= 1 << 16 else { return }
    try write(text)
    text.removeAll(keepingCapacity: true)
  }
}
