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
    public let path: String
    public let rank: Int
    public let newRank: Int
    /// ‖scale · BA‖ before.
    public let norm: Double
    /// ‖new update − old update‖ / ‖old update‖.
    public let relativeError: Double
    public let scale: Double
  }

  /// How the new rank is chosen; modules keep their scale.
  public var selection: RankSelection
  /// Seeds the rows that a growing A gets.
  public var seed: UInt64 = 0

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
    let counter = ProgressCounter(total: adapter.modules.count, progress)
    let results = try mapInParallel(adapter.modules) { module in
      let result = try resize(module, configuration: adapter.configuration)
      try counter.advance(by: 1, module.path)
      return result
    }
    var resized = adapter
    resized.modules = results.map(\.module)
    resized.findings = []
    resized.configuration.setRanks(of: resized.modules)
    return (resized, results.map(\.outcome))
  }

  private func resize(
    _ module: StoredModule, configuration: PEFTConfiguration
  ) throws -> (module: StoredModule, outcome: Outcome) {
    let (a, b) = try module.factors()
    guard a.isFinite && b.isFinite else {
      throw CheckpointError(
        .number, file: "", "\(module.path): A or B holds NaN or infinity, so it has no singular values")
    }
    let decomposition = try svd(ofProduct: b, a)
    let spectrum = decomposition.spectrum
    let newRank: Int
    if case .fixed(let rank) = selection { newRank = rank } else { newRank = max(1, spectrum.rank(selection)) }

    let newA: Tensor
    let newB: Tensor
    let relativeError: Double
    if newRank >= module.rank {
      (newA, newB) = grown(a, b, to: newRank, path: module.path)
      relativeError = 0
    } else {
      let factors = decomposition.truncated(to: min(newRank, decomposition.singularValues.count))
      let balanced = factors.balanced()
      // Above what the shape can use, the rest stays zero.
      (newA, newB) = grown(balanced.a, balanced.b, to: newRank, path: module.path)
      relativeError = spectrum.relativeError(atRank: factors.rank)
    }
    var resized = module
    resized.alpha = configuration.alpha(scale: module.scale, rank: newRank)
    resized.a = try StoredTensor(
      name: module.a.name, newA.reshaped([newRank] + module.a.shape.dropFirst()), as: module.a.format)
    resized.b = try StoredTensor(
      name: module.b.name, newB.reshaped([module.outputs, newRank] + module.b.shape.dropFirst(2)), as: module.b.format)
    return (
      resized,
      Outcome(
        path: module.path, rank: module.rank, newRank: newRank, norm: spectrum.frobeniusNorm * abs(module.scale),
        relativeError: relativeError, scale: module.scale)
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

extension PEFTConfiguration {
  /// The alpha that gives `scale` at `rank`.
  func alpha(scale: Double, rank: Int) -> Double {
    isRankStabilized ? scale * Double(rank).squareRoot() : scale * Double(rank)
  }
}
