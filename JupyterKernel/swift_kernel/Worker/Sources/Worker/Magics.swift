import Foundation

/// The lines of a cell that start with `%` or `!`. They are taken out before the cell is compiled, and leave a line of
/// blanks or of Swift, so that lines stay.
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
      %package URL VERSION [Product …]    the same for a package from a repository
      %dynamic PATH [Product …]           the same as %package
      %include FILE                       compile a Swift file as if its text stood in a cell before this one
      %time STATEMENT                     run a statement and tell how long it took; alone, the rest of the cell
      %timeit EXPRESSION                  time an expression over many runs
      !COMMAND                            run a command in the shell
      %help                               this text

    Your own types are shown as pictures or HTML when they conform to CustomPlaygroundDisplayConvertible and their
    playgroundDescription is a dictionary such as ["image/svg+xml": text].
    """

  static let names = ["dynamic", "help", "include", "package", "time", "timeit"]

  func execute(_ cell: String, count: Int) throws {
    let code = try Self.rewriting(cell) { magic in
      let argument = magic.argument
      switch magic.name {
      case "help": print(Self.help)
      case "package", "dynamic": try package(argument)
      case "include": try include(argument, count: count)
      case "timeit":
        guard !argument.isEmpty else { throw usage("%timeit EXPRESSION") }
        return "try _notebookTime { \(argument) }"
      case "time":
        // Where nothing follows, the value is still to be shown, and the clock stops before that.
        return "_notebookStartClock(); \(argument)"
          + (argument.isEmpty || magic.isLast ? "" : "; _notebookStopClock()")
      case "!":
        let quote = "#" + String(repeating: "#", count: argument.count { $0 == "#" })
        return "_notebookShell(\(quote)\"\(argument)\"\(quote))"
      default: throw usage("one of \(Self.names.map { "%\($0)" }.joined(separator: ", ")); not %\(magic.name)")
      }
      return nil
    }
    try session.run(code, name: "Cell\(count)", title: "Cell \(count)")
  }

  /// The Swift of a cell, every byte where it was.
  static func swift(in cell: String) -> String {
    rewriting(cell) { magic in
      guard ["time", "timeit"].contains(magic.name) else { return nil }
      let sign = magic.text.prefix { $0.isWhitespace || $0 == "%" } + magic.name
      return String(repeating: " ", count: sign.utf8.count) + magic.text.dropFirst(sign.count)
    }
  }

  /// A line that is no Swift.
  struct Line {
    let text: Substring
    /// The word after the percent sign, or "!".
    let name: String
    let argument: String
    /// Whether no code follows.
    let isLast: Bool
  }

  /// The cell with each magic line replaced by blanks, or by what `perform` gives for it.
  static func rewriting(_ cell: String, perform: (Line) throws -> String?) rethrows -> String {
    guard cell.contains(where: { $0 == "%" || $0 == "!" }) else { return cell }
    let lines = cell.split(separator: "\n", omittingEmptySubsequences: false)
    let last = lines.lastIndex { !$0.allSatisfy(\.isWhitespace) }
    var isInsideString = false
    var isContinued = false
    return try lines.enumerated().map { index, line in
      if line.ranges(of: "\"\"\"").count % 2 == 1 { isInsideString.toggle() }
      defer {
        if !line.allSatisfy(\.isWhitespace) { isContinued = line.firstMatch(of: /[-+*\/%&|=<>(\[{,:?]\s*$/) != nil }
      }
      guard !isInsideString, let (name, argument) = magic(in: line, isContinued: isContinued) else {
        return String(line)
      }
      let replacement = try perform(Line(text: line, name: name, argument: argument, isLast: index == last))
      return replacement ?? String(repeating: " ", count: line.utf8.count)
    }.joined(separator: "\n")
  }

  private static func magic(in line: Substring, isContinued: Bool) -> (name: String, argument: String)? {
    if let match = line.wholeMatch(of: /\s*%%?([a-z]+)(?:\s+(.*))?/) {
      return (String(match.1), (match.2.map(String.init) ?? "").trimmingCharacters(in: .whitespaces))
    }
    // Swift's own `!` is seldom the first sign of a line, unless the line before goes on there.
    if !isContinued, let match = line.wholeMatch(of: /!\s*([^\s=].*)/) { return ("!", String(match.1)) }
    return nil
  }

  private func package(_ argument: String) throws {
    let words = try Self.words(argument)
    guard let place = words.first else {
      throw usage("%package PATH [Product …], or %package URL VERSION [Product …]")
    }
    let isRemote = place.contains("://") || place.hasPrefix("git@")
    let origin: PackageOrigin =
      isRemote
      ? try .repository(url: place, version: words.dropFirst().first ?? "")
      : try .folder(URL(fileURLWithPath: (place as NSString).expandingTildeInPath))
    let products = Array(words.dropFirst(isRemote ? 2 : 1))
    try session.packages.load(origin, products: products, with: session.toolchain)
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
