import Foundation

/// The lines of a cell that start with `%`. They are taken out before the cell is compiled, and leave a line of
/// blanks, so that lines and columns stay.
struct Magics {
  let session: Session

  static let help = """
    The cells of this notebook are compiled, optimised, one after the other. What a cell defines, later cells see;
    a new definition of a name takes the place of the old one in later cells. The value of a last expression is
    shown, unless a semicolon follows it.

      display(x), display(x, id: "name")  show a value now; the same id again replaces it in place
      display(.html("…"))                 also .svg, .markdown, .latex, .png(data), .jpeg(data)
      clearOutput()                       remove what this cell has shown
      %package PATH [Product …]           build a SwiftPM package and make its libraries importable
      %dynamic PATH [Product …]           the same
      %include FILE                       compile a Swift file as if its text stood in a cell before this one
      %timeit EXPRESSION                  time an expression over many runs
      %help                               this text

    Your own types are shown as pictures or HTML when they conform to CustomPlaygroundDisplayConvertible and their
    playgroundDescription is a dictionary such as ["image/svg+xml": text].
    """

  func execute(_ cell: String, count: Int) throws {
    let code = try Self.rewriting(cell) { name, argument in
      switch name {
      case "help": print(Self.help)
      case "package", "dynamic": try package(argument)
      case "include": try include(argument, count: count)
      case "timeit":
        guard !argument.isEmpty else { throw usage("%timeit EXPRESSION") }
        return "try _notebookTime { \(argument) }"
      default: throw usage("one of %package, %dynamic, %include, %timeit and %help; not %\(name)")
      }
      return nil
    }
    try session.run(code, name: "Cell\(count)", title: "Cell \(count)")
  }

  /// The cell with each magic line replaced by blanks, or by what `perform` gives for it.
  static func rewriting(
    _ cell: String, perform: (_ name: String, _ argument: String) throws -> String?
  ) rethrows -> String {
    guard cell.contains("%") else { return cell }
    var isInsideString = false
    return try cell.split(separator: "\n", omittingEmptySubsequences: false).map { line in
      if line.count(of: "\"\"\"") % 2 == 1 { isInsideString.toggle() }
      let trimmed = line.drop(while: \.isWhitespace)
      guard !isInsideString, let match = trimmed.prefixMatch(of: /%%?([a-z]+)(?:\s+(.*))?$/) else {
        return String(line)
      }
      let argument = match.2.map(String.init) ?? ""
      let replacement = try perform(String(match.1), argument.trimmingCharacters(in: .whitespaces))
      return replacement ?? String(repeating: " ", count: line.utf8.count)
    }.joined(separator: "\n")
  }

  private func package(_ argument: String) throws {
    let words = try Self.words(argument)
    guard let path = words.first else { throw usage("%package PATH [Product …]") }
    let url = URL(fileURLWithPath: (path as NSString).expandingTildeInPath)
    try session.packages.load(package: url, products: Array(words.dropFirst()), with: session.toolchain)
  }

  private func include(_ argument: String, count: Int) throws {
    guard let path = try Self.words(argument).first else { throw usage("%include FILE") }
    let url = URL(fileURLWithPath: (path as NSString).expandingTildeInPath)
    guard let text = try? String(contentsOf: url, encoding: .utf8) else {
      throw CellFailure(
        name: "Include error",
        message: "\(url.path) can't be read. Relative paths start at the notebook's folder, "
          + FileManager.default.currentDirectoryPath + ".")
    }
    try session.run(text, name: "Cell\(count)_include", title: url.lastPathComponent)
  }

  /// Words, of which one with blanks may stand in double quotes.
  private static func words(_ text: String) throws -> [String] {
    text.matches(of: /"([^"]*)"|(\S+)/).map { String($0.1 ?? $0.2 ?? "") }
  }

  private func usage(_ text: String) -> CellFailure {
    CellFailure(name: "Usage", message: text)
  }
}

extension Substring {
  fileprivate func count(of text: String) -> Int { ranges(of: text).count }
}
