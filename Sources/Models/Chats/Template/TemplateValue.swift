import LoRAFiles

/// A value of the template language, which is one of Python's. Lists and dictionaries never change: transformers' sandbox
/// refuses what would change them. Only namespaces do.
enum TemplateValue {
  /// What there is not; with its name, for messages.
  case undefined(String)
  case none
  case bool(Bool)
  case integer(Int)
  case float(Double)
  case string(String)
  case list(TemplateList)
  case dictionary(TemplateDictionary)
  case namespace(TemplateNamespace)
  case macro(TemplateMacro)
  case loop(TemplateLoopState)
  /// A function that every template has, by name.
  case function(String)
  /// A method that was named and not called: `text.strip`.
  indirect case method(TemplateValue, String)
}

/// A list or a tuple.
struct TemplateList {
  let values: [TemplateValue]
  let isTuple: Bool
  /// How much it holds, with all within it, shared or not: about its bytes.
  let size: Int
  let depth: Int

  init(_ values: [TemplateValue], isTuple: Bool = false) {
    (self.values, self.isTuple) = (values, isTuple)
    (size, depth) = TemplateValue.extent(of: values)
  }
}

/// A dictionary in the order of its keys.
struct TemplateDictionary {
  let members: [(key: TemplateValue, value: TemplateValue)]
  let size: Int
  let depth: Int

  /// Of a key that occurs twice the last value counts.
  init(_ members: [(key: TemplateValue, value: TemplateValue)]) {
    self.members = members
    (size, depth) = TemplateValue.extent(of: members.flatMap { [$0.key, $0.value] })
  }

  subscript(key: TemplateValue) -> TemplateValue? { members.first { $0.key.equals(key) }?.value }

  subscript(name: String) -> TemplateValue? {
    for (key, value) in members { if case .string(let text) = key, text.isExactly(name) { return value } }
    return nil
  }

  /// With members of another, whose values count where a key is in both.
  func merging(_ others: [(key: TemplateValue, value: TemplateValue)]) -> TemplateDictionary {
    var members = members
    for other in others {
      if let place = members.firstIndex(where: { $0.key.equals(other.key) }) {
        members[place].value = other.value
      } else {
        members.append(other)
      }
    }
    return TemplateDictionary(members)
  }
}

/// `namespace(…)`: the one thing that a loop's body can change for those after it.
final class TemplateNamespace {
  var members: [String: TemplateValue]
  init(_ members: [String: TemplateValue]) { self.members = members }
}

/// A macro with the scope that it was defined in.
final class TemplateMacro {
  let definition: TemplateMacroDefinition
  let scope: TemplateScope
  init(_ definition: TemplateMacroDefinition, in scope: TemplateScope) {
    (self.definition, self.scope) = (definition, scope)
  }
}

/// Where a loop stands.
final class TemplateLoopState {
  let values: [TemplateValue]
  let depth: Int
  var index = 0
  /// What `loop.changed` was last given.
  var last: TemplateValue?
  let definition: TemplateLoop
  let scope: TemplateScope

  init(_ values: [TemplateValue], depth: Int, _ definition: TemplateLoop, in scope: TemplateScope) {
    (self.values, self.depth, self.definition, self.scope) = (values, depth, definition, scope)
  }

  subscript(name: String) -> TemplateValue? {
    switch name {
    case "index": .integer(index + 1)
    case "index0": .integer(index)
    case "revindex": .integer(values.count - index)
    case "revindex0": .integer(values.count - index - 1)
    case "first": .bool(index == 0)
    case "last": .bool(index == values.count - 1)
    case "length": .integer(values.count)
    case "depth": .integer(depth)
    case "depth0": .integer(depth - 1)
    case "previtem": index > 0 ? values[index - 1] : .undefined("there is no previous item")
    case "nextitem": index + 1 < values.count ? values[index + 1] : .undefined("there is no next item")
    default: nil
    }
  }
}

/// The names that a part of a template knows: its own, and those of what surrounds it.
final class TemplateScope {
  var values: [String: TemplateValue] = [:]
  let parent: TemplateScope?
  init(in parent: TemplateScope? = nil) { self.parent = parent }

  subscript(name: String) -> TemplateValue? {
    var scope: TemplateScope? = self
    while let here = scope {
      if let value = here.values[name] { return value }
      scope = here.parent
    }
    return nil
  }

  /// Forgets its values and those around it, once nothing runs in them: macros hold the scopes that hold them.
  func letGo() {
    var scope: TemplateScope? = self
    while let here = scope {
      here.values = [:]
      scope = here.parent
    }
  }
}

extension TemplateValue {
  /// A value from a JSON text.
  init(_ json: JSON) {
    switch json {
    case .null: self = .none
    case .bool(let value): self = .bool(value)
    case .integer(let value): self = .integer(value)
    case .number(let value): self = .float(value)
    case .string(let value): self = .string(value)
    case .array(let values): self = .list(TemplateList(values.map { TemplateValue($0) }))
    case .object(let members):
      self = .dictionary(TemplateDictionary(members.map { (.string($0.key), TemplateValue($0.value)) }))
    }
  }

  static func list(_ values: [TemplateValue]) -> TemplateValue { .list(TemplateList(values)) }
  static func tuple(_ values: [TemplateValue]) -> TemplateValue { .list(TemplateList(values, isTuple: true)) }

  static func extent(of values: [TemplateValue]) -> (size: Int, depth: Int) {
    var (size, depth) = (16, 0)
    for value in values {
      switch value {
      case .string(let text): size += 16 + text.utf8.count
      case .list(let list): (size, depth) = (size + list.size, max(depth, list.depth))
      case .dictionary(let dictionary): (size, depth) = (size + dictionary.size, max(depth, dictionary.depth))
      default: size += 16
      }
    }
    return (size, depth + 1)
  }

  /// About how many bytes it holds.
  var size: Int { TemplateValue.extent(of: [self]).size }

  var isTrue: Bool {
    switch self {
    case .undefined, .none: false
    case .bool(let value): value
    case .integer(let value): value != 0
    case .float(let value): value != 0
    case .string(let value): !value.isEmpty
    case .list(let list): !list.values.isEmpty
    case .dictionary(let dictionary): !dictionary.members.isEmpty
    case .loop(let loop): !loop.values.isEmpty
    default: true
    }
  }

  var isUndefined: Bool { if case .undefined = self { true } else { false } }

  /// The number that arithmetic takes it for.
  var number: Double? {
    switch self {
    case .bool(let value): value ? 1 : 0
    case .integer(let value): Double(value)
    case .float(let value): value
    default: nil
    }
  }

  /// The integer that it is to Python.
  var integer: Int? {
    switch self {
    case .bool(let value): value ? 1 : 0
    case .integer(let value): value
    default: nil
    }
  }

  var string: String? { if case .string(let text) = self { text } else { nil } }

  /// Python's `==`.
  func equals(_ other: TemplateValue) -> Bool {
    switch (self, other) {
    case (.undefined, .undefined), (.none, .none): true
    case (.string(let a), .string(let b)): a.isExactly(b)
    case (.list(let a), .list(let b)):
      a.isTuple == b.isTuple && a.values.count == b.values.count && zip(a.values, b.values).allSatisfy { $0.equals($1) }
    case (.dictionary(let a), .dictionary(let b)):
      a.members.count == b.members.count
        && a.members.allSatisfy { member in b[member.key]?.equals(member.value) == true }
    case (.namespace(let a), .namespace(let b)): a === b
    case (.macro(let a), .macro(let b)): a === b
    default:
      if let a = integer, let b = other.integer {
        a == b
      } else if let a = number, let b = other.number {
        a == b
      } else {
        false
      }
    }
  }

  /// Python's `<`; nil where it can't be asked.
  func isLess(than other: TemplateValue) -> Bool? {
    switch (self, other) {
    case (.string(let a), .string(let b)):
      return a.unicodeScalars.lexicographicallyPrecedes(b.unicodeScalars)
    case (.list(let a), .list(let b)) where a.isTuple == b.isTuple:
      for (x, y) in zip(a.values, b.values) where !x.equals(y) { return x.isLess(than: y) }
      return a.values.count < b.values.count
    default:
      if let a = integer, let b = other.integer { return a < b }
      guard let a = number, let b = other.number else { return nil }
      return a < b
    }
  }

  /// What messages call its type.
  var typeName: String {
    switch self {
    case .undefined: "undefined"
    case .none: "None"
    case .bool: "bool"
    case .integer: "int"
    case .float: "float"
    case .string: "str"
    case .list(let list): list.isTuple ? "tuple" : "list"
    case .dictionary: "dict"
    case .namespace: "namespace"
    case .macro: "macro"
    case .loop: "loop"
    case .function, .method: "function"
    }
  }

  /// What a loop goes through; nil where it can't.
  var elements: [TemplateValue]? {
    switch self {
    case .list(let list): list.values
    case .dictionary(let dictionary): dictionary.members.map(\.key)
    case .string(let text): text.unicodeScalars.map { .string(String($0)) }
    case .undefined: []
    default: nil
    }
  }
}
