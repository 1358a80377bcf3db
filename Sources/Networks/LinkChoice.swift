import LoRATensors

/// Which links take part in the passes of one task, instead of what their `isEnabled` says: the same for all rows, or
/// row by row. Other tasks see nothing of it, and no link is changed.
package struct LinkChoice: Sendable {
  @TaskLocal package static var current: LinkChoice?

  /// The links that are chosen or left out; every other one is as it says itself.
  private let controlled: Set<ObjectIdentifier>
  /// By group of examples: which of them take part.
  let groups: [Set<ObjectIdentifier>]
  /// By example: its group. Empty where all rows are alike.
  let examples: [Int]
  /// How many rows of a layer's input each example has; nil: as many as the input says.
  var lengths: [Int]?

  /// - Parameters:
  ///   - controlled: the links that the choice is about.
  ///   - groups: by group, those that take part.
  ///   - examples: by example, its group; empty for one group of all rows.
  package init(
    among controlled: [any Parametrization], groups: [[any Parametrization]], examples: [Int] = [],
    lengths: [Int]? = nil
  ) {
    self.controlled = Set(controlled.map(ObjectIdentifier.init))
    self.groups = groups.map { Set($0.map(ObjectIdentifier.init)) }
    self.examples = examples
    self.lengths = lengths
  }

  private init(_ controlled: Set<ObjectIdentifier>, _ groups: [Set<ObjectIdentifier>], _ inner: LinkChoice) {
    (self.controlled, self.groups, examples, lengths) = (controlled, groups, inner.examples, inner.lengths)
  }

  /// This choice, and what an outer one says of other links: those of another model.
  package var withinCurrent: LinkChoice {
    guard let outer = LinkChoice.current, !outer.controlled.isSubset(of: controlled) else { return self }
    expect(outer.examples.isEmpty, "withAdapters: within withAdapters(rows:) of another model")
    let rest = outer.groups[0].subtracting(controlled)
    return LinkChoice(controlled.union(outer.controlled), groups.map { $0.union(rest) }, self)
  }

  /// Runs `body` with this choice.
  package func apply<Result>(_ body: () throws -> Result) rethrows -> Result {
    // Values that were kept before are of other links.
    try LinkChoice.$current.withValue(self) { try Parameter.withoutCachedValues(body) }
  }

  package func apply<Result>(
    isolation: isolated (any Actor)? = #isolation, _ body: () async throws -> Result
  ) async rethrows -> Result {
    try await LinkChoice.$current.withValue(self, operation: body)
  }

  /// Says for the length of `body` that the rows of a layer's input are those of sequences, one after another, each of
  /// which is an example.
  package static func overSequences<Result>(_ packing: Packing, _ body: () throws -> Result) rethrows -> Result {
    guard var choice = current, !choice.examples.isEmpty, choice.lengths == nil else { return try body() }
    expect(
      packing.count == choice.examples.count,
      "withAdapters(rows:): \(choice.examples.count) names for a batch of \(packing.count) sequences")
    choice.lengths = packing.lengths
    return try $current.withValue(choice, operation: body)
  }

  /// Those of a chain's links that take part for a group.
  func links(of chain: [any Parametrization], group: Int) -> [any Parametrization] {
    chain.filter { link in
      let id = ObjectIdentifier(link)
      return controlled.contains(id) ? groups[group].contains(id) : link.isEnabled
    }
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

extension [any Parametrization] {
  /// Those that take part where all rows are alike; nil where it depends on the row.
  var takingPart: [any Parametrization]? {
    guard let choice = LinkChoice.current else { return filter(\.isEnabled) }
    let first = choice.links(of: self, group: 0)
    let isAlike = choice.groups.indices.dropFirst().allSatisfy { group in
      choice.links(of: self, group: group).elementsEqual(first) { $0 === $1 }
    }
    return isAlike ? first : nil
  }
}
