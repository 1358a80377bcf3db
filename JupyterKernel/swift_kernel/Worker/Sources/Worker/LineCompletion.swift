import Foundation

/// Completion of what no compiler knows: the names of magics, and paths in magics, in commands and in strings.
struct LineCompletion {
  let matches: [String]
  /// Where the text that the matches replace starts, in UTF-8 bytes of the cell.
  let start: Int

  /// - Parameter typed: the cell up to the cursor.
  /// - Returns: nil where the compiler is to be asked.
  init?(_ typed: String) {
    let line = typed.split(separator: "\n", omittingEmptySubsequences: false).last ?? ""
    let replaced: Substring
    if let match = line.wholeMatch(of: /\s*(%%?[a-z]*)/) {
      replaced = match.1
      let percent = replaced.hasPrefix("%%") ? "%%" : "%"
      matches = Magics.names.map { percent + $0 }.filter { $0.hasPrefix(replaced) }
    } else if let match = line.wholeMatch(of: /(?:\s*%%?(?:package|dynamic|include)\s|!).*?("[^"]*|[^\s"]*)/) {
      let isQuoted = match.1.hasPrefix("\"")
      replaced = isQuoted ? match.1.dropFirst() : match.1
      matches = Self.paths(startingWith: String(replaced))
    } else if let quote = Self.openQuote(in: line) {
      replaced = line[line.index(after: quote)...]
      matches = Self.paths(startingWith: String(replaced))
      if matches.isEmpty { return nil }
    } else {
      return nil
    }
    start = typed.utf8.count - replaced.utf8.count
  }

  /// Files and folders, hidden ones where a dot asks for them; a folder ends with a slash.
  private static func paths(startingWith typed: String) -> [String] {
    let slash = typed.lastIndex(of: "/").map { typed.index(after: $0) } ?? typed.startIndex
    let (folder, beginning) = (String(typed[..<slash]), typed[slash...])
    let path = folder.isEmpty ? "." : (folder as NSString).expandingTildeInPath
    let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    return names.filter { $0.hasPrefix(beginning) && (beginning.hasPrefix(".") || !$0.hasPrefix(".")) }.sorted()
      .map { name in
        let isFolder = URL(fileURLWithPath: path).appendingPathComponent(name).hasDirectoryPath
        return folder + name + (isFolder ? "/" : "")
      }
  }

  /// The quotation mark of a string that has not ended on this line.
  private static func openQuote(in line: Substring) -> Substring.Index? {
    var open: Substring.Index?
    var isEscaped = false
    for index in line.indices {
      if line[index] == "\"" && !isEscaped { open = open == nil ? index : nil }
      isEscaped = line[index] == "\\" && !isEscaped
    }
    return open
  }
}
