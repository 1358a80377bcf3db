import CNotebook
import Foundation

/// The error that ended the running cell.
package final class UncaughtError: @unchecked Sendable {
  package static let last = UncaughtError()
  package var typeName = ""
  package var description = ""
}

/// The linker's `--wrap=swift_errorInMain` sends a cell's uncaught error here.
@_cdecl("__wrap_swift_errorInMain")
public func _notebookUncaught(_ box: UnsafeMutableRawPointer) {
  let error = unsafeBitCast(box, to: (any Error).self)
  UncaughtError.last.typeName = String(describing: type(of: error))
  UncaughtError.last.description = (error as? any LocalizedError)?.errorDescription ?? String(describing: error)
  if error is CancellationError && notebook_interrupt_requested() {
    notebook_end_cell(notebook_interrupted, SIGINT)
  }
  notebook_end_cell(notebook_threw, 0)
}
