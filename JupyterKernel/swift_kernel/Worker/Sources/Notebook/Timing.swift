import Foundation

/// `%timeit`: times an expression in seven runs of as many loops as take about a tenth of a second.
public func _notebookTime<Value>(_ body: () throws -> Value) throws {
  func time(loops: Int) throws -> Double {
    seconds(try ContinuousClock().measure { for _ in 0..<loops { keep(try body()) } })
  }

  var loops = 1
  var total = try time(loops: 1)
  while total < 0.1 && loops < 1_000_000_000 {
    loops *= total < 0.01 ? 10 : 2
    total = try time(loops: loops)
  }
  let runs = total > 3 ? 1 : 7
  let times = try (0..<runs).map { _ in try time(loops: loops) / Double(loops) }
  let mean = times.reduce(0, +) / Double(runs)
  let deviation = (times.map { ($0 - mean) * ($0 - mean) }.reduce(0, +) / Double(runs)).squareRoot()
  print(
    "\(duration(mean)) ± \(duration(deviation)) per loop (mean ± standard deviation of \(runs)"
      + " run\(runs == 1 ? "" : "s"), \(loops) loop\(loops == 1 ? "" : "s") each)")
}

/// `%time`: from here to `_notebookStopClock`, to the showing of a value or to the end of the cell.
public func _notebookStartClock() { Stopwatch.shared.start() }
public func _notebookStopClock() { Stopwatch.shared.stop() }

/// The running `%time`, if any.
package final class Stopwatch: @unchecked Sendable {
  package static let shared = Stopwatch()
  private let lock = NSLock()
  private var started: (wall: ContinuousClock.Instant, processor: clock_t)?

  package func reset() { lock.withLock { started = nil } }

  func start() { lock.withLock { started = (ContinuousClock.now, clock()) } }

  /// Prints the time since the start, and that of all threads together.
  package func stop() {
    guard
      let started = lock.withLock({
        defer { self.started = nil }
        return self.started
      })
    else { return }
    let processor = Double(clock() - started.processor) / Double(CLOCKS_PER_SEC)
    print("\(duration(seconds(started.wall.duration(to: .now)))), \(duration(processor)) of processor time")
  }
}

private func seconds(_ duration: Duration) -> Double {
  let (whole, attoseconds) = duration.components
  return Double(whole) + Double(attoseconds) * 1e-18
}

@inline(never) @_optimize(none)
private func keep<Value>(_ value: Value) {}

private func duration(_ seconds: Double) -> String {
  let units = [(1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")]
  let (scale, unit) = units.first { seconds >= $0.0 } ?? (1e-9, "ns")
  return String(format: "%.3g ", seconds / scale) + unit
}
