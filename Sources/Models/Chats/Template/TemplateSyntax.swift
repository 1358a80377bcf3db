/// An expression of a template, with the line it stands in.
struct TemplateExpression: Sendable {
  indirect enum Kind: Sendable {
    case none
    case bool(Bool)
    case integer(Int)
    case float(Double)
    case string(String)
    case list([TemplateExpression])
    case tuple([TemplateExpression])
    case dictionary([(key: TemplateExpression, value: TemplateExpression)])
    case name(String)
    /// `a.b`
    case attribute(TemplateExpression, String)
    /// `a[b]`
    case item(TemplateExpression, TemplateExpression)
    case slice(TemplateExpression, start: TemplateExpression?, stop: TemplateExpression?, step: TemplateExpression?)
    case call(TemplateExpression, TemplateArguments)
    /// `a | name(…)`; of a block's text where there is no `a`.
    case filter(TemplateExpression?, String, TemplateArguments)
    case test(TemplateExpression, String, TemplateArguments)
    case not(TemplateExpression)
    case and(TemplateExpression, TemplateExpression)
    case or(TemplateExpression, TemplateExpression)
    case negative(TemplateExpression)
    case positive(TemplateExpression)
    /// `+`, `-`, `*`, `/`, `//`, `%`, `**`
    case arithmetic(String, TemplateExpression, TemplateExpression)
    case concatenation([TemplateExpression])
    /// `a < b <= c`; each with the value before it.
    case comparison(TemplateExpression, [(operation: String, value: TemplateExpression)])
    /// `a if b else c`
    case conditional(TemplateExpression, condition: TemplateExpression, otherwise: TemplateExpression?)
  }

  let kind: Kind
  let line: Int
}

/// What a call, a filter or a test is given.
struct TemplateArguments: Sendable {
  var positional: [TemplateExpression] = []
  var named: [(name: String, value: TemplateExpression)] = []
  /// `*list`
  var list: TemplateExpression?
  /// `**dictionary`
  var dictionary: TemplateExpression?
}

/// What is assigned to.
indirect enum TemplateTarget: Sendable {
  case name(String)
  /// `namespace.name`
  case member(String, String)
  case tuple([TemplateTarget])
}

/// A statement of a template.
indirect enum TemplateStatement: Sendable {
  case text(String)
  case output(TemplateExpression)
  case conditional([(condition: TemplateExpression, body: [TemplateStatement])], otherwise: [TemplateStatement])
  case loop(TemplateLoop)
  case set(TemplateTarget, TemplateExpression)
  /// `{% set name %} … {% endset %}`, with filters.
  case setBlock(TemplateTarget, filter: TemplateExpression?, [TemplateStatement], line: Int)
  case macro(TemplateMacroDefinition)
  /// `{% call(…) macro(…) %} … {% endcall %}`
  case call(TemplateMacroDefinition, TemplateExpression)
  /// `{% filter name %} … {% endfilter %}`
  case filterBlock(TemplateExpression, [TemplateStatement])
  case with([(TemplateTarget, TemplateExpression)], [TemplateStatement], line: Int)
  /// `{% generation %} … {% endgeneration %}`: what an assistant wrote.
  case generation([TemplateStatement])
  case breakLoop
  case continueLoop
}

/// `{% for target in values if condition %} … {% else %} … {% endfor %}`
struct TemplateLoop: Sendable {
  let target: TemplateTarget
  let values: TemplateExpression
  let condition: TemplateExpression?
  let isRecursive: Bool
  let body: [TemplateStatement]
  let otherwise: [TemplateStatement]
  let line: Int
}

/// A macro, or the body of a call block, with its parameters.
struct TemplateMacroDefinition: Sendable {
  let name: String
  let parameters: [(name: String, standard: TemplateExpression?)]
  let body: [TemplateStatement]
  let line: Int
}
