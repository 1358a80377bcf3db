import Foundation
import LoRAFiles
import LoRATensors

/// The examples of a data file, or of a folder of them, read front to back: JSON lines, a JSON array, or a table with
/// commas or tabs, gzipped or not. Which columns hold what is told by their names, and can be asked.
///
/// ```swift
/// for file in try LanguageExamples.files(at: url) {
///   try LanguageExamples(file).forEachExample { example, place in … }
/// }
/// ```
public struct LanguageExamples {
  /// How a file's rows are written.
  public enum Format: Equatable, Sendable {
    /// One JSON object a line.
    case jsonLines
    /// A JSON array of objects, or an object that holds one.
    case json
    /// Fields between commas, with a line of names.
    case commaSeparated
    /// Fields between tabs, with a line of names.
    case tabSeparated
    /// A text, all of it.
    case plain
  }

  /// The file.
  public let file: URL
  /// How its rows are written.
  public let format: Format
  /// The file's bytes, unpacked.
  package let content: TextContent

  /// Opens a file. A name's ending says what it is; of one that ends in "json", its first bytes.
  ///
  /// - Throws: `DatasetError` where it can't be read, or is no text.
  public init(_ file: URL) throws {
    self.file = file
    content = try TextContent(file)
    try content.requireText()
    let name = file.pathExtension.lowercased() == "gz" ? file.deletingPathExtension() : file
    switch name.pathExtension.lowercased() {
    case "jsonl", "ndjson": format = .jsonLines
    case "json", "ipynb": format = try LanguageExamples.isLines(content) ? .jsonLines : .json
    case "csv": format = .commaSeparated
    case "tsv", "tab": format = .tabSeparated
    // A stream has no name, and a name may not say it.
    default: format = try LanguageExamples.formatByContent(content)
    }
  }

  /// Of what no name tells: JSON where it begins so.
  private static func formatByContent(_ content: TextContent) throws -> Format {
    let start = try content.start()
    switch try content.read(start..<min(content.count, start + 1)).first {
    case UInt8(ascii: "{"):
      // Programs and sets of numbers begin so too.
      return try isLines(content) ? .jsonLines : try JSONElements.isHeld(in: content) ? .json : .plain
    case UInt8(ascii: "["):
      // A play may begin with a bracket too.
      let second = try content.read(start..<min(content.count, start + 1000)).dropFirst().first {
        !" \t\r\n".utf8.contains($0)
      }
      return second == UInt8(ascii: "{") ? .json : .plain
    default: return .plain
    }
  }

  /// Whether a file's first line is an object by itself, and more follows, or it is a row of its own.
  private static func isLines(_ content: TextContent) throws -> Bool {
    let start = try content.start()
    let bytes = try content.read(start..<min(content.count, start + 1 << 20))
    guard bytes.first(where: { !" \t\r\n".utf8.contains($0) }) == UInt8(ascii: "{") else { return false }
    let line = bytes.prefix { $0 != UInt8(ascii: "\n") }
    guard case .object(let members)? = line.withUnsafeBytes({ try? JSON(parsing: $0, holdsTexts: true) }) else {
      return false
    }
    let hasMore = bytes[line.endIndex...].contains { !" \t\r\n".utf8.contains($0) }
    return hasMore || ExampleColumns(members.map(\.key)) != nil
  }

  /// The row that a file is by itself, over several lines: an object whose keys are columns.
  private func onlyRow() throws -> JSON? {
    let start = try content.start()
    var keys: [String] = []
    try content.read(start..<min(content.count, start + 1 << 20)).withUnsafeBytes { bytes in
      var reader = JSONReader(bytes, holdsTexts: true)
      try? reader.readObject { reader, key throws(JSONError) in
        keys.append(key)
        try reader.skipValue()
      }
    }
    guard ExampleColumns(keys) != nil, content.count - start <= TextRows.longest else { return nil }
    return try content.read(start..<content.count).withUnsafeBytes { try? JSON(parsing: $0, holdsTexts: true) }
  }

  /// The data files at a path: the file itself, or those in a folder and the folders in it, in the order of their names.
  ///
  /// - Throws: `DatasetError` where a folder holds none, or holds what `datasets` saved.
  public static func files(at url: URL) throws -> [URL] {
    guard isDirectory(url) else { return [url] }
    for name in ["config.json", "adapter_config.json"]
    where FileManager.default.fileExists(atPath: url.appendingPathComponent(name).path) {
      throw DatasetError(
        .wrongFormat, file: url, found: "a folder of a model or an adapter (\(name))", expected: "data files",
        advice: "Name a file, or a folder of data files")
    }
    var files: [URL] = []
    let entries = FileManager.default.enumerator(
      at: url, includingPropertiesForKeys: nil, options: [.skipsHiddenFiles])
    while let file = entries?.nextObject() as? URL, files.count < 100_000 {
      let name = file.pathExtension.lowercased() == "gz" ? file.deletingPathExtension() : file
      switch name.pathExtension.lowercased() {
      case "arrow":
        throw DatasetError(
          .wrongFormat, file: url, found: "what datasets' save_to_disk writes (Arrow)",
          expected: "JSON lines, JSON or csv",
          advice:
            "Convert it: python -c \"import datasets; datasets.load_from_disk('\(url.path)').to_json('data.jsonl')\"")
      case "jsonl", "ndjson", "json", "csv", "tsv", "tab", "txt": if !isDirectory(file) { files.append(file) }
      case "parquet": if !isDirectory(file) { files.append(file) }
      default: break
      }
    }
    files.removeAll {
      ["dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"].contains($0.lastPathComponent)
    }
    guard !files.isEmpty else {
      throw DatasetError(
        .missing, file: url, found: "a folder without data files",
        expected: "files that end in jsonl, json, csv, tsv or txt",
        advice: "Name another folder, or a file")
    }
    return files.sorted { $0.path.utf8.lexicographicallyPrecedes($1.path.utf8) }
  }

  /// Calls `body` with every example.
  ///
  /// - Parameter body: is given an example, and the line in which it begins.
  /// - Returns: which columns were taken, those of the first row first; none where there is no row.
  /// - Throws: `DatasetError` that names the file and the line. Of a plain text there are no examples.
  @discardableResult
  public func forEachExample(
    _ body: (LanguageExample, _ line: Int) throws -> Void
  ) throws -> [ExampleColumns] {
    var readers: [ExampleReader] = []
    func take(_ row: JSON, _ line: Int) throws {
      let example: LanguageExample
      do throws(ExampleReader.Problem) {
        if readers.isEmpty { readers.append(try ExampleReader(first: row)) }
        example = try readers[0].example(row)
      } catch {
        // A file may hold rows of several kinds.
        guard let other = try? ExampleReader(first: row), other.columns != readers.first?.columns else {
          throw problem(error, line)
        }
        do throws(ExampleReader.Problem) { example = try other.example(row) } catch { throw problem(error, line) }
        if !readers.contains(where: { $0.columns == other.columns }) { readers.append(other) }
      }
      try body(example, line)
    }
    switch format {
    case .jsonLines: try forEachLine(of: content, take)
    case .json:
      if let row = try onlyRow() {
        try take(row, 1)
      } else {
        try JSONElements(content).forEachElement { element, line in try take(element, line) }
      }
    case .commaSeparated, .tabSeparated:
      let table = try TableFormat(content, format == .commaSeparated ? .commaSeparated : .tabSeparated)
      if case .line = table.syntax { try forEachLine(of: table.content, take) } else { try forEachRow(of: table, take) }
    case .plain: break
    }
    return readers.map(\.columns)
  }

  /// JSON lines as objects.
  private func forEachLine(of content: TextContent, _ take: (JSON, Int) throws -> Void) throws {
    _ = try TextRows(linesOf: content) { row in
      let json: JSON
      do { json = try JSON(parsing: row.bytes, holdsTexts: true) } catch {
        guard String(validating: row.bytes, as: UTF8.self) != nil else {
          throw TextContent.notUTF8(file, line: row.line)
        }
        throw problem(.init(found: "no valid JSON (\(error))", expected: "one JSON object a line"), row.line)
      }
      try take(json, row.line)
    }
  }

  /// The rows of a table as objects.
  private func forEachRow(of table: TableFormat, _ take: (JSON, Int) throws -> Void) throws {
    var (names, fields): ([String], [RowField]) = ([], [])
    _ = try TextRows(table.content, table.syntax, skipping: 1) { row in
      table.syntax.split(row.bytes, into: &fields)
      let texts = try fields.map { try RowReader.text(of: $0, in: row, of: table.content) }
      guard row.index >= 0 else {
        names = texts
        // What the names say shall be known of a table without rows too.
        do throws(ExampleReader.Problem) {
          _ = try ExampleReader(first: .object(names.map { JSON.Member($0, .null) }))
        } catch { throw problem(error, row.line) }
        return
      }
      guard texts.count == names.count else {
        throw problem(
          .init(
            found: texts.count.counted("field"),
            expected: "\(names.count), as the first line has",
            advice: "Check that line's separators and quotes"), row.line)
      }
      try take(.object(zip(names, texts).map { JSON.Member($0, .string($1)) }), row.line)
    }
  }

  private func problem(_ problem: ExampleReader.Problem, _ line: Int) -> DatasetError {
    DatasetError(
      .wrongFormat, file: file, found: "\(problem.found) in line \(line.grouped)", expected: problem.expected,
      advice: "\(problem.advice)")
  }
}
