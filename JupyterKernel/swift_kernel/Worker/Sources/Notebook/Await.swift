import CNotebook
import Dispatch
import Foundation

/// Runs asynchronous code from the synchronous top level of a cell, and serves the main queue meanwhile.
///
/// The kernel wraps top-level `await` in this call. An interrupt cancels the task.
public func _notebookAwait<Value>(_ body: @escaping () async throws -> Value) throws -> Value {
  let outcome = Outcome<Value>()
  nonisolated(unsafe) let body = body
  let task = Task.detached {
    do {
      outcome.settle(.success(try await body()))
    } catch {
      outcome.settle(.failure(error))
    }
    DispatchQueue.main.async {}  // wakes the loop below
  }

  notebook_set_awaiting(true)
  defer { notebook_set_awaiting(false) }
  let heartbeat = Timer(timeInterval: 0.02, repeats: true) { _ in }
  RunLoop.main.add(heartbeat, forMode: .default)
  defer { heartbeat.invalidate() }

  var interrupted: Date?
  while true {
    if let result = outcome.result {
      if interrupted != nil { notebook_end_cell(notebook_interrupted, SIGINT) }
      return try result.get()
    }
    if let interrupted {
      // A task that does not heed its cancellation is left behind.
      if Date().timeIntervalSince(interrupted) > 2 { notebook_end_cell(notebook_interrupted, SIGINT) }
    } else if notebook_interrupt_requested() {
      interrupted = Date()
      task.cancel()
    }
    _ = RunLoop.main.run(mode: .default, before: Date(timeIntervalSinceNow: 0.1))
  }
}

private final class Outcome<Value>: @unchecked Sendable {
  private let lock = NSLock()
  private var settled: Result<Value, any Error>?

  var result: Result<Value, any Error>? { lock.withLock { settled } }

  func settle(_ result: Result<Value, any Error>) {
    lock.withLock { settled = result }
  }
}
