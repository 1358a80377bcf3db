// Parts of a job on the kernels' threads, with errors.

import Foundation
import LoRACKernels

/// How far an operation has come; handed to the caller's closure, from whichever thread did the last part.
public struct OperationProgress: Sendable {
  /// Bytes (or, where that is said, modules) that are done, and in all.
  public let done: Int
  /// The same in all.
  public let total: Int
  /// What was done last.
  public let item: String

  /// An error that it throws ends the operation, which then leaves nothing behind.
  public typealias Handler = @Sendable (OperationProgress) throws -> Void
}

/// Runs `body` for 0..<parts on the kernels' threads, in that order as far as it goes, and waits for all. After an
/// error the parts that have not begun are skipped, and the first error is thrown.
package func inParallel(_ parts: Int, _ body: @Sendable (Int) throws -> Void) throws {
  try withoutActuallyEscaping(body) { body in
    let work = Unmanaged.passRetained(ParallelWork(body))
    defer { work.release() }
    ck_parallel(
      Int32(parts),
      { context, part in Unmanaged<ParallelWork>.fromOpaque(context!).takeUnretainedValue().run(Int(part)) },
      work.toOpaque())
    try work.takeUnretainedValue().check()
  }
}

private final class ParallelWork: @unchecked Sendable {
  private let body: @Sendable (Int) throws -> Void
  private let lock = NSLock()
  private var error: (any Error)?

  init(_ body: @escaping @Sendable (Int) throws -> Void) {
    self.body = body
  }

  func run(_ part: Int) {
    guard lock.withLock({ error == nil }) else { return }
    do { try body(part) } catch { lock.withLock { if self.error == nil { self.error = error } } }
  }

  func check() throws {
    if let error = lock.withLock({ error }) { throw error }
  }
}

/// Counts what is done and reports it.
package final class ProgressCounter: @unchecked Sendable {
  private let lock = NSLock()
  private var done = 0
  private let total: Int
  private let handler: OperationProgress.Handler?

  package init(total: Int, _ handler: OperationProgress.Handler?) {
    self.total = total
    self.handler = handler
  }

  package func advance(by amount: Int, _ item: String) throws {
    guard let handler else { return }
    try lock.withLock {
      done += amount
      try handler(OperationProgress(done: done, total: total, item: item))
    }
  }
}

/// Float32 numbers from the kernels' pool, for the time of a closure: large blocks are not paged in anew each time.
package func withScratch<Result>(_ count: Int, _ body: (UnsafeMutableBufferPointer<Float>) throws -> Result) rethrows
  -> Result
{
  let bytes = max(count, 1) * MemoryLayout<Float>.stride
  let block = ck_allocate(bytes)!
  defer { ck_deallocate(block, bytes) }
  return try body(UnsafeMutableBufferPointer(start: block.assumingMemoryBound(to: Float.self), count: count))
}

/// The values of `transform` for all elements, in their order, worked out on the kernels' threads.
package func mapInParallel<Element: Sendable, Result: Sendable>(
  _ elements: [Element], _ transform: @Sendable (Element) throws -> Result
) throws -> [Result] {
  let results = Results<Result>(count: elements.count)
  try inParallel(elements.count) { index in results.set(try transform(elements[index]), at: index) }
  return results.values
}

private final class Results<Value: Sendable>: @unchecked Sendable {
  private let lock = NSLock()
  private var slots: [Value?]

  init(count: Int) {
    slots = Array(repeating: nil, count: count)
  }

  func set(_ value: Value, at index: Int) { lock.withLock { slots[index] = value } }

  var values: [Value] { lock.withLock { slots.map { $0! } } }
}
