import ArgumentParser
import Foundation
import LoRAKit

/// Runs work with a progress bar that follows the library's reports. Ctrl-C ends it after the part at hand, with
/// nothing left behind.
func withProgress<Result>(
  _ label: String, unit: String = "", isQuiet: Bool, _ work: (@escaping OperationProgress.Handler) throws -> Result
) throws -> Result {
  let progress = ToolProgress(label: label, unit: unit, isQuiet: isQuiet)
  Ranks.listen { progress.isAskedToEnd }
  defer { Ranks.listen { false } }
  do {
    let result = try work { try progress.report($0) }
    progress.finish()
    return result
  } catch is CancellationError {
    progress.abandon()
    comment("Stopped; nothing was written.", isQuiet: false)
    throw ExitCode(130)
  } catch let error as CollectiveError {
    progress.abandon()
    throw AbandonedRun(cause: error, rest: "nothing was written")
  } catch {
    progress.abandon()
    throw error
  }
}

/// A bar that is made with the first report, when the total is known. Reports come one at a time, from any thread.
private final class ToolProgress: @unchecked Sendable {
  private let label: String
  private let unit: String
  private let isQuiet: Bool
  /// Bytes are counted in megabytes.
  private let scale: Int
  private let interruption = Interruption()
  private let lock = NSLock()
  private var bar: ProgressBar?
  private var done = 0

  init(label: String, unit: String, isQuiet: Bool) {
    self.label = label
    scale = unit == "bytes" ? 1_000_000 : 1
    self.unit = unit == "bytes" ? " MB" : unit.isEmpty ? "" : " " + unit
    self.isQuiet = isQuiet
  }

  func report(_ progress: OperationProgress) throws {
    if interruption.isRequested { throw CancellationError() }
    lock.withLock {
      let bar = bar ?? ProgressBar(label, total: progress.total / scale, unit: unit, isQuiet: isQuiet)
      self.bar = bar
      bar.advance(by: progress.done / scale - done, note: progress.item)
      done = progress.done / scale
    }
  }

  var isAskedToEnd: Bool { interruption.isRequested }
  func finish() { lock.withLock { bar?.finish() } }
  func abandon() { lock.withLock { bar?.abandon() } }
}
