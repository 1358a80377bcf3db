import Foundation
import LoRANetworks
import LoRATensors

/// Where, and how often, a run keeps its state.
public struct StateKeeping {
  /// The state's file.
  public let url: URL
  /// After how many steps it is written anew, at least 1.
  public let everySteps: Int
  /// What the run is; a state is only taken up by a run of the same purpose.
  public let purpose: String

  /// A state in the file `url`, written every `everySteps` steps of a run of this purpose.
  public init(url: URL, everySteps: Int, purpose: String) {
    expect(everySteps > 0, "StateKeeping: every \(everySteps) steps")
    self.url = url
    self.everySteps = everySteps
    self.purpose = purpose
  }
}

extension Trainer {
  /// Trains up to `total` steps, counting those that were done before (by an earlier call, or by the run whose state
  /// was restored).
  ///
  /// - Parameters:
  ///   - keeping: Where the state is kept: every so many steps, at the end, and when stopped.
  ///   - shouldStop: Asked after every step; where true, the state is kept and `TrainingError.interrupted` thrown.
  ///   - loss: The loss of a batch, given the indices of its examples.
  public func run<Sampler: BatchSampler>(
    _ model: some Module, steps total: Int, drawing sampler: inout Sampler, keeping: StateKeeping? = nil,
    shouldStop: () -> Bool = { false }, onStep: (StepReport) -> Void = { _ in }, loss: ([Int]) throws -> Tensor
  ) throws {
    func keep() throws {
      guard let keeping else { return }
      try TrainingState.save(self, of: model, sampler: sampler, purpose: keeping.purpose, to: keeping.url)
    }
    while losses.count < total {
      let batch = sampler.next()
      let report = try step { try loss(batch) }
      onStep(report)
      if shouldStop() {
        try keep()
        throw TrainingError.interrupted(step: report.step)
      }
      if let keeping, report.step % keeping.everySteps == 0, report.step < total { try keep() }
    }
    try keep()
  }
}
