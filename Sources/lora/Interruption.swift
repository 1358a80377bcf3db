// Ctrl-C: what is going on stops at its next step, with nothing lost.

import ArgumentParser
import Foundation
import LoRAKit

/// A work that the other ranks have left.
struct AbandonedRun: Error, CustomStringConvertible {
  let cause: CollectiveError
  /// What became of it, or how to go on.
  let rest: String

  var description: String {
    if case .alone = cause { cause.problem + "; " + rest } else { cause.description }
  }
}

/// Ctrl-C as a question: work asks between two steps whether it shall stop. A second Ctrl-C ends the program at once.
final class Interruption: @unchecked Sendable {
  private let lock = NSLock()
  private var count = 0
  private var sources: [any DispatchSourceSignal] = []

  init() {
    for number in [SIGINT, SIGTERM] {
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
      source.setEventHandler { [weak self] in self?.received(number) }
      source.resume()
      sources.append(source)
    }
  }

  var isRequested: Bool { lock.withLock { count > 0 } }

  /// Runs a training that stops when it is asked to, and then says how to go on.
  ///
  /// - Parameters:
  ///   - state: where the run is kept.
  ///   - abandon: what is done with the progress bar.
  static func training<Result>(
    keptAt state: String?, abandon: () -> Void, _ run: (@escaping () -> Bool) throws -> Result
  ) throws -> Result {
    let interruption = Interruption()
    Ranks.listen { interruption.isRequested }
    defer { Ranks.listen { false } }
    do {
      return try run { interruption.isRequested }
    } catch let error as CollectiveError {
      abandon()
      throw AbandonedRun(
        cause: error,
        rest: state.map { "go on from the last state that was kept, with --resume \($0)" }
          ?? "--checkpoint keeps states for --resume")
    } catch let error as TrainingError {
      abandon()
      guard case .interrupted(let step) = error else { throw error }
      let kept = state.map { "; go on with --resume \($0)" } ?? "; --checkpoint keeps the state for --resume"
      comment("Stopped after step \(step)\(kept)", isQuiet: false)
      throw ExitCode(130)
    }
  }

  private func received(_ number: Int32) {
    let isSecond = lock.withLock {
      count += 1
      return count > 1
    }
    if isSecond { _exit(128 + number) }
  }

  deinit {
    for source in sources { source.cancel() }
    for number in [SIGINT, SIGTERM] { signal(number, SIG_DFL) }
  }
}
