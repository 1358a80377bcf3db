/// Whether the running cell has given all its variables their values.
package final class Definitions: @unchecked Sendable {
  package static let shared = Definitions()
  package var complete = true
}

/// The kernel calls this after the last variable of a cell.
public func _notebookDefined() {
  Definitions.shared.complete = true
}
