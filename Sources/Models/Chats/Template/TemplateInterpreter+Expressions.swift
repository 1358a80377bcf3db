// What expressions are worth.

import Foundation

/// Arguments that have been worked out.
struct TemplateValues {
  var positional: [TemplateValue] = []
  var named: [(name: String, value: TemplateValue)] = []

  /// The argument at a place or under a name.
  subscript(place: Int, name: String) -> TemplateValue? {
    place < positional.count ? positional[place] : named.first { $0.name == name }?.value
  }
}

extension TemplateInterpreter {
  mutating func value(of expression: TemplateExpression, in scope: TemplateScope) throws -> TemplateValue {
    try spend(expression.line)
    return try nested(expression.line) { try $0.evaluate(expression, in: scope) }
  }

  private mutating func values(of expressions: [TemplateExpression], in scope: TemplateScope) throws -> [TemplateValue]
  {
    var values: [TemplateValue] = []
    for expression in expressions { values.append(try value(of: expression, in: scope)) }
    return values
  }

  private mutating func evaluate(_ expression: TemplateExpression, in scope: TemplateScope) throws -> TemplateValue {
    let line = expression.line
    switch expression.kind {
    case .none: return .none
    case .bool(let value): return .bool(value)
    case .integer(let value): return .integer(value)
    case .float(let value): return .float(value)
    case .string(let value): return .string(value)
    case .list(let expressions): return try bounded(.list(try values(of: expressions, in: scope)), line)
    case .tuple(let expressions): return try bounded(.tuple(try values(of: expressions, in: scope)), line)
    case .dictionary(let members):
      var dictionary = TemplateDictionary([])
      for member in members {
        let key = try value(of: member.key, in: scope)
        dictionary = dictionary.merging([(key, try value(of: member.value, in: scope))])
        try spend(line, bytes: 16 * dictionary.members.count)
      }
      return try bounded(.dictionary(dictionary), line)
    case .name(let name):
      if let value = scope[name] { return value }
      return TemplateInterpreter.functions.contains(name) ? .function(name) : .undefined("'\(name)'")
    case .attribute(let base, let name): return try attribute(name, of: try value(of: base, in: scope), line)
    case .item(let base, let index):
      return try item(try value(of: index, in: scope), of: try value(of: base, in: scope), line)
    case .slice(let base, let start, let stop, let step):
      let base = try value(of: base, in: scope)
      var bounds: [Int?] = []
      for bound in [start, stop, step] {
        guard let bound else {
          bounds.append(nil)
          continue
        }
        let number = try value(of: bound, in: scope)
        if case .none = number {
          bounds.append(nil)
        } else if let number = number.integer {
          bounds.append(number)
        } else {
          throw error("\(number.typeName) as a bound of a slice", expected: "an integer", line)
        }
      }
      return try slice(of: base, bounds[0], bounds[1], bounds[2] ?? 1, line)
    case .call(let function, let arguments): return try call(function, arguments, in: scope, line)
    case .filter(let base, let name, let arguments):
      guard let base else {
        throw error("the filter '\(name)' has nothing to filter", expected: "a value before it", line)
      }
      return try filter(
        name, try value(of: base, in: scope), try self.arguments(arguments, in: scope), line)
    case .test(let base, let name, let arguments):
      return .bool(
        try test(name, try value(of: base, in: scope), try self.arguments(arguments, in: scope), line))
    case .not(let operand): return .bool(!(try value(of: operand, in: scope).isTrue))
    case .and(let left, let right):
      let first = try value(of: left, in: scope)
      return first.isTrue ? try value(of: right, in: scope) : first
    case .or(let left, let right):
      let first = try value(of: left, in: scope)
      return first.isTrue ? first : try value(of: right, in: scope)
    case .negative(let operand):
      let number = try value(of: operand, in: scope)
      if case .float(let value) = number { return .float(-value) }
      return try arithmetic("-", .integer(0), number, line)
    case .positive(let operand): return try arithmetic("+", .integer(0), try value(of: operand, in: scope), line)
    case .arithmetic(let operation, let left, let right):
      let first = try value(of: left, in: scope)
      return try arithmetic(operation, first, try value(of: right, in: scope), line)
    case .concatenation(let expressions):
      let text = try values(of: expressions, in: scope).map(\.text).joined()
      try spend(line, bytes: text.utf8.count)
      return .string(text)
    case .comparison(let first, let others):
      var left = try value(of: first, in: scope)
      for other in others {
        let right = try value(of: other.value, in: scope)
        guard try compare(left, other.operation, right, line) else { return .bool(false) }
        left = right
      }
      return .bool(true)
    case .conditional(let then, let condition, let otherwise):
      if try value(of: condition, in: scope).isTrue { return try value(of: then, in: scope) }
      return try otherwise.map { try value(of: $0, in: scope) } ?? .undefined("an 'if' without 'else'")
    }
  }

  /// Filters around the text of a block.
  mutating func filtered(
    _ text: TemplateValue, by filter: TemplateExpression, in scope: TemplateScope
  ) throws -> TemplateValue {
    guard case .filter(let base, let name, let arguments) = filter.kind else {
      throw error("a block with more than filters", expected: "filters only", filter.line)
    }
    let inner = try base.map { try filtered(text, by: $0, in: scope) } ?? text
    return try self.filter(name, inner, try self.arguments(arguments, in: scope), filter.line)
  }

  mutating func arguments(_ arguments: TemplateArguments, in scope: TemplateScope) throws -> TemplateValues {
    var result = TemplateValues(positional: try values(of: arguments.positional, in: scope))
    for argument in arguments.named { result.named.append((argument.name, try value(of: argument.value, in: scope))) }
    if let list = arguments.list { result.positional += try elements(of: try value(of: list, in: scope), list.line) }
    if let dictionary = arguments.dictionary {
      guard case .dictionary(let members) = try value(of: dictionary, in: scope) else {
        throw error("'**' of what is no dictionary", expected: "a dictionary", dictionary.line)
      }
      for member in members.members {
        if case .string(let name) = member.key { result.named.append((name, member.value)) }
      }
    }
    return result
  }

  // MARK: Parts of values

  private func require(_ value: TemplateValue, _ line: Int) throws {
    if case .undefined(let name) = value {
      throw error("\(name) is not defined", expected: "a variable that the conversation or the template gives", line)
    }
  }

  func attribute(_ name: String, of value: TemplateValue, _ line: Int) throws -> TemplateValue {
    try require(value, line)
    if TemplateInterpreter.methods(of: value).contains(name) { return .method(value, name) }
    switch value {
    case .dictionary(let dictionary): return dictionary[name] ?? .undefined("'\(name)' of a dictionary")
    case .namespace(let namespace): return namespace.members[name] ?? .undefined("'\(name)' of a namespace")
    case .loop(let loop):
      return loop[name] ?? (["cycle", "changed"].contains(name) ? .method(value, name) : .undefined("'loop.\(name)'"))
    case .macro(let macro) where name == "name": return .string(macro.definition.name)
    case .list where TemplateInterpreter.changes.contains(name),
      .dictionary where TemplateInterpreter.changes.contains(name):
      throw error(
        "'\(name)' changes a \(value.typeName), which a template may not", expected: "a new value in its place", line)
    default: return .undefined("'\(name)' of \(value.typeName)")
    }
  }

  private func item(_ index: TemplateValue, of value: TemplateValue, _ line: Int) throws -> TemplateValue {
    try require(value, line)
    switch (value, index) {
    case (.dictionary(let dictionary), _):
      if let found = dictionary[index] { return found }
    case (.list(let list), _):
      if let place = index.integer {
        let place = place < 0 ? place + list.values.count : place
        return list.values.indices.contains(place) ? list.values[place] : .undefined("the item \(index.text) of a list")
      }
    case (.string(let text), _):
      if let place = index.integer {
        let scalars = text.unicodeScalars
        let offset = place < 0 ? place + scalars.count : place
        guard offset >= 0, offset < scalars.count else { return .undefined("the character \(index.text) of a text") }
        return .string(String(scalars[scalars.index(scalars.startIndex, offsetBy: offset)]))
      }
    default: break
    }
    guard case .string(let name) = index else {
      return .undefined("the item \(index.representation) of \(value.typeName)")
    }
    return try attribute(name, of: value, line)
  }

  private mutating func slice(
    of value: TemplateValue, _ start: Int?, _ stop: Int?, _ step: Int, _ line: Int
  ) throws -> TemplateValue {
    try require(value, line)
    guard step != 0 else { throw error("a slice in steps of 0", expected: "another step", line) }
    func places(_ count: Int) -> [Int] {
      func bound(_ given: Int?, _ standard: Int) -> Int {
        guard let given else { return standard }
        let place = given < 0 ? max(given, -count - 1) + count : given
        return step > 0 ? min(max(place, 0), count) : min(max(place, -1), count - 1)
      }
      let first = bound(start, step > 0 ? 0 : count - 1)
      let last = bound(stop, step > 0 ? count : -1)
      // A step beyond the ends takes one item.
      let stride = max(-count - 1, min(count + 1, step))
      return Array(Swift.stride(from: first, to: last, by: stride))
    }
    switch value {
    case .list(let list):
      return try bounded(
        .list(TemplateList(places(list.values.count).map { list.values[$0] }, isTuple: list.isTuple)), line)
    case .string(let text):
      let scalars = Array(text.unicodeScalars)
      try spend(line, bytes: text.utf8.count)
      return .string(String(places(scalars.count).map { scalars[$0] }))
    default: throw error("\(value.typeName) can't be sliced", expected: "a text or a list", line)
    }
  }

  // MARK: Operators

  private func compare(_ a: TemplateValue, _ operation: String, _ b: TemplateValue, _ line: Int) throws -> Bool {
    switch operation {
    case "==": return a.equals(b)
    case "!=": return !a.equals(b)
    case "in": return try contains(b, a, line)
    case "not in": return !(try contains(b, a, line))
    default:
      let (left, right) = operation.hasPrefix("<") ? (a, b) : (b, a)
      guard let isLess = left.isLess(than: right) else {
        try require(a, line)
        try require(b, line)
        throw error(
          "'\(operation)' can't compare \(a.typeName) with \(b.typeName)", expected: "values of one kind", line)
      }
      // NaN is not less, nor equal.
      return isLess || operation.hasSuffix("=") && left.equals(right)
    }
  }

  func contains(_ container: TemplateValue, _ value: TemplateValue, _ line: Int) throws -> Bool {
    switch container {
    case .string(let text):
      guard case .string(let part) = value else {
        try require(value, line)
        throw error("'in' looks for \(value.typeName) in a text", expected: "a text", line)
      }
      return text.containsExactly(part)
    case .list(let list): return list.values.contains { $0.equals(value) }
    case .dictionary(let dictionary): return dictionary[value] != nil
    case .namespace, .none, .bool, .integer, .float, .macro, .function, .method, .loop:
      throw error("'in' looks into \(container.typeName)", expected: "a text, a list or a dictionary", line)
    case .undefined: return false
    }
  }

  mutating func arithmetic(
    _ operation: String, _ a: TemplateValue, _ b: TemplateValue, _ line: Int
  ) throws -> TemplateValue {
    try require(a, line)
    try require(b, line)
    switch (operation, a, b) {
    case ("+", .string(let x), .string(let y)):
      try spend(line, bytes: x.utf8.count + y.utf8.count)
      return .string(x + y)
    case ("+", .list(let x), .list(let y)) where x.isTuple == y.isTuple:
      return try bounded(.list(TemplateList(x.values + y.values, isTuple: x.isTuple)), line)
    case ("%", .string(let format), _): return .string(try formatted(format, b, line))
    case ("*", .string(let text), _), ("*", _, .string(let text)):
      guard let count = a.integer ?? b.integer else { break }
      let (bytes, overflow) = text.utf8.count.multipliedReportingOverflow(by: max(0, count))
      try spend(line, bytes: overflow ? .max : bytes)
      return .string(String(repeating: text, count: max(0, count)))
    case ("*", .list(let list), _), ("*", _, .list(let list)):
      guard let count = a.integer ?? b.integer else { break }
      let (bytes, overflow) = list.size.multipliedReportingOverflow(by: max(0, count))
      try spend(line, bytes: overflow ? .max : bytes)
      return .list(
        TemplateList(Array(repeatElement(list.values, count: max(0, count)).joined()), isTuple: list.isTuple))
    default: break
    }
    guard let x = a.number, let y = b.number else {
      throw error("'\(operation)' between \(a.typeName) and \(b.typeName)", expected: "numbers, or what it joins", line)
    }
    if let i = a.integer, let j = b.integer, operation != "/" { return try integers(operation, i, j, line) }
    if y == 0, ["/", "//", "%"].contains(operation) {
      throw error("a division by zero", expected: "another divisor", line)
    }
    switch operation {
    case "+": return .float(x + y)
    case "-": return .float(x - y)
    case "*": return .float(x * y)
    case "/": return .float(x / y)
    case "//": return .float((x / y).rounded(.down))
    case "%": return .float(x - y * (x / y).rounded(.down))
    default: return .float(pow(x, y))
    }
  }

  private func integers(_ operation: String, _ i: Int, _ j: Int, _ line: Int) throws -> TemplateValue {
    var result: (partialValue: Int, overflow: Bool)
    switch operation {
    case "+": result = i.addingReportingOverflow(j)
    case "-": result = i.subtractingReportingOverflow(j)
    case "*": result = i.multipliedReportingOverflow(by: j)
    case "//", "%":
      guard j != 0 else { throw error("a division by zero", expected: "another divisor", line) }
      guard j != -1 else { return operation == "%" ? .integer(0) : try integers("-", 0, i, line) }
      // Towards minus infinity, as Python divides.
      let (quotient, remainder) = i.quotientAndRemainder(dividingBy: j)
      let isBetween = remainder != 0 && (remainder < 0) != (j < 0)
      return .integer(
        operation == "%" ? (isBetween ? remainder + j : remainder) : (isBetween ? quotient - 1 : quotient))
    default:
      guard j >= 0 else { return .float(pow(Double(i), Double(j))) }
      guard abs(Double(i)) > 1 else { return .integer(j == 0 ? 1 : i == -1 && j % 2 == 0 ? 1 : i) }
      result = (1, j > 64)
      for _ in 0..<min(j, 64) where !result.overflow { result = result.partialValue.multipliedReportingOverflow(by: i) }
    }
    guard !result.overflow else { throw error("an integer of more than 64 bits", expected: "a smaller one", line) }
    return .integer(result.partialValue)
  }
}
