// What templates ask: `value is name(…)`.

extension TemplateInterpreter {
  mutating func test(
    _ name: String, _ value: TemplateValue, _ given: TemplateValues, _ line: Int
  ) throws -> Bool {
    func other() throws -> TemplateValue {
      guard let other = given.positional.first ?? given.named.first?.value else {
        throw error("the test '\(name)' without a value", expected: "one to compare with", line)
      }
      return other
    }
    func integer(_ value: TemplateValue) throws -> Int {
      guard let number = value.integer else {
        throw error("the test '\(name)' of \(value.typeName)", expected: "an integer", line)
      }
      return number
    }
    func compare(_ a: TemplateValue, _ b: TemplateValue) throws -> Bool {
      guard let isLess = a.isLess(than: b) else {
        throw error(
          "the test '\(name)' can't compare \(value.typeName) with \(try other().typeName)",
          expected: "values of one kind", line)
      }
      return isLess
    }
    switch name {
    case "defined": return !value.isUndefined
    case "undefined": return value.isUndefined
    case "none": if case .none = value { return true } else { return false }
    case "true": if case .bool(true) = value { return true } else { return false }
    case "false": if case .bool(false) = value { return true } else { return false }
    case "boolean": if case .bool = value { return true } else { return false }
    case "string": return value.string != nil
    case "number": return value.number != nil
    case "integer": if case .integer = value { return true } else { return false }
    case "float": if case .float = value { return true } else { return false }
    case "mapping": if case .dictionary = value { return true } else { return false }
    case "iterable": return value.elements != nil
    case "sequence":
      switch value {
      case .loop, .namespace: return false
      default: return value.elements != nil
      }
    case "callable":
      switch value {
      case .function, .macro, .method, .loop: return true
      default: return false
      }
    case "eq", "equalto", "==": return value.equals(try other())
    case "ne", "!=": return !value.equals(try other())
    case "lt", "lessthan", "<": return try compare(value, try other())
    case "gt", "greaterthan", ">": return try compare(try other(), value)
    case "le", "<=": return try value.equals(try other()) || compare(value, try other())
    case "ge", ">=": return try value.equals(try other()) || compare(try other(), value)
    case "in": return try contains(try other(), value, line)
    case "sameas":
      switch (value, try other()) {
      case (.bool(let a), .bool(let b)): return a == b
      case (.bool, .integer), (.integer, .bool), (.integer, .float), (.float, .integer): return false
      case (_, let other): return value.equals(other)
      }
    case "odd": return try integer(value) % 2 != 0
    case "even": return try integer(value) % 2 == 0
    case "divisibleby":
      let divisor = try integer(try other())
      guard divisor != 0 else { throw error("a division by zero", expected: "another divisor", line) }
      return try divisor == -1 || integer(value) % divisor == 0
    case "lower", "upper":
      let cased = value.text.unicodeScalars.filter(\.properties.isCased)
      return !cased.isEmpty
        && cased.allSatisfy { name == "upper" ? $0.properties.isUppercase : $0.properties.isLowercase }
    case "escaped": return false
    case "filter": return TemplateInterpreter.filters.contains(value.text)
    case "test": return TemplateInterpreter.tests.contains(value.text)
    default:
      throw error("the test '\(name)' is not supported", expected: "one of Jinja's that chat templates use", line)
    }
  }

  static let tests: Set<String> = [
    "defined", "undefined", "none", "true", "false", "boolean", "string", "number", "integer", "float", "mapping",
    "iterable", "sequence", "callable", "eq", "equalto", "==", "ne", "!=", "lt", "lessthan", "<", "gt", "greaterthan",
    ">", "le", "<=", "ge", ">=", "in", "sameas", "odd", "even", "divisibleby", "lower", "upper", "escaped", "filter",
    "test",
  ]
}
