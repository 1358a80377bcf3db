// The choice of adapters for one task: other tasks that use the model at the same time have their own.

import LoRANetworks
import LoRATensors

extension Module {
  /// Runs `body` with exactly the named adapters of this model, whatever is switched on; an empty list gives the base.
  ///
  /// The choice belongs to the task (and to those started within): many may use one model at a time, each with other
  /// adapters. Nothing of the model changes.
  /// ```swift
  /// let logits = try model.withAdapters(["french"]) { model(images) }
  /// ```
  /// - Throws: `AttachmentError.noMatch` where no adapter has one of the names, and what `body` throws.
  public func withAdapters<Result>(_ names: [String], _ body: () throws -> Result) throws -> Result {
    try choice(of: names).apply(body)
  }

  /// The same around what waits.
  public func withAdapters<Result>(
    _ names: [String], isolation: isolated (any Actor)? = #isolation, _ body: () async throws -> Result
  ) async throws -> Result {
    try await choice(of: names).apply(body)
  }

  /// Runs `body` on the base model: with every adapter left out, in this task.
  public func withAdaptersDisabled<Result>(_ body: () throws -> Result) rethrows -> Result {
    try LinkChoice(for: parameters, among: attachedAdapters.map(\.adapter), groups: [[]]).apply(body)
  }

  /// Runs `body`, in which each row of a batch uses an adapter of its own; nil is the base. What is stored is read once
  /// for all rows, and each adapter gets its rows together.
  ///
  /// A row's numbers are, bit for bit, those of a batch of that row alone with its adapter. The rows are those of each
  /// layer's input: images of a batch, or the texts of a transformer's.
  /// ```swift
  /// let logits = try model.withAdapters(rows: ["a", "b", nil]) { model(images) }  // [3, classes]
  /// ```
  /// - `lengths`: how many rows of a layer's input each name stands for, one after another, in a model that lays
  ///   several out for an example and does not say so itself (transformers here do); nil: one.
  /// - Throws: `AttachmentError.noMatch` where no adapter has one of the names, `AttachmentError.notByRow` where one of
  ///   several that are named changes more than matrices and their biases; and what `body` throws.
  public func withAdapters<Result>(
    rows names: [String?], lengths: [Int]? = nil, _ body: () throws -> Result
  ) throws -> Result {
    try choice(rows: names, lengths: lengths).apply(body)
  }

  /// The same around what waits.
  public func withAdapters<Result>(
    rows names: [String?], lengths: [Int]? = nil, isolation: isolated (any Actor)? = #isolation,
    _ body: () async throws -> Result
  ) async throws -> Result {
    try await choice(rows: names, lengths: lengths).apply(body)
  }

  private func choice(of names: [String]) throws -> LinkChoice {
    let adapters = try adapters(knowing: names).map(\.adapter)
    return LinkChoice(for: parameters, among: adapters, groups: [adapters.filter { names.contains($0.name) }])
  }

  private func choice(rows names: [String?], lengths: [Int]?) throws -> LinkChoice {
    expect(!names.isEmpty, "withAdapters(rows:): no row is named")
    expect(
      lengths.map { $0.count == names.count && $0.allSatisfy { $0 > 0 } } ?? true,
      "withAdapters(rows:): \(lengths?.count ?? 0) lengths for \(names.count) names, each of at least 1")
    let distinct = names.reduce(into: [String?]()) { if !$0.contains($1) { $0.append($1) } }
    let attached = try adapters(knowing: distinct.compactMap(\.self))
    if distinct.count > 1 { try requireByRow(attached.filter { distinct.contains($0.adapter.name) }) }
    let adapters = attached.map(\.adapter)
    return LinkChoice(
      for: parameters, among: adapters, groups: distinct.map { name in adapters.filter { $0.name == name } },
      examples: names.map { distinct.firstIndex(of: $0)! }, lengths: lengths)
  }

  /// Rows can have their own matrices and biases, where layers call `Parameter.linear` and `rows`; what a layer takes as
  /// a value (a norm's weight) is the same for all.
  private func requireByRow(_ adapters: [AttachedAdapter]) throws {
    let others = adapters.filter { $0.weight.shape.count != 2 }
    guard !others.isEmpty else { return }
    let matrices = Set(adaptableWeights.filter { $0.kind != .convolution }.map(\.path))
    for item in parameters {
      guard let adapter = others.first(where: { $0.weight === item.parameter })?.adapter else { continue }
      guard item.name.hasSuffix(".bias"), matrices.contains(String(item.name.dropLast(".bias".count))) else {
        throw AttachmentError.notByRow(name: adapter.name, parameter: item.name)
      }
    }
  }
}
