/// Runs a template's statements: what they give out, and where an assistant's turns lie in it.
struct TemplateInterpreter {
  /// What was given out so far.
  private(set) var output = ""
  /// Where `{% generation %}` blocks lie in it, in bytes of UTF-8.
  private(set) var generations: [Range<Int>] = []
  let clock: TemplateClock
  private let limits = TemplateLimits()
  private var steps = 0
  private var depth = 0
  /// How many outputs are set aside while a macro's or a block's is made.
  private var capturing = 0
  private var bytesBefore = 0
  /// Scopes that hold a macro, which holds them.
  private var enclosing: [TemplateScope] = []

  /// How a body ended.
  private enum Ending { case end, breakLoop, continueLoop }

  init(clock: TemplateClock) { self.clock = clock }

  mutating func run(_ statements: [TemplateStatement], with variables: [String: TemplateValue]) throws {
    let scope = TemplateScope()
    scope.values = variables
    enclosing = [scope]
    defer {
      for scope in enclosing { scope.letGo() }
      enclosing = []
    }
    _ = try run(statements, in: scope)
  }

  // MARK: Bounds

  func error(_ found: String, expected: String, _ line: Int) -> ChatTemplateError {
    ChatTemplateError(line: line, found, expected: expected)
  }

  /// Counts work, and text that was made.
  mutating func spend(_ line: Int, bytes: Int = 0) throws {
    steps += 1 + bytes / 16
    guard steps <= limits.steps else { throw error("takes more than \(limits.steps) steps", expected: "fewer", line) }
    guard bytes <= limits.bytes else {
      throw error("makes a text of more than \(limits.bytes) bytes", expected: "a shorter one", line)
    }
  }

  mutating func nested<Result>(_ line: Int, _ body: (inout TemplateInterpreter) throws -> Result) throws -> Result {
    depth += 1
    defer { depth -= 1 }
    guard depth <= limits.depth else {
      throw error("calls nested deeper than \(limits.depth)", expected: "fewer", line)
    }
    return try body(&self)
  }

  /// A value that holds others, where it is not too large.
  mutating func bounded(_ value: TemplateValue, _ line: Int) throws -> TemplateValue {
    let (size, depth) = TemplateValue.extent(of: [value])
    try spend(line, bytes: size)
    guard depth < limits.depth else {
      throw error("a value nested deeper than \(limits.depth)", expected: "a flatter one", line)
    }
    return value
  }

  // MARK: Statements

  private mutating func run(_ statements: [TemplateStatement], in scope: TemplateScope) throws -> Ending {
    for statement in statements {
      let ending = try run(statement, in: scope)
      guard ending == .end else { return ending }
    }
    return .end
  }

  private mutating func write(_ text: String, _ line: Int = 0) throws {
    try spend(line, bytes: text.utf8.count)
    output += text
    guard output.utf8.count <= limits.bytes else {
      throw error("gives out more than \(limits.bytes) bytes", expected: "fewer", line)
    }
  }

  private mutating func run(_ statement: TemplateStatement, in scope: TemplateScope) throws -> Ending {
    switch statement {
    case .text(let text): try write(text)
    case .output(let expression): try write(try value(of: expression, in: scope).text, expression.line)
    case .conditional(let branches, let otherwise):
      for branch in branches where try value(of: branch.condition, in: scope).isTrue {
        return try run(branch.body, in: scope)
      }
      return try run(otherwise, in: scope)
    case .loop(let loop):
      let values = try elements(of: try value(of: loop.values, in: scope), loop.line)
      try nested(loop.line) { try $0.run(loop, over: values, depth: 1, in: scope) }
    case .set(let target, let expression):
      try assign(try value(of: expression, in: scope), to: target, in: scope, expression.line)
    case .setBlock(let target, let filter, let body, let line):
      var text = TemplateValue.string(try captured(body, in: TemplateScope(in: scope)))
      if let filter { text = try filtered(text, by: filter, in: scope) }
      try assign(text, to: target, in: scope, line)
    case .macro(let definition):
      scope.values[definition.name] = .macro(TemplateMacro(definition, in: scope))
      enclosing.append(scope)
    case .call(let definition, let expression):
      guard case .call(let function, let arguments) = expression.kind else { break }
      let called = try value(of: function, in: scope)
      guard case .macro(let macro) = called else {
        throw error("a call block without a macro", expected: "one that it calls", expression.line)
      }
      let given = try self.arguments(arguments, in: scope)
      try write(
        try call(macro, given, caller: TemplateMacro(definition, in: scope), expression.line), expression.line)
    case .filterBlock(let filter, let body):
      let text = try captured(body, in: TemplateScope(in: scope))
      try write(try filtered(.string(text), by: filter, in: scope).text, filter.line)
    case .with(let values, let body, let line):
      let inner = TemplateScope(in: scope)
      for (target, expression) in values {
        try assign(try value(of: expression, in: scope), to: target, in: inner, line)
      }
      return try run(body, in: inner)
    case .generation(let body):
      let start = capturing == 0 ? output.utf8.count : bytesBefore
      let text = try captured(body, in: TemplateScope(in: scope))
      try write(text)
      generations.append(start..<start + text.utf8.count)
    case .breakLoop: return .breakLoop
    case .continueLoop: return .continueLoop
    }
    return .end
  }

  /// What statements give out, apart from the rest.
  private mutating func captured(_ statements: [TemplateStatement], in scope: TemplateScope) throws -> String {
    let outer = output
    if capturing == 0 { bytesBefore = outer.utf8.count }
    output = ""
    capturing += 1
    defer {
      output = outer
      capturing -= 1
    }
    _ = try nested(0) { try $0.run(statements, in: scope) }
    return output
  }

  private mutating func run(
    _ loop: TemplateLoop, over all: [TemplateValue], depth: Int, in scope: TemplateScope
  ) throws {
    var values = all
    if let condition = loop.condition {
      values = []
      for value in all {
        let inner = TemplateScope(in: scope)
        try assign(value, to: loop.target, in: inner, loop.line)
        if try self.value(of: condition, in: inner).isTrue { values.append(value) }
      }
    }
    let state = TemplateLoopState(values, depth: depth, loop, in: scope)
    for (index, value) in values.enumerated() {
      try spend(loop.line)
      state.index = index
      let inner = TemplateScope(in: scope)
      inner.values["loop"] = .loop(state)
      try assign(value, to: loop.target, in: inner, loop.line)
      if try run(loop.body, in: inner) == .breakLoop { break }
    }
    if values.isEmpty { _ = try run(loop.otherwise, in: TemplateScope(in: scope)) }
  }

  /// `loop(values)` within a recursive loop.
  mutating func recurse(_ state: TemplateLoopState, over values: [TemplateValue], _ line: Int) throws -> String {
    guard state.definition.isRecursive else {
      throw error("'loop' is called and the loop is not recursive", expected: "'recursive' in the loop's tag", line)
    }
    let outer = output
    output = ""
    capturing += 1
    defer {
      output = outer
      capturing -= 1
    }
    try nested(line) { try $0.run(state.definition, over: values, depth: state.depth + 1, in: state.scope) }
    return output
  }

  private mutating func assign(
    _ value: TemplateValue, to target: TemplateTarget, in scope: TemplateScope, _ line: Int
  ) throws {
    switch target {
    case .name(let name): scope.values[name] = value
    case .member(let name, let member):
      guard case .namespace(let namespace)? = scope[name] else {
        throw error("'\(name)' is given a member", expected: "a namespace", line)
      }
      guard !member.hasPrefix("_") else {
        throw error("a namespace's member '\(member)' begins with '_'", expected: "another name", line)
      }
      namespace.members[member] = value
    case .tuple(let targets):
      let values = try elements(of: value, line)
      guard values.count == targets.count else {
        throw error("\(values.count) values for \(targets.count) names", expected: "as many", line)
      }
      for (target, value) in zip(targets, values) { try assign(value, to: target, in: scope, line) }
    }
  }

  func elements(of value: TemplateValue, _ line: Int) throws -> [TemplateValue] {
    guard let elements = value.elements else {
      throw error("a loop can't go through \(value.typeName)", expected: "a text, a list or a dictionary", line)
    }
    return elements
  }

  // MARK: Macros

  mutating func call(
    _ macro: TemplateMacro, _ arguments: TemplateValues, caller: TemplateMacro? = nil, _ line: Int
  ) throws -> String {
    let definition = macro.definition
    let scope = TemplateScope(in: macro.scope)
    var named = arguments.named
    for (index, parameter) in definition.parameters.enumerated() {
      if index < arguments.positional.count {
        scope.values[parameter.name] = arguments.positional[index]
      } else if let place = named.firstIndex(where: { $0.name == parameter.name }) {
        scope.values[parameter.name] = named.remove(at: place).value
      } else if let standard = parameter.standard {
        scope.values[parameter.name] = try value(of: standard, in: scope)
      } else {
        scope.values[parameter.name] = .undefined("the parameter '\(parameter.name)' of '\(definition.name)'")
      }
    }
    var caller = caller
    if let place = named.firstIndex(where: { $0.name == "caller" }), case .macro(let given) = named[place].value {
      caller = given
      named.remove(at: place)
    }
    if let caller { scope.values["caller"] = .macro(caller) }
    scope.values["varargs"] = .tuple(Array(arguments.positional.dropFirst(definition.parameters.count)))
    scope.values["kwargs"] = .dictionary(TemplateDictionary(named.map { (.string($0.name), $0.value) }))
    try spend(line)
    return try captured(definition.body, in: scope)
  }
}
