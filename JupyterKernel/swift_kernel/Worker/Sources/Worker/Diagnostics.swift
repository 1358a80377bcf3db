import Foundation

/// What the compiler said of a cell, told with the cell's own lines.
struct Diagnostics {
  struct Entry {
    let file: String
    let line: Int
    let column: Int
    let severity: String
    let message: String
  }

  let entries: [Entry]
  /// What the compiler said of no place in particular.
  let remarks: [String]

  init(output: String) {
    let pattern = /^(.+?):(\d+):(\d+): (error|note|warning): (.*)$/
    let placeless = /^(?:<unknown>:0: |swift-frontend: |ld\.lld: )?error: (.*)$/
    var entries: [Entry] = []
    var remarks: [String] = []
    for line in output.split(separator: "\n") {
      if let match = line.firstMatch(of: pattern) {
        let entry = Entry(
          file: URL(fileURLWithPath: String(match.1)).lastPathComponent, line: Int(match.2) ?? 0,
          column: Int(match.3) ?? 0, severity: String(match.4), message: String(match.5))
        if entry.severity != "warning" { entries.append(entry) }
      } else if let match = line.firstMatch(of: placeless) {
        remarks.append(String(match.1))
      }
    }
    self.entries = entries
    self.remarks = remarks
  }

  /// What a notebook's reader can do about errors that a file of Swift would not have.
  private static let hints = [
    (
      "redundant conformance",
      "An earlier cell has already declared this conformance. Restart the kernel to declare it anew."
    ),
    (
      "circular reference",
      "A cell can't define a name anew from its earlier value: assign to it (x = x + 1), or choose another name."
    ),
  ]

  /// Whether a name is not found that some import might bring.
  var missesAName: Bool {
    entries.contains {
      $0.severity == "error" && $0.message.firstMatch(of: /cannot find|no member|no such|no exact/) != nil
    }
  }

  /// - Parameters:
  ///   - title: how to name the cell, such as "Cell 5".
  ///   - source: the cell as the user wrote it.
  ///   - hint: what its reader can do.
  func failure(title: String, source: String, output: String, hint: String? = nil) -> CellFailure {
    let lines = source.split(separator: "\n", omittingEmptySubsequences: false)
    var traceback: [String] = []
    var shown = 0
    var firstError: String?
    for entry in entries where shown < 20 {
      shown += entry.severity == "error" ? 1 : 0
      var place = "\(entry.file):\(entry.line):\(entry.column):"
      var excerpt: [String] = []
      if entry.file == "main.swift", lines.indices.contains(entry.line - 1) {
        let line = lines[entry.line - 1]
        // The compiler counts bytes, a reader characters.
        let before = Substring(line.utf8.prefix(max(0, entry.column - 1)))
        place = "\(title):\(entry.line):\(before.count + 1):"
        // Tabs stay tabs, so that the caret stands under its character.
        let indent = String(before.map { $0 == "\t" ? "\t" : " " })
        excerpt = ["  \(line)", "  \(indent)\(Style.green("^"))"]
      }
      let severity = entry.severity == "error" ? Style.red("error") : Style.bold(entry.severity)
      traceback.append("\(Style.bold(place)) \(severity): \(entry.message)")
      traceback += excerpt
      if entry.severity == "error" { firstError = firstError ?? "\(place) \(entry.message)" }
    }
    for (sign, hint) in Self.hints where entries.contains(where: { $0.message.contains(sign) }) {
      traceback.append(hint)
    }
    traceback += hint.map { [$0] } ?? []
    traceback += remarks.prefix(10).map { "\(Style.red("error")): \($0)" }
    if traceback.isEmpty { traceback = output.split(separator: "\n").suffix(20).map(String.init) }
    let message = firstError ?? remarks.first ?? "the compiler failed"
    return CellFailure(name: "Compile error", message: message, traceback: traceback)
  }
}
