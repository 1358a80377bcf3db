// Texts with classes, from tab- or comma-separated files or JSON lines.
import Foundation
import LoRAFiles
import LoRATensors

/// Texts, each with one of a few classes. Those of a file stay there and are read when they are asked for; what is held
/// of each is its class, in one byte or two.
///
/// ```swift
/// let train = try LabelledText(contentsOf: url, text: "sentence", label: "label")
/// let test = try LabelledText(contentsOf: other, text: "sentence", label: "label", labelNames: train.labelNames)
/// try train.text(at: 0)
/// ```
public struct LabelledText: Sendable {
  /// For each text the position of its class in `labelNames`.
  public let labels: SmallIntegers
  /// The classes, at most 65,536: by number when all are whole numbers, else alphabetically.
  public let labelNames: [String]
  private let source: Source

  private enum Source: Sendable {
    case memory([String])
    case file(TextRows, RowReader)
  }

  /// How many texts there are.
  public var count: Int { labels.count }

  /// Which column: `"sentence"`, a name in the first line (or a JSON key), or `1`, a position counted from 0.
  public enum Column: Equatable, Sendable, ExpressibleByStringLiteral, ExpressibleByIntegerLiteral {
    /// By what the first line, or a JSON key, calls it.
    case named(String)
    /// By its place in the line, counted from 0.
    case position(Int)

    public init(stringLiteral name: String) { self = .named(name) }
    public init(integerLiteral position: Int) { self = .position(position) }
  }

  /// How a file separates texts and labels.
  public enum Format: Equatable, Sendable {
    /// Fields end at a tab; nothing is quoted.
    case tabSeparated
    /// RFC 4180: a field in double quotes may hold commas, line breaks and doubled quotes.
    case commaSeparated
    /// One JSON object a line.
    case jsonLines

    /// By the file's extension: tsv and tab, csv, jsonl and ndjson; a ".gz" behind it is passed over.
    public init?(of file: URL) {
      let file = file.pathExtension.lowercased() == "gz" ? file.deletingPathExtension() : file
      switch file.pathExtension.lowercased() {
      case "tsv", "tab": self = .tabSeparated
      case "csv": self = .commaSeparated
      case "jsonl", "ndjson": self = .jsonLines
      default: return nil
      }
    }

    /// By how the text begins, for what has no extension (a stream): an object, or a line with tabs or commas.
    fileprivate init?(of content: TextContent) throws {
      let start = try content.start()
      let bytes = try content.read(start..<min(content.count, start + 1 << 16))
      let line = bytes.prefix { $0 != UInt8(ascii: "\n") }
      if line.first == UInt8(ascii: "{") {
        self = .jsonLines
      } else if line.contains(UInt8(ascii: "\t")) {
        self = .tabSeparated
      } else if line.contains(UInt8(ascii: ",")) {
        self = .commaSeparated
      } else {
        return nil
      }
    }

    var syntax: RowSyntax {
      switch self {
      case .tabSeparated: .tabs
      case .commaSeparated: .commas
      case .jsonLines: .line
      }
    }
  }

  /// Texts in memory.
  ///
  /// - Parameters:
  ///   - labels: the class of each text, in words.
  ///   - labelNames: the classes, where they are not those of `labels`.
  /// - Throws: `DatasetError` where a label is not one of `labelNames`, or there are too many.
  public init(texts: [String], labels: [String], labelNames: [String]? = nil) throws {
    expect(texts.count == labels.count, "LabelledText: \(texts.count) texts and \(labels.count) labels")
    var classes = try ClassNumbers(labelNames, file: URL(fileURLWithPath: "texts in memory"))
    for (index, label) in labels.enumerated() { try classes.append(label, line: index + 1) }
    (self.labels, self.labelNames) = try classes.finish()
    source = .memory(texts)
  }

  /// - Parameters:
  ///   - text: `nil` finds the column: that of a usual name, or the first of two.
  ///   - label: likewise, or the second of two.
  ///   - format: `nil` takes it from the file's extension; where there is none, from how the text begins.
  ///   - hasHeader: whether the first line names the columns; it must when a column is given by name.
  ///   - labelNames: the classes of the training texts, so that a test file gets the same numbers; `nil` finds them.
  /// - Throws: `DatasetError` that names the file and the line.
  public init(
    contentsOf file: URL, text: Column? = nil, label: Column? = nil, format: Format? = nil, hasHeader: Bool = true,
    labelNames: [String]? = nil
  ) throws {
    let content = file.pathExtension.isEmpty ? try TextContent(file) : nil
    guard let format = try format ?? Format(of: file) ?? content.flatMap({ try Format(of: $0) }) else {
      throw DatasetError(
        .wrongFormat, file: file, found: "the extension \"\(file.pathExtension)\"", expected: "tsv, csv or jsonl",
        advice: "Give it one of these extensions")
    }
    var reader = RowReader(file: file, syntax: format.syntax, text: text, label: label, hasHeader: hasHeader)
    var classes = try ClassNumbers(labelNames, file: file)
    let headerRows = format != .jsonLines && hasHeader ? 1 : 0
    let rows = try TextRows(try content ?? TextContent(file), format.syntax, skipping: headerRows) { row in
      if row.index + headerRows == 0 { try reader.findColumns(in: row) }
      if row.index >= 0 { try classes.append(try reader.read(row).label, line: row.line) }
    }
    guard rows.count > 0 else {
      throw DatasetError(
        .truncated, file: file, found: "no rows", expected: "at least one text with its label",
        advice: "Check that this is the right file")
    }
    (labels, self.labelNames) = try classes.finish()
    source = .file(rows, reader)
  }

  /// - Throws: `DatasetError` where the file has changed meanwhile.
  public func text(at index: Int) throws -> String { try texts(in: index..<index + 1)[0] }

  /// The texts at some places, in that order.
  ///
  /// - Throws: `DatasetError` where the file has changed meanwhile.
  public func texts(at indices: [Int]) throws -> [String] { try indices.map(text) }

  /// Some texts that follow each other. Of a large file take a few thousand at a time.
  public func texts(in range: Range<Int>) throws -> [String] {
    switch source {
    case .memory(let texts): return Array(texts[range])
    case .file(let rows, var reader):
      var texts: [String] = []
      texts.reserveCapacity(range.count)
      try rows.forEach(in: range) { texts.append(try reader.read($0).text) }
      return texts
    }
  }

  /// Calls `body` with all texts in order, a few thousand at a time.
  public func forEachPart(_ body: ([String]) throws -> Void) throws {
    for start in stride(from: 0, to: count, by: 8192) { try body(try texts(in: start..<min(count, start + 8192))) }
  }

  /// The line of the file that a text's row starts in, counted from 1; of texts in memory their place.
  public func line(of index: Int) throws -> Int {
    guard case .file(let rows, _) = source else { return index + 1 }
    var line = 0
    try rows.forEach(in: index..<index + 1) { line = $0.line }
    return line
  }

  /// [4] as "line 4", [4, 7] as "lines 4, 7"; of many the first few and how many more.
  ///
  /// - Parameter total: how many there are, where `lines` are only the first.
  public static func list(lines: [Int], of total: Int? = nil) -> String {
    let total = total ?? lines.count
    return "line\(total == 1 ? "" : "s") " + lines.prefix(5).map(\.grouped).joined(separator: ", ")
      + (total > 5 ? " and \((total - 5).grouped) more" : "")
  }
}
