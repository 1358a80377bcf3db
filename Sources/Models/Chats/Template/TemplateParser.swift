/// Reads a template's statements. What Jinja has and chat templates do not use (inheritance, inclusion) is an error that
/// names it.
struct TemplateParser {
  private let tokens: [TemplateToken]
  private var position = 0
  private var depth = 0
  /// How many loops the statement that is read lies in: `break` and `continue` need one.
  private var loops = 0

  static func parse(_ template: String) throws -> [TemplateStatement] {
    var parser = TemplateParser(tokens: try TemplateLexer.tokens(of: template))
    let (statements, end) = try parser.statements(until: [])
    precondition(end == nil)
    return statements
  }

  private init(tokens: [TemplateToken]) { self.tokens = tokens }

  // MARK: Tokens

  var current: TemplateToken { tokens[position] }
  var following: TemplateToken { tokens[min(position + 1, tokens.count - 1)] }

  mutating func advance() { if position < tokens.count - 1 { position += 1 } }

  func error(_ found: String, expected: String, line: Int? = nil) -> ChatTemplateError {
    ChatTemplateError(line: line ?? current.line, found, expected: expected)
  }

  func isMark(_ mark: String) -> Bool { current.kind == .mark(mark) }
  func isName(_ name: String) -> Bool { current.kind == .name(name) }

  mutating func take(mark: String) -> Bool {
    guard isMark(mark) else { return false }
    advance()
    return true
  }

  mutating func take(name: String) -> Bool {
    guard isName(name) else { return false }
    advance()
    return true
  }

  mutating func expect(mark: String) throws {
    guard take(mark: mark) else { throw error("\(current.description)", expected: "'\(mark)'") }
  }

  mutating func expectName() throws -> String {
    guard case .name(let name) = current.kind else { throw error("\(current.description)", expected: "a name") }
    advance()
    return name
  }

  private mutating func expectBlockEnd() throws {
    guard current.kind == .blockEnd else { throw error("\(current.description)", expected: "'%}'") }
    advance()
  }

  /// Nesting costs stack.
  mutating func nested<Result>(_ body: (inout TemplateParser) throws -> Result) throws -> Result {
    depth += 1
    defer { depth -= 1 }
    guard depth < TemplateLimits().depth else {
      throw error("it is nested deeper than \(TemplateLimits().depth)", expected: "fewer levels")
    }
    return try body(&self)
  }

  // MARK: Statements

  /// Statements up to a block with one of the names, which is stepped over but for what follows its name.
  private mutating func statements(until ends: Set<String>) throws -> ([TemplateStatement], end: String?) {
    var statements: [TemplateStatement] = []
    let line = current.line
    while true {
      switch current.kind {
      case .text(let text):
        statements.append(.text(text))
        advance()
      case .printBegin:
        advance()
        statements.append(.output(try tuple()))
        guard current.kind == .printEnd else { throw error("\(current.description)", expected: "'}}'") }
        advance()
      case .blockBegin:
        advance()
        guard case .name(let name) = current.kind else {
          throw error("\(current.description)", expected: "the name of a statement")
        }
        if ends.contains(name) {
          advance()
          return (statements, name)
        }
        statements.append(try nested { try $0.statement(name) })
        try expectBlockEnd()
      case .end:
        guard ends.isEmpty else {
          throw error(
            "the template ends before '\(ends.sorted().joined(separator: "' or '"))'", expected: "that in the end",
            line: line)
        }
        return (statements, nil)
      default: throw error("\(current.description)", expected: "a text or a tag")
      }
    }
  }

  /// The body of a block that began: from its '%}' up to the name of its end.
  private mutating func body(until end: String) throws -> [TemplateStatement] {
    try expectBlockEnd()
    return try statements(until: [end]).0
  }

  private mutating func statement(_ name: String) throws -> TemplateStatement {
    let line = current.line
    advance()
    switch name {
    case "if": return try conditional()
    case "for": return try loop(line)
    case "set": return try assignment(line)
    case "macro":
      let name = try expectName()
      let parameters = try parameters()
      return .macro(
        TemplateMacroDefinition(
          name: name, parameters: parameters, body: try outsideLoops { try $0.body(until: "endmacro") }, line: line))
    case "call":
      let parameters = isMark("(") ? try parameters() : []
      let expression = try expression()
      guard case .call = expression.kind else {
        throw error("a call block of what is no call", expected: "a call of a macro", line: line)
      }
      return .call(
        TemplateMacroDefinition(
          name: "caller", parameters: parameters, body: try outsideLoops { try $0.body(until: "endcall") }, line: line),
        expression)
    case "filter":
      guard let filter = try filters(of: nil, isFirst: true) else {
        throw error("a filter block without a filter", expected: "one")
      }
      return .filterBlock(filter, try body(until: "endfilter"))
    case "with":
      var values: [(TemplateTarget, TemplateExpression)] = []
      while current.kind != .blockEnd {
        if !values.isEmpty { try expect(mark: ",") }
        let target = try target()
        try expect(mark: "=")
        values.append((target, try expression()))
      }
      return .with(values, try body(until: "endwith"), line: line)
    case "generation": return .generation(try outsideLoops { try $0.body(until: "endgeneration") })
    case "break", "continue":
      guard loops > 0 else { throw error("'\(name)' outside of a loop", expected: "it within one", line: line) }
      return name == "break" ? .breakLoop : .continueLoop
    case "endif", "else", "elif", "endfor", "endset", "endmacro", "endcall", "endfilter", "endwith", "endgeneration":
      throw error("'\(name)' ends nothing", expected: "what it ends before it", line: line)
    default:
      throw error(
        "the statement '\(name)' is not supported", expected: "one of Jinja's that chat templates use", line: line)
    }
  }

  private mutating func outsideLoops<Result>(_ body: (inout TemplateParser) throws -> Result) rethrows -> Result {
    let outer = loops
    loops = 0
    defer { loops = outer }
    return try body(&self)
  }

  private mutating func conditional() throws -> TemplateStatement {
    var branches: [(condition: TemplateExpression, body: [TemplateStatement])] = []
    while true {
      let condition = try tuple(withConditional: false)
      try expectBlockEnd()
      let (body, end) = try statements(until: ["elif", "else", "endif"])
      branches.append((condition, body))
      if end == "elif" { continue }
      guard end == "else" else { return .conditional(branches, otherwise: []) }
      return .conditional(branches, otherwise: try self.body(until: "endif"))
    }
  }

  private mutating func loop(_ line: Int) throws -> TemplateStatement {
    let target = try target(endsAt: "in")
    guard take(name: "in") else { throw error("\(current.description)", expected: "'in'") }
    let values = try tuple(withConditional: false, endsAt: "recursive")
    let condition = take(name: "if") ? try expression() : nil
    let isRecursive = take(name: "recursive")
    try expectBlockEnd()
    loops += 1
    let (body, end) = try statements(until: ["else", "endfor"])
    loops -= 1
    return .loop(
      TemplateLoop(
        target: target, values: values, condition: condition, isRecursive: isRecursive, body: body,
        otherwise: end == "else" ? try self.body(until: "endfor") : [], line: line))
  }

  private mutating func assignment(_ line: Int) throws -> TemplateStatement {
    let target = try target()
    if take(mark: "=") { return .set(target, try tuple()) }
    let filter = try filters(of: nil, isFirst: false)
    return .setBlock(target, filter: filter, try body(until: "endset"), line: line)
  }

  private mutating func parameters() throws -> [(name: String, standard: TemplateExpression?)] {
    try expect(mark: "(")
    var parameters: [(name: String, standard: TemplateExpression?)] = []
    while !isMark(")") {
      if !parameters.isEmpty { try expect(mark: ",") }
      if isMark(")") { break }
      let name = try expectName()
      parameters.append((name, take(mark: "=") ? try expression() : nil))
    }
    try expect(mark: ")")
    return parameters
  }

  /// One target, or several with commas.
  private mutating func target(endsAt end: String? = nil) throws -> TemplateTarget {
    var targets: [TemplateTarget] = []
    var isTuple = false
    repeat {
      if let end, isName(end) { break }
      if isMark("=") { break }
      targets.append(try nested { try $0.singleTarget() })
      guard isMark(",") else { break }
      isTuple = true
    } while take(mark: ",")
    guard let first = targets.first else { throw error("\(current.description)", expected: "a name to assign to") }
    return isTuple ? .tuple(targets) : first
  }

  private mutating func singleTarget() throws -> TemplateTarget {
    if take(mark: "(") {
      let inner = try target()
      try expect(mark: ")")
      return inner
    }
    let name = try expectName()
    guard take(mark: ".") else { return .name(name) }
    return .member(name, try expectName())
  }
}
