import Foundation

/// `%timeit`: times an expression in seven runs of as many loops as take about a tenth of a second.
public func _notebookTime<Value>(_ body: () throws -> Value) throws {
  let clock = ContinuousClock()
  func seconds(loops: Int) throws -> Double {
    let start = clock.now
    for _ in 0..<loops { keep(try body()) }
    let (whole, attoseconds) = (clock.now - start).components
    return Double(whole) + Double(attoseconds) * 1e-18
  }

  var loops = 1
  var total = try seconds(loops: 1)
  while total < 0.1 && loops < 1_000_000_000 {
    loops *= total < 0.01 ? 10 : 2
    total = try seconds(loops: loops)
  }
  let runs = total > 3 ? 1 : 7
  let times = try (0..<runs).map { _ in try seconds(loops: loops) / Double(loops) }
  let mean = times.reduce(0, +) / Double(runs)
  let deviation = (times.map { ($0 - mean) * ($0 - mean) }.reduce(0, +) / Double(runs)).squareRoot()
  print(
    "\(duration(mean)) ± \(duration(deviation)) per loop (mean ± standard deviation of \(runs)"
      + " run\(runs == 1 ? "" : "s"), \(loops) loop\(loops == 1 ? "" : "s") each)")
}

@inline(never) @_optimize(none)
private func keep<Value>(_ value: Value) {}

private func duration(_ seconds: Double) -> String {
  let units = [(1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")]
  let (scale, unit) = units.first { seconds >= $0.0 } ?? (1e-9, "ns")
  return String(format: "%.3g ", seconds / scale) + unit
}
