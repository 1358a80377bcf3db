/// Why a cell did not finish, as Jupyter's `execute_reply` says it.
struct CellFailure: Error {
  var name: String
  var message: String
  /// Lines to show instead of "name: message".
  var traceback: [String] = []

  var reply: [String: Any] {
    let lines = traceback.isEmpty ? ["\(Style.red(name)): \(message)"] : traceback
    return ["status": "error", "ename": name, "evalue": message, "traceback": lines]
  }
}

extension CellFailure {
  init(_ error: any Error) {
    self = error as? CellFailure ?? CellFailure(name: "Kernel error", message: "\(error)")
  }

  var isInterrupt: Bool { name == Self.interrupted.name }

  static let interrupted = CellFailure(
    name: "Interrupted", message: "the cell was interrupted; what earlier cells defined is kept.")
}

/// Terminal colours, which notebooks render in tracebacks.
enum Style {
  static func red(_ text: String) -> String { "\u{1B}[1;31m\(text)\u{1B}[0m" }
  static func bold(_ text: String) -> String { "\u{1B}[1m\(text)\u{1B}[0m" }
  static func green(_ text: String) -> String { "\u{1B}[1;32m\(text)\u{1B}[0m" }
}
