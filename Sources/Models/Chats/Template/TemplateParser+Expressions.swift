// Expressions, from the weakest operator to the strongest.

extension TemplateParser {
  /// One expression, or a tuple of several with commas.
  mutating func tuple(
    withConditional: Bool = true, endsAt end: String? = nil, inParentheses: Bool = false
  ) throws -> TemplateExpression {
    let line = current.line
    var values: [TemplateExpression] = []
    var isTuple = false
    while true {
      if !values.isEmpty { try expect(mark: ",") }
      if isEndOfTuple(end) { break }
      values.append(try expression(withConditional: withConditional))
      guard isMark(",") else { break }
      isTuple = true
    }
    if !isTuple, let only = values.first { return only }
    guard isTuple || inParentheses else { throw error("\(current.description)", expected: "an expression") }
    return TemplateExpression(kind: .tuple(values), line: line)
  }

  private func isEndOfTuple(_ end: String?) -> Bool {
    switch current.kind {
    case .printEnd, .blockEnd, .mark(")"): true
    case .name(let name): name == end
    default: false
    }
  }

  mutating func expression(withConditional: Bool = true) throws -> TemplateExpression {
    try nested { parser in
      var value = try parser.disjunction()
      while withConditional, parser.isName("if") {
        let line = parser.current.line
        parser.advance()
        let condition = try parser.disjunction()
        let otherwise = parser.take(name: "else") ? try parser.expression() : nil
        value = TemplateExpression(
          kind: .conditional(value, condition: condition, otherwise: otherwise), line: line)
      }
      return value
    }
  }

  private mutating func disjunction() throws -> TemplateExpression {
    var value = try conjunction()
    while isName("or") {
      let line = current.line
      advance()
      value = TemplateExpression(kind: .or(value, try conjunction()), line: line)
    }
    return value
  }

  private mutating func conjunction() throws -> TemplateExpression {
    var value = try negation()
    while isName("and") {
      let line = current.line
      advance()
      value = TemplateExpression(kind: .and(value, try negation()), line: line)
    }
    return value
  }

  private mutating func negation() throws -> TemplateExpression {
    guard isName("not") else { return try comparison() }
    let line = current.line
    advance()
    return TemplateExpression(kind: .not(try nested { try $0.negation() }), line: line)
  }

  private mutating func comparison() throws -> TemplateExpression {
    let line = current.line
    let value = try sum()
    var others: [(operation: String, value: TemplateExpression)] = []
    while true {
      if case .mark(let mark) = current.kind, ["==", "!=", "<", "<=", ">", ">="].contains(mark) {
        advance()
        others.append((mark, try sum()))
      } else if take(name: "in") {
        others.append(("in", try sum()))
      } else if isName("not"), following.kind == .name("in") {
        advance()
        advance()
        others.append(("not in", try sum()))
      } else {
        return others.isEmpty ? value : TemplateExpression(kind: .comparison(value, others), line: line)
      }
    }
  }

  /// Left-associative operators between operands of one kind.
  private mutating func arithmetic(
    _ marks: Set<String>, _ operand: (inout TemplateParser) throws -> TemplateExpression
  ) throws -> TemplateExpression {
    var value = try operand(&self)
    while case .mark(let mark) = current.kind, marks.contains(mark) {
      let line = current.line
      advance()
      value = TemplateExpression(kind: .arithmetic(mark, value, try operand(&self)), line: line)
    }
    return value
  }

  private mutating func sum() throws -> TemplateExpression {
    try arithmetic(["+", "-"]) { try $0.concatenation() }
  }

  private mutating func concatenation() throws -> TemplateExpression {
    let line = current.line
    var values = [try product()]
    while take(mark: "~") { values.append(try product()) }
    return values.count == 1 ? values[0] : TemplateExpression(kind: .concatenation(values), line: line)
  }

  private mutating func product() throws -> TemplateExpression {
    try arithmetic(["*", "/", "//", "%"]) { try $0.arithmetic(["**"]) { try $0.unary() } }
  }

  private mutating func unary(withFilters: Bool = true) throws -> TemplateExpression {
    let line = current.line
    var value: TemplateExpression
    if take(mark: "-") {
      value = TemplateExpression(kind: .negative(try nested { try $0.unary(withFilters: false) }), line: line)
    } else if take(mark: "+") {
      value = TemplateExpression(kind: .positive(try nested { try $0.unary(withFilters: false) }), line: line)
    } else {
      value = try primary()
    }
    value = try postfix(value)
    return withFilters ? try filters(of: value, isFirst: false)! : value
  }

  private mutating func primary() throws -> TemplateExpression {
    let line = current.line
    func make(_ kind: TemplateExpression.Kind) -> TemplateExpression { TemplateExpression(kind: kind, line: line) }
    switch current.kind {
    case .name(let name):
      advance()
      switch name {
      case "true", "True": return make(.bool(true))
      case "false", "False": return make(.bool(false))
      case "none", "None": return make(.none)
      default: return make(.name(name))
      }
    case .string(var text):
      advance()
      while case .string(let more) = current.kind {
        text += more
        advance()
      }
      return make(.string(text))
    case .integer(let value):
      advance()
      return make(.integer(value))
    case .float(let value):
      advance()
      return make(.float(value))
    case .mark("("):
      advance()
      let value = try tuple(inParentheses: true)
      try expect(mark: ")")
      return value
    case .mark("["):
      advance()
      var values: [TemplateExpression] = []
      while !isMark("]") {
        if !values.isEmpty { try expect(mark: ",") }
        if isMark("]") { break }
        values.append(try expression())
      }
      try expect(mark: "]")
      return make(.list(values))
    case .mark("{"):
      advance()
      var members: [(key: TemplateExpression, value: TemplateExpression)] = []
      while !isMark("}") {
        if !members.isEmpty { try expect(mark: ",") }
        if isMark("}") { break }
        let key = try expression()
        try expect(mark: ":")
        members.append((key, try expression()))
      }
      try expect(mark: "}")
      return make(.dictionary(members))
    default: throw error("\(current.description)", expected: "an expression")
    }
  }

  private mutating func postfix(_ start: TemplateExpression) throws -> TemplateExpression {
    var value = start
    while true {
      let line = current.line
      if take(mark: ".") {
        if case .integer(let index) = current.kind {
          advance()
          value = TemplateExpression(
            kind: .item(value, TemplateExpression(kind: .integer(index), line: line)), line: line)
        } else {
          value = TemplateExpression(kind: .attribute(value, try expectName()), line: line)
        }
      } else if take(mark: "[") {
        value = try subscripted(value, line)
        try expect(mark: "]")
      } else if isMark("(") {
        value = TemplateExpression(kind: .call(value, try arguments()), line: line)
      } else {
        return value
      }
    }
  }

  /// What stands in brackets: an index or a slice.
  private mutating func subscripted(_ value: TemplateExpression, _ line: Int) throws -> TemplateExpression {
    let start = isMark(":") ? nil : try expression()
    guard take(mark: ":") else {
      guard let start, !isMark(",") else {
        throw error("an index of several values is not supported", expected: "one value, or a slice")
      }
      return TemplateExpression(kind: .item(value, start), line: line)
    }
    let stop = isMark(":") || isMark("]") ? nil : try expression()
    let step = take(mark: ":") && !isMark("]") ? try expression() : nil
    return TemplateExpression(kind: .slice(value, start: start, stop: stop, step: step), line: line)
  }

  /// Filters, tests and calls behind a value. The first of a filter block has no mark before it.
  mutating func filters(of start: TemplateExpression?, isFirst: Bool) throws -> TemplateExpression? {
    var value = start
    var needsMark = !isFirst
    while true {
      let line = current.line
      if !needsMark || take(mark: "|") {
        needsMark = true
        var name = try expectName()
        while take(mark: ".") { name += "." + (try expectName()) }
        value = TemplateExpression(
          kind: .filter(value, name, isMark("(") ? try arguments() : TemplateArguments()), line: line)
      } else if let tested = value, isName("is") {
        advance()
        value = try test(of: tested, line)
      } else if let called = value, isMark("(") {
        value = TemplateExpression(kind: .call(called, try arguments()), line: line)
      } else {
        return value
      }
    }
  }

  private mutating func test(of value: TemplateExpression, _ line: Int) throws -> TemplateExpression {
    let isNegated = take(name: "not")
    let name = try expectName()
    var arguments = TemplateArguments()
    if isMark("(") {
      arguments = try self.arguments()
    } else if isOperand {
      guard !isName("is") else { throw error("two tests in a row", expected: "parentheses around the first") }
      arguments.positional = [try postfix(try primary())]
    }
    let test = TemplateExpression(kind: .test(value, name, arguments), line: line)
    return isNegated ? TemplateExpression(kind: .not(test), line: line) : test
  }

  /// Whether an operand of a test without parentheses comes next.
  private var isOperand: Bool {
    switch current.kind {
    case .name(let name): !["else", "or", "and"].contains(name)
    case .string, .integer, .float, .mark("["), .mark("{"): true
    default: false
    }
  }

  mutating func arguments() throws -> TemplateArguments {
    try expect(mark: "(")
    var arguments = TemplateArguments()
    var isFirst = true
    while !isMark(")") {
      if !isFirst { try expect(mark: ",") }
      isFirst = false
      if isMark(")") { break }
      if take(mark: "*") {
        arguments.list = try expression()
      } else if take(mark: "**") {
        arguments.dictionary = try expression()
      } else if case .name(let name) = current.kind, following.kind == .mark("=") {
        advance()
        advance()
        arguments.named.append((name, try expression()))
      } else {
        guard arguments.named.isEmpty, arguments.list == nil, arguments.dictionary == nil else {
          throw error("a positional argument behind a named one", expected: "it before")
        }
        arguments.positional.append(try expression())
      }
    }
    try expect(mark: ")")
    return arguments
  }
}
