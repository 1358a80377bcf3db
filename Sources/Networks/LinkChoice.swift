import LoRATensors

/// Which links of one model's parameters take part in the passes of one task, instead of what their `isEnabled` says: the
/// same for all rows, or row by row. Other tasks and other models see nothing of it, and no link is changed.
package struct LinkChoice: Sendable {
  /// The innermost choice that is about a parameter counts.
  @TaskLocal private static var stack: [LinkChoice] = []

  /// The parameters that the choice is about.
  private let parameters: Set<ObjectIdentifier>
  /// The links that are chosen or left out; every other one is as it says itself.
  private let controlled: Set<ObjectIdentifier>
  /// By group of examples: which of them take part.
  let groups: [Set<ObjectIdentifier>]
  /// By example: its group. Empty where all rows are alike.
  let examples: [Int]
  /// How many rows of a layer's input each example has; nil: as many as the input says.
  private var lengths: [Int]?

  /// - Parameters:
  ///   - parameters: those of the model.
  ///   - controlled: the links that the choice is about.
  ///   - groups: by group, those that take part.
  ///   - examples: by example, its group; empty for one group of all rows.
  package init(
    for parameters: [NamedParameter], among controlled: [any Parametrization], groups: [[any Parametrization]],
    examples: [Int] = [], lengths: [Int]? = nil
  ) {
    self.parameters = Set(parameters.map { ObjectIdentifier($0.parameter) })
    self.controlled = Set(controlled.map(ObjectIdentifier.init))
    self.groups = groups.map { Set($0.map(ObjectIdentifier.init)) }
    self.examples = examples
    self.lengths = lengths
  }

  /// The choice that is about a parameter in this task.
  static func of(_ parameter: Parameter) -> LinkChoice? {
    let stack = stack
    return stack.isEmpty ? nil : stack.last { $0.parameters.contains(ObjectIdentifier(parameter)) }
  }

  /// The same where its rows differ.
  static func byRow(of parameter: Parameter) -> LinkChoice? { of(parameter).flatMap { $0.examples.isEmpty ? nil : $0 } }

  /// Runs `body` with this choice.
  package func apply<Result>(_ body: () throws -> Result) rethrows -> Result {
    // Values that were kept before are of other links.
    try LinkChoice.$stack.withValue(LinkChoice.stack + [self]) { try Parameter.withoutCachedValues(body) }
  }

  package func apply<Result>(
    isolation: isolated (any Actor)? = #isolation, _ body: () async throws -> Result
  ) async rethrows -> Result {
    try await LinkChoice.$stack.withValue(LinkChoice.stack + [self], operation: body)
  }

  /// `pass` with the choices of now, whenever it is run.
  static func keeping(_ pass: @escaping (Tensor) -> Tensor) -> (Tensor) -> Tensor {
    let now = stack
    return now.isEmpty ? pass : { x in $stack.withValue(now) { Parameter.withoutCachedValues { pass(x) } } }
  }

  /// Says for the length of `body` that the rows of a layer's input are those of sequences, one after another, each of
  /// which is an example.
  package static func overSequences<Result>(_ packing: Packing, _ body: () throws -> Result) rethrows -> Result {
    func isMeant(_ choice: LinkChoice) -> Bool { choice.lengths == nil && choice.examples.count == packing.count }
    let now = stack
    guard now.contains(where: isMeant) else { return try body() }
    let told = now.map { choice in
      var choice = choice
      if isMeant(choice) { choice.lengths = packing.lengths }
      return choice
    }
    return try $stack.withValue(told, operation: body)
  }

  /// Those of a chain's links that take part for a group.
  func links(of chain: [any Parametrization], group: Int) -> [any Parametrization] {
    chain.filter { link in
      let id = ObjectIdentifier(link)
      return controlled.contains(id) ? groups[group].contains(id) : link.isEnabled
    }
  }

  /// Those that take part where all rows are alike; nil where it depends on the row.
  func links(of chain: [any Parametrization]) -> [any Parametrization]? {
    let first = links(of: chain, group: 0)
    let isAlike = groups.indices.dropFirst().allSatisfy { group in
      links(of: chain, group: group).elementsEqual(first) { $0 === $1 }
    }
    return isAlike ? first : nil
  }

  /// How many of `count` rows, `leading` of which the input's first axis counts, each example has.
  func lengths(of count: Int, leading: Int) -> [Int] {
    if let lengths, lengths.reduce(0, +) == count { return lengths }
    expect(
      leading == examples.count,
      "withAdapters(rows:): \(examples.count) names, and a layer got \(leading) rows; name the adapter of each row, and "
        + "give `lengths` where an example has several")
    return Array(repeating: count / leading, count: leading)
  }
}
