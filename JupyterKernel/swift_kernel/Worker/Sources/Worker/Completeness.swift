import Foundation

/// Whether what has been typed so far is a whole cell, as a console asks at the end of each line.
struct Completeness {
  /// Code that more text could make right; the next line is to begin with `indent`.
  let isIncomplete: Bool
  let isValid: Bool
  let indent: String

  /// Asks the compiler's parser: code is unfinished where the first thing it misses is missing at the very end.
  init(of cell: String, in session: Session) throws {
    let code = Magics.swift(in: cell)
    let file = session.scratch.appendingPathComponent("typed.swift")
    try Disk.write(code, to: file)
    let parse = try session.parse(file)
    if let error = Diagnostics(output: parse.output).entries.first(where: { $0.severity == "error" }) {
      isIncomplete = Self.isMissingAtTheEnd(error, of: code)
      isValid = false
    } else {
      isIncomplete = ParsedCell(source: code, tree: parse.output)?.endsWithoutBody ?? false
      isValid = true
    }
    indent = Self.indentation(after: cell)
  }

  var reply: [String: Any] {
    guard isIncomplete else { return ["status": isValid ? "complete" : "invalid"] }
    return ["status": "incomplete", "indent": indent]
  }

  private static func isMissingAtTheEnd(_ error: Diagnostics.Entry, of code: String) -> Bool {
    let lines = code.split(separator: "\n", omittingEmptySubsequences: false)
    guard lines.indices.contains(error.line - 1) else { return true }
    let line = lines[error.line - 1]
    let rest = Substring(line.utf8.dropFirst(max(0, error.column - 1)))
    if error.message.hasPrefix("unterminated string literal") {
      return rest.prefixMatch(of: /#*"""/) != nil  // another line can't close any other
    }
    return ([rest] + lines[error.line...]).allSatisfy { $0.allSatisfy(\.isWhitespace) }
  }

  /// That of the last line, and one step more where it opens something.
  private static func indentation(after cell: String) -> String {
    let last = cell.split(separator: "\n").last { !$0.allSatisfy(\.isWhitespace) } ?? ""
    let opens = last.firstMatch(of: /[{(\[]\s*$/) != nil || last.firstMatch(of: /\{[^}]*\bin\s*$/) != nil
    return last.prefix(while: \.isWhitespace) + (opens ? "  " : "")
  }
}
