// Texts with classes, from tab- or comma-separated files or JSON lines.
import Foundation

/// Texts, each with one of a few classes.
///
/// ```swift
/// let train = try LabelledText(contentsOf: url, text: "sentence", label: "label")
/// let test = try LabelledText(contentsOf: other, text: "sentence", label: "label", labelNames: train.labelNames)
/// ```
public struct LabelledText: Equatable, Sendable {
  /// In the order of the file.
  public let texts: [String]
  /// For each text the position of its class in `labelNames`.
  public let labels: [Int]
  /// The classes: by number when all are whole numbers, else alphabetically.
  public let labelNames: [String]
  /// For each text the line of the file that its row starts in, counted from 1.
  public let lines: [Int]

  /// How many texts there are.
  public var count: Int { texts.count }

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

    /// By the file's extension: tsv and tab, csv, jsonl and ndjson.
    public init?(of file: URL) {
      switch file.pathExtension.lowercased() {
      case "tsv", "tab": self = .tabSeparated
      case "csv": self = .commaSeparated
      case "jsonl", "ndjson": self = .jsonLines
      default: return nil
      }
    }
  }

  /// - Parameters:
  ///   - file: the file to read.
  ///   - text: the column of the texts.
  ///   - label: the column of the classes.
  ///   - format: `nil` takes it from the file's extension.
  ///   - hasHeader: whether the first line names the columns; it must when a column is given by name.
  ///   - labelNames: the classes of the training texts, so that a test file gets the same numbers; `nil` finds them.
  /// - Throws: `DatasetError` that names the file and the line.
  public init(
    contentsOf file: URL, text: Column, label: Column, format: Format? = nil, hasHeader: Bool = true,
    labelNames: [String]? = nil
  ) throws {
    guard let format = format ?? Format(of: file) else {
      throw DatasetError(
        .wrongFormat, file: file, found: "the extension \"\(file.pathExtension)\"", expected: "tsv, csv or jsonl",
        advice: "Give it one of these extensions.")
    }
    let content = try LabelledText.decode(file)
    let records =
      try format == .jsonLines
      ? JSONRecords.read(content, keys: [text, label], file: file)
      : DelimitedRecords(
        separator: format == .commaSeparated ? "," : "\t", quotes: format == .commaSeparated, file: file
      )
      .read(content, columns: [text, label], hasHeader: hasHeader)
    guard !records.isEmpty else {
      throw DatasetError(
        .truncated, file: file, found: "no rows", expected: "at least one text with its label",
        advice: "Check that this is the right file.")
    }
    let unlabelled = records.filter { record in record.fields[1].allSatisfy(\.isWhitespace) }
    guard unlabelled.isEmpty else {
      throw DatasetError(
        .wrongFormat, file: file, found: "no label in \(LabelledText.list(lines: unlabelled.map(\.line)))",
        expected: "a label for every text", advice: "Give those texts a label, or remove them.")
    }
    let names = labelNames ?? LabelledText.names(of: records.map { $0.fields[1] })
    let positions = Dictionary(names.enumerated().map { ($1, $0) }) { first, _ in first }
    let unseen = records.filter { positions[$0.fields[1]] == nil }
    guard unseen.isEmpty else {
      let found = LabelledText.names(of: unseen.map { $0.fields[1] }).prefix(5).map { name in
        "label \"\(name)\" in \(LabelledText.list(lines: unseen.filter { $0.fields[1] == name }.map(\.line)))"
      }
      let more = Set(unseen.map { $0.fields[1] }).count - found.count
      throw DatasetError(
        .labelOutOfRange, file: file,
        found: found.joined(separator: ", ") + (more > 0 ? " and \(more) more unknown labels" : ""),
        expected: names.count > 12 ? "one of \(names.count) known labels" : "one of \(names.joined(separator: ", "))",
        advice: "Train and test with the same set of labels.")
    }
    texts = records.map { $0.fields[0] }
    labels = records.map { positions[$0.fields[1]]! }
    lines = records.map(\.line)
    self.labelNames = names
  }

  private static func decode(_ file: URL) throws -> String {
    let reader = try ByteReader(file)
    var bytes: [UInt8] = []
    while true {
      let chunk = try [UInt8](unsafeUninitializedCapacity: 1 << 16) { buffer, count in
        count = try reader.read(into: UnsafeMutableRawBufferPointer(buffer))
      }
      guard !chunk.isEmpty else { break }
      bytes += chunk
    }
    if let text = String(validating: bytes, as: UTF8.self) {
      return text.first == "\u{FEFF}" ? String(text.dropFirst()) : text
    }
    let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    let line = lines.firstIndex { String(validating: $0, as: UTF8.self) == nil } ?? 0
    throw DatasetError(
      .wrongFormat, file: file, found: "bytes that are not UTF-8 in line \((line + 1).grouped)", expected: "UTF-8 text",
      advice: "Convert the file, for example with iconv.")
  }

  /// [4] as "line 4", [4, 7] as "lines 4, 7"; of many the first few and how many more.
  public static func list(lines: [Int]) -> String {
    "line\(lines.count == 1 ? "" : "s") " + lines.prefix(5).map(\.grouped).joined(separator: ", ")
      + (lines.count > 5 ? " and \((lines.count - 5).grouped) more" : "")
  }

  private static func names(of labels: [String]) -> [String] {
    let distinct = Set(labels)
    let numbers = distinct.compactMap { Int($0) }
    guard numbers.count == distinct.count else { return distinct.sorted() }
    return distinct.sorted { (Int($0)!, $0) < (Int($1)!, $1) }
  }
}
