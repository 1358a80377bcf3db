/// Stops the program, in release builds too, with words where a caller broke a contract that it could have kept:
/// shapes that don't fit, a rank that is too large.
///
///     expect(rank == 2, "rows: a matrix is needed, found shape \(shape)")
///
/// The message names the operation first, then what was found. Swift's `precondition` drops its message in release
/// builds, where most programs and all notebooks run. What a caller can't know beforehand (files, names, data)
/// throws instead.
@inlinable
package func expect(
  _ condition: @autoclosure () -> Bool, _ message: @autoclosure () -> String, file: StaticString = #fileID,
  line: UInt = #line
) {
  if !condition() { fatalError(message(), file: file, line: line) }
}
