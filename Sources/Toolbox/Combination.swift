// Several adapters as one.
//
// Exact is the default: Σ wᵢ sᵢ BᵢAᵢ = [w₁s₁B₁ … wₙsₙBₙ] [A₁; …; Aₙ], no cross terms, at the sum of the ranks. The other
// methods are those of peft's `add_weighted_adapter`, which work on A and B apart and so only approximate the sum.

import Foundation
import LoRAAdapters
import LoRAFiles
import LoRAFormats
import LoRALinearAlgebra
import LoRATensors

/// Combines adapters with weights.
public struct Combination: Sendable {
  /// How several updates become one.
  public enum Method: String, CaseIterable, Sendable {
    /// Concatenation: the sum of the updates.
    case exact
    /// The sum, brought to a smaller rank by the best approximation.
    case svd
    /// Σ √wᵢsᵢ Aᵢ and Σ √wᵢsᵢ Bᵢ: has cross terms.
    case linear
    /// Trim, elect signs, merge (Yadav et al., arXiv:2306.01708) on A and on B.
    case ties
    /// Drop at random, rescale (Yu et al., arXiv:2311.03099), then as ties.
    case dareTies = "dare_ties"
    /// Drop at random and rescale, then as linear.
    case dareLinear = "dare_linear"
    /// Keep the largest, then as linear.
    case magnitudePrune = "magnitude_prune"
  }

  /// What became of one module.
  public struct Outcome: Sendable {
    /// The module's path.
    public let path: String
    /// Its rank in the combined adapter.
    public let rank: Int
    /// ‖Σ wᵢ sᵢ BᵢAᵢ‖.
    public let norm: Double
    /// ‖result − exact sum‖ / ‖exact sum‖.
    public let relativeError: Double
  }

  /// How updates are combined.
  public var method = Method.exact
  /// The rank for `svd`; by default the largest of the module's ranks.
  public var rank: Int?
  /// The share of numbers that pruning keeps.
  public var density = 0.5
  /// Of what `dareTies` and `dareLinear` drop.
  public var seed: UInt64 = 0

  /// The exact sum.
  public init() {}

  /// The combined adapter, with scale 1 everywhere, and how far each module is from the exact sum.
  ///
  /// - Throws: `CheckpointError` where adapters can't be added: different bases' shapes, DoRA, weights that replace
  ///   the base's and differ, or ranks that differ with a method that adds A and B.
  public func combine(
    _ adapters: [(adapter: StoredAdapter, weight: Double)], progress: OperationProgress.Handler? = nil
  ) throws -> (adapter: StoredAdapter, outcomes: [Outcome]) {
    expect(!adapters.isEmpty, "Combination: no adapters")
    for (adapter, _) in adapters { try check(adapter) }
    var members: [ExactString: [Member]] = [:]
    for (adapter, weight) in adapters {
      for module in adapter.modules {
        members[module.path, default: []].append(Member(adapter: adapter, module: module, weight: weight))
      }
    }
    let groups = members.map { Group(path: $0.key.text, members: $0.value) }.sorted { isOrdered($0.path, $1.path) }
    let counter = ProgressCounter(total: groups.count, progress)
    let results = try mapInParallel(groups) { group in
      let first = group.members[0]
      let result = try first.adapter.decomposing(first.module) { try combine(group) }
      try counter.advance(by: 1, group.path)
      return result
    }
    let first = adapters[0].adapter
    let modules = results.map(\.module)
    var configuration = first.configuration
    configuration.initialization = true
    configuration.describe(modules)
    let paths = Set<ExactString>(names: modules.map(\.path))
    if !adapters.allSatisfy({
      Set<ExactString>(names: $0.adapter.modules.map(\.path)) == paths
        && $0.adapter.configuration.selection.targets == configuration.selection.targets
    }) {
      configuration.setTargets(modules)
    }
    configuration.selection.saved = adapters.reduce(into: []) { names, member in
      for name in member.adapter.configuration.selection.saved where !names.contains(name) { names.append(name) }
    }
    let combined = StoredAdapter(
      format: first.format, url: first.url, configuration: configuration, modules: modules,
      replacements: try replacements(adapters), metadata: first.metadata)
    return (combined, results.map(\.outcome))
  }

  private func check(_ adapter: StoredAdapter) throws {
    try adapter.requireWhole(action: "combined")
    if let module = adapter.modules.first(where: { !$0.method.isAdditive }) {
      throw CheckpointError(
        .unsupported, file: adapter.url.path,
        "\(module.path) is \(module.method.name), whose change depends on the base's weights",
        expected: "a sum of products", advice: Advice("Merge it into the base, then extract", .merge))
    }
    if let module = adapter.modules.first(where: { $0.lora == nil && $0.method.changesBias }) {
      throw CheckpointError(
        .unsupported, file: adapter.url.path, "\(module.path) is \(module.method.name) and changes a bias too",
        expected: "a sum of products, which holds none",
        advice: Advice("Convert it to a plain LoRA on its base first, or merge it into the base", .convertToLoRA))
    }
    if let method = adapter.configuration.baseChangingInitialization {
      throw CheckpointError(
        .unsupported, file: adapter.url.path, "init_lora_weights is \"\(method)\"",
        expected: "an update of the untouched base", advice: "Export it for the untouched base first")
    }
  }

  private struct Member: Sendable {
    let adapter: StoredAdapter
    let module: StoredModule
    let weight: Double
  }

  private struct Group: Sendable {
    let path: String
    let members: [Member]

    /// The format that holds all of the members' numbers.
    var format: NumberFormat {
      let formats = Set(members.flatMap { $0.module.method.core.tensors.map(\.tensor.format) })
      return formats.count == 1 ? formats.first! : .f32
    }
  }

  private func combine(_ group: Group) throws -> (module: StoredModule, outcome: Outcome) {
    let first = group.members[0].module
    for member in group.members.dropFirst() where member.module.method.core.shape != first.method.core.shape {
      throw CheckpointError(
        .mismatch, file: member.adapter.url.path,
        "\(group.path): BA is \([member.module.outputs, member.module.inputs])",
        expected: "\([first.outputs, first.inputs]), as in the adapter before", advice: "Combine adapters of one base")
    }
    let terms = try group.members.map { member in
      let update = try member.adapter.update(of: member.module)
      return Term(a: update.a, b: update.b, coefficient: member.weight * update.scale)
    }
    let exactA = Tensor.concatenated(terms.map(\.a), axis: 0)
    let exactB = Tensor.concatenated(terms.map { $0.b * Float($0.coefficient) }, axis: 1)
    let norm = try svd(ofProduct: exactB, exactA).spectrum.frobeniusNorm
    let a: Tensor
    let b: Tensor
    switch method {
    case .exact: (a, b) = (exactA, exactB)
    case .svd:
      let decomposition = try svd(ofProduct: exactB, exactA)
      let wanted = rank ?? terms.map { $0.a.shape[0] }.max()!
      let balanced = decomposition.truncated(to: min(wanted, decomposition.singularValues.count)).balanced()
      (a, b) = (balanced.a, balanced.b)
    default:
      guard Set(terms.map { $0.a.shape[0] }).count == 1 else {
        throw CheckpointError(
          .mismatch, file: "", "\(group.path) has the ranks \(terms.map { $0.a.shape[0] })",
          expected: "one rank, since \(method.rawValue) adds A to A and B to B",
          advice: Advice("Resize one, or combine exactly", .combineExactly))
      }
      a = mixed(
        terms.map(\.a), terms.map { $0.coefficient.magnitude.squareRoot() * ($0.coefficient < 0 ? -1 : 1) },
        group.path + ".A")
      b = mixed(terms.map(\.b), terms.map { $0.coefficient.magnitude.squareRoot() }, group.path + ".B")
    }
    // The difference of two products is a product of twice the rank.
    let error =
      method == .exact
      ? 0
      : try svd(ofProduct: .concatenated([b, -exactB], axis: 1), .concatenated([a, exactA], axis: 0)).spectrum
        .frobeniusNorm
    var method = try StoredLoRA(
      LowRankUpdate(a: a, b: b, scale: 1), like: first.method.core, format: group.format)
    method.scaling = .standard
    method.alpha = Double(method.rank)
    method.outputBias = try combinedBias(group)
    return (
      StoredModule(path: group.path, method: method),
      Outcome(path: group.path, rank: method.rank, norm: norm, relativeError: norm > 0 ? error / norm : error)
    )
  }

  private struct Term {
    let a: Tensor
    let b: Tensor
    let coefficient: Double
  }

  /// Σ wᵢ sᵢ biasᵢ: the new scale is 1.
  private func combinedBias(_ group: Group) throws -> StoredTensor? {
    let biases = try group.members.compactMap { member in
      try member.module.lora?.outputBias.map { try $0.tensor() * Float(member.weight * member.module.scale) }
    }
    guard let first = biases.first else { return nil }
    return try StoredTensor(name: "", biases.dropFirst().reduce(first) { $0 + $1 })
  }

  /// Σ wᵢ xᵢ after pruning and election.
  private func mixed(_ tensors: [Tensor], _ weights: [Double], _ name: String) -> Tensor {
    var values = tensors.map(\.scalars)
    switch method {
    case .ties, .magnitudePrune: values = values.map { Self.keepLargest($0, density: density) }
    case .dareTies, .dareLinear:
      values = values.enumerated().map { index, value in
        keepRandom(value, name: "\(name).\(index)")
      }
    default: break
    }
    let elects = method == .ties || method == .dareTies
    var result = [Float](repeating: 0, count: values[0].count)
    for i in result.indices {
      let sum = values.reduce(Float(0)) { $0 + $1[i] }
      let sign: Float = sum >= 0 ? 1 : -1
      var total: Float = 0
      var agreeing: Float = 0
      for (value, weight) in zip(values, weights) {
        guard !elects || (value[i] > 0 ? 1 : value[i] < 0 ? -1 : 0) == sign else { continue }
        total += value[i] * Float(weight)
        agreeing += 1
      }
      result[i] = elects ? total / max(agreeing, 1) : total
    }
    return Tensor(shape: tensors[0].shape, scalars: result)
  }

  private static func keepLargest(_ values: [Float], density: Double) -> [Float] {
    guard density < 1 else { return values }
    let count = Int(density * Double(values.count))
    var result = [Float](repeating: 0, count: values.count)
    for index in values.indices.sorted(by: { abs(values[$0]) > abs(values[$1]) }).prefix(count) {
      result[index] = values[index]
    }
    return result
  }

  private func keepRandom(_ values: [Float], name: String) -> [Float] {
    guard density < 1 else { return values }
    var generator = SeededGenerator(
      seed: name.utf8.reduce(seed &+ 0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 })
    return values.map { Double.random(in: 0..<1, using: &generator) < density ? $0 / Float(density) : 0 }
  }

  /// Weights that replace the base's can't be added without it: they must be the same in all adapters that have them,
  /// and count whole.
  private func replacements(_ adapters: [(adapter: StoredAdapter, weight: Double)]) throws -> [StoredTensor] {
    var byName: [ExactString: (tensor: StoredTensor, weight: Double, url: URL)] = [:]
    for (adapter, weight) in adapters {
      for tensor in adapter.replacements {
        if let other = byName[tensor.name], !other.tensor.hasSameNumbers(as: tensor) {
          throw CheckpointError(
            .mismatch, file: adapter.url.path, "\(tensor.name) is saved whole in two adapters, with different values",
            expected: "equal ones, since what replaces the base's weight can't be added without it",
            advice: Advice("Merge both into the base instead", .merge))
        }
        byName[tensor.name] = (tensor, weight + (byName[tensor.name]?.weight ?? 0), adapter.url)
      }
    }
    for (name, item) in byName where abs(item.weight - 1) > 1e-6 {
      throw CheckpointError(
        .unsupported, file: item.url.path, "\(name.text) is saved whole and would count \(item.weight)",
        expected: "a weight of 1: between it and the base's own only a merge can interpolate",
        advice: Advice("Merge the adapters with their weights into the base instead", .merge))
    }
    return byName.values.map(\.tensor)
  }
}
