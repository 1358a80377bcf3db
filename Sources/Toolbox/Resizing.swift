// An adapter of another rank: the best one of that rank, by two thin QR decompositions and a small SVD.

import Foundation
import LoRAAdapters
import LoRAFiles
import LoRAFormats
import LoRALinearAlgebra
import LoRATensors

/// Changes an adapter's rank, module by module.
public struct Resizing: Sendable {
  /// What one module's new rank costs.
  public struct Outcome: Sendable {
    /// The module's path.
    public let path: String
    /// Its rank before.
    public let rank: Int
    /// Its rank now.
    public let newRank: Int
    /// ‖scale · BA‖ before.
    public let norm: Double
    /// ‖new update − old update‖ / ‖old update‖.
    public let relativeError: Double
    /// What BA is multiplied by, before and after.
    public let scale: Double
  }

  /// How the new rank is chosen; modules keep their scale.
  public var selection: RankSelection
  /// Seeds the rows that a growing A gets.
  public var seed: UInt64 = 0

  /// A change to the rank that a rule gives each module.
  public init(_ selection: RankSelection) {
    self.selection = selection
  }

  /// The resized adapter and what was lost.
  ///
  /// Down, B A becomes its best approximation of the new rank (Eckart and Young), its factors balanced. Up, B gets
  /// columns of zeros and A random rows as before training, so that the update is the same to the last bit and the new
  /// directions can be trained. A rank of at least 1 stays.
  public func resize(
    _ adapter: StoredAdapter, progress: OperationProgress.Handler? = nil
  ) throws -> (adapter: StoredAdapter, outcomes: [Outcome]) {
    try adapter.requireWhole(action: "resized")
    // What has no rank (whole differences, factors, rotations) stays as it is.
    let ranked = adapter.modules.count { $0.rank > 0 }
    guard ranked > 0 else {
      throw CheckpointError(
        .unsupported, file: adapter.url.path,
        "holds \(adapter.methodNames.joined(separator: " and ")) (nothing was written)",
        expected: "a method with a rank to change", advice: Advice("Convert it to a plain LoRA first", .convertToLoRA))
    }
    let counter = ProgressCounter(total: ranked, progress)
    let results = try mapInParallel(adapter.modules) { module -> (module: StoredModule, outcome: Outcome?) in
      guard module.rank > 0 else { return (module, nil) }
      let result = try adapter.decomposing(module) { try resize(module, of: adapter) }
      try counter.advance(by: 1, module.path)
      return (result.module, result.outcome)
    }
    var resized = adapter
    resized.modules = results.map(\.module)
    resized.shared = []
    resized.findings = []
    guard adapter.format != .peft || Set(resized.modules.filter(\.isTargeted).map(\.method.peftType)).count == 1 else {
      throw CheckpointError(
        .unsupported, file: adapter.url.path,
        "holds \(adapter.methodNames.joined(separator: " and ")), of which some modules have no rank (nothing was written)",
        expected: "modules that all become a LoRA",
        advice: Advice("Convert it to a plain LoRA first", .convertToLoRA))
    }
    resized.configuration.describe(resized.modules)
    return (resized, results.compactMap(\.outcome))
  }

  private func resize(
    _ module: StoredModule, of adapter: StoredAdapter
  ) throws -> (module: StoredModule, outcome: Outcome) {
    let update = try adapter.update(of: module)
    let decomposition = try svd(ofProduct: update.b, update.a)
    let spectrum = decomposition.spectrum
    let newRank: Int
    if case .fixed(let rank) = selection { newRank = rank } else { newRank = max(1, spectrum.rank(selection)) }

    var new = update
    var relativeError = 0.0
    if newRank >= update.rank {
      (new.a, new.b) = grown(update.a, update.b, to: newRank, path: module.path)
    } else {
      let factors = decomposition.truncated(to: min(newRank, decomposition.singularValues.count))
      let balanced = factors.balanced()
      // Above what the shape can use, the rest stays zero.
      (new.a, new.b) = grown(balanced.a, balanced.b, to: newRank, path: module.path)
      relativeError = spectrum.relativeError(atRank: factors.rank)
    }
    let method = module.method
    return (
      StoredModule(path: module.path, method: method.replacing(core: try StoredLoRA(new, like: method.core))),
      Outcome(
        path: module.path, rank: update.rank, newRank: newRank, norm: spectrum.frobeniusNorm * abs(update.scale),
        relativeError: relativeError, scale: update.scale)
    )
  }

  private func grown(_ a: Tensor, _ b: Tensor, to rank: Int, path: String) -> (a: Tensor, b: Tensor) {
    let old = a.shape[0]
    guard rank > old else { return (a, b) }
    let inputs = a.shape[1]
    let outputs = b.shape[0]
    // One seed for each module, so that the result does not depend on the order of work.
    var generator = SeededGenerator(
      seed: path.utf8.reduce(seed &+ 0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 })
    let bound = 1 / Float(inputs).squareRoot()
    let rows = Tensor(shape: [rank - old, inputs]) { buffer in
      for i in buffer.indices { buffer[i] = Float.random(in: -bound...bound, using: &generator) }
    }
    return (.concatenated([a, rows], axis: 0), .concatenated([b, .zeros([outputs, rank - old])], axis: 1))
  }
}
