// How the rows of a table are written, told from the file's name and its first bytes.

import Foundation
import LoRAFiles
import LoRATensors

/// A table's content as rows that can be found again, and what separates their fields.
struct TableFormat {
  let content: TextContent
  let syntax: RowSyntax
  let name: String

  /// - Parameter format: what is known already; nil tells it from the file.
  /// - Throws: `DatasetError` where it is no table.
  init(_ original: TextContent, _ format: LabelledText.Format?) throws {
    let file = original.file
    try original.requireText()
    let start = try original.start()
    let beginning = try original.read(start..<min(original.count, start + 1 << 16))
    let first = beginning.first { !" \t\r\n".utf8.contains($0) }
    let named = format ?? LabelledText.Format(of: file)
    let isJSONName = ["json", "jsonl", "ndjson"].contains(TableFormat.pathExtension(of: file))
    if first == UInt8(ascii: "["), isJSONName || TableFormat.isArrayOfObjects(beginning) {
      (content, syntax, name) = (try original.elementLines(), .line, "a JSON list")
      return
    }
    let line = beginning.prefix { $0 != UInt8(ascii: "\n") }
    let isRow = TableFormat.isObject(line, of: beginning)
    if named == .jsonLines || isJSONName || isRow {
      // An object that is all there is may hold the list.
      let hasMore = beginning[line.endIndex...].contains { !" \t\r\n".utf8.contains($0) }
      let isHolder = try first == UInt8(ascii: "{") && !(isRow && hasMore) && JSONElements.isHeld(in: original)
      content = isHolder ? try original.elementLines() : original
      (syntax, name) = (.line, isHolder ? "a JSON list" : "JSON lines")
      return
    }
    let text = try original.withLineFeeds()
    let head = text === original ? beginning : try text.read(start..<min(text.count, start + 1 << 16))
    guard let (separator, quotes) = try TableFormat.separator(in: text, beginning: head, named) else {
      throw DatasetError(
        .wrongFormat, file: file, found: "the extension \"\(file.pathExtension)\" and no columns in the first line",
        expected: "tsv, csv, json or jsonl",
        advice: "Write a row for each text, with a tab before its label, or JSON, and say so by one of these extensions"
      )
    }
    content = text
    syntax = .delimited(separator: separator, quotes: quotes)
    name =
      switch separator {
      case UInt8(ascii: "\t"): "tabs"
      case UInt8(ascii: ";"): "semicolons"
      case UInt8(ascii: "|"): "bars"
      default: "commas"
      }
  }

  static func pathExtension(of file: URL) -> String {
    (file.pathExtension.lowercased() == "gz" ? file.deletingPathExtension() : file).pathExtension.lowercased()
  }

  /// What separates fields: the one that the name says, unless the rows speak for another.
  private static func separator(
    in text: TextContent, beginning: [UInt8], _ format: LabelledText.Format?
  ) throws -> (UInt8, quotes: Bool)? {
    let line = beginning.prefix { $0 != UInt8(ascii: "\n") }
    let (tab, comma) = (UInt8(ascii: "\t"), UInt8(ascii: ","))
    let usual = format == .tabSeparated ? tab : format == .commaSeparated ? comma : nil
    if usual == nil, format != nil { return nil }
    let present = [tab, comma, UInt8(ascii: ";"), UInt8(ascii: "|")].filter(line.contains)
    // One that cuts every row into as many fields.
    func isEven(_ separator: UInt8, quotes: Bool) -> Bool {
      var (counts, fields): (Set<Int>, [RowField]) = ([], [])
      let syntax = RowSyntax.delimited(separator: separator, quotes: quotes)
      do {
        try TextRows.forEachFirst(50, of: text, syntax) { row in
          syntax.split(row.bytes, into: &fields)
          counts.insert(fields.count)
        }
      } catch { return false }
      return counts.count == 1 && counts.first! > 1
    }
    // Fields between tabs may hold line breaks in quotes.
    func isEven(_ separator: UInt8) -> Bool {
      isEven(separator, quotes: separator != tab) || separator == tab && isEven(tab, quotes: true)
    }
    var chosen = usual
    if usual == nil || !present.contains(usual!) || !isEven(usual!) {
      chosen = present.first(where: isEven) ?? usual ?? present.first
    }
    guard let chosen else { return nil }
    let isBroken = chosen == tab && !isEven(tab, quotes: false) && isEven(tab, quotes: true)
    return (chosen, try chosen != tab || isBroken || areTabsQuoted(text))
  }

  /// Whether fields between tabs are quoted, as Python's csv writes them: some whole field, with doubled quotes in it, and
  /// no field with a quote that is not closed.
  private static func areTabsQuoted(_ text: TextContent) throws -> Bool {
    var (isQuoted, isLoose, everyFirst) = (false, false, true)
    var (fields, count): ([RowField], Int) = ([], 0)
    try TextRows.forEachFirst(TableSample.size, of: text, .tabs) { row in
      RowSyntax.tabs.split(row.bytes, into: &fields)
      var hasQuoted = false
      for field in fields where !field.rest.isEmpty && row.bytes[field.rest.lowerBound] == UInt8(ascii: "\"") {
        let bytes = row.bytes[field.rest]
        guard bytes.count > 1, bytes.last == UInt8(ascii: "\"") else {
          isLoose = true
          return
        }
        let inner = String(decoding: bytes.dropFirst().dropLast(), as: UTF8.self)
        let rest = inner.replacing("\"\"", with: "")
        if rest.contains("\"") { isLoose = true }
        if rest.count < inner.count { isQuoted = true }
        hasQuoted = true
      }
      if count > 0, !hasQuoted { everyFirst = false }
      count += 1
    }
    return !isLoose && (isQuoted || everyFirst && count > 4)
  }

  private static func isObject(_ line: ArraySlice<UInt8>, of beginning: [UInt8]) -> Bool {
    guard line.first == UInt8(ascii: "{") else { return false }
    let isCut = line.count == beginning.count && beginning.count == 1 << 16
    return isCut || (try? Array(line).withUnsafeBytes { try JSON(parsing: $0, holdsTexts: true) }) != nil
  }

  private static func isArrayOfObjects(_ bytes: [UInt8]) -> Bool {
    bytes.drop { " \t\r\n".utf8.contains($0) }.dropFirst().first { !" \t\r\n".utf8.contains($0) } == UInt8(ascii: "{")
  }
}
