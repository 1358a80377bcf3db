// Texts with labels, from tables: tab- or comma-separated files, JSON lines or lists.
import Foundation
import LoRAFiles
import LoRATensors

/// Texts, or pairs of them, each with a class, with some of several labels, or with a number. Those of a file stay there
/// and are read when they are asked for; what is held of each is its label.
///
/// ```swift
/// let train = try LabelledText(contentsOf: url, text: "sentence", label: "label")
/// let test = try LabelledText(contentsOf: other, text: "sentence", label: "label", labelNames: train.labelNames)
/// try train.text(at: 0)
/// ```
public struct LabelledText: Sendable {
  /// What the texts are labelled with.
  public let targets: LabelTargets
  /// The classes or labels, at most 65,536: by number when all are whole numbers, else alphabetically. Of a regression
  /// one name.
  public let labelNames: [String]
  /// Which columns were taken; nil of texts in memory.
  public let columns: TakenColumns?
  /// What a message calls that which a text's row begins in: "line", or "element" of a JSON list.
  public let rowName: String
  private let source: Source

  private enum Source: Sendable {
    case memory([String])
    case file(TextRows, RowReader)
    case lines(TextRows)
  }

  /// For each text the position of its class in `labelNames`; empty where texts don't have one class each.
  public var labels: SmallIntegers { if case .classes(let labels) = targets { labels } else { SmallIntegers() } }
  /// Whether texts come in pairs.
  public var isPaired: Bool { columns?.text.count == 2 }

  /// How many texts there are.
  public var count: Int {
    switch source {
    case .memory(let texts): texts.count
    case .file(let rows, _), .lines(let rows): rows.count
    }
  }

  /// Which column: `"sentence"`, a name in the first line (or a JSON key), or `1`, a position counted from 0.
  public enum Column: Equatable, Sendable, ExpressibleByStringLiteral, ExpressibleByIntegerLiteral {
    /// By what the first line, or a JSON key, calls it.
    case named(String)
    /// By its place in the line, counted from 0.
    case position(Int)

    public init(stringLiteral name: String) { self = .named(name) }
    public init(integerLiteral position: Int) { self = .position(position) }
  }

  /// How a file separates texts and labels, where that is known beforehand.
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
  }

  /// Whether a file's name says that its rows have columns: tsv, csv, jsonl and the like, or json; gzipped or not.
  public static func isTable(_ file: URL) -> Bool {
    Format(of: file) != nil || TableFormat.pathExtension(of: file) == "json"
  }

  /// Texts in memory.
  ///
  /// - `labels`: the class of each text, in words.
  /// - `labelNames`: the classes, where they are not those of `labels`.
  /// - Throws: `DatasetError` where a label is not one of `labelNames`, or there are too many.
  public init(texts: [String], labels: [String], labelNames: [String]? = nil) throws {
    expect(texts.count == labels.count, "LabelledText: \(texts.count) texts and \(labels.count) labels")
    var classes = try ClassNumbers(labelNames, file: URL(fileURLWithPath: "texts in memory"))
    for (index, label) in labels.enumerated() { try classes.append(label, line: index + 1) }
    let (numbers, names) = try classes.finish()
    (targets, self.labelNames, source, columns, rowName) = (.classes(numbers), names, .memory(texts), nil, "text")
  }

  /// Texts in memory, without labels.
  public init(_ texts: [String]) {
    (targets, labelNames, source, columns, rowName) = (.classes([]), [], .memory(texts), nil, "text")
  }

  /// Every line of a file as a text without a label, empty ones too.
  ///
  /// - Throws: `DatasetError` where the file can't be read or holds no line.
  public init(linesOf file: URL) throws {
    let content = try TextContent(file)
    try content.requireText()
    let rows = try TextRows(content, .line, keepsBlank: true) { _ in }
    guard rows.count > 0 else {
      throw DatasetError(
        .truncated, file: file, found: "nothing", expected: "a text in each line",
        advice: "Check that this is the right file")
    }
    (targets, labelNames, source, columns) = (.classes([]), [], .lines(rows), nil)
    rowName = content.rowName
  }

  /// - `text`: `nil` finds the column: by the names that people use, else by what the columns hold.
  /// - `label`: likewise.
  /// - `format`: `nil` takes it from the file's extension and from how the text begins.
  /// - `hasHeader`: whether the first line names the columns; nil finds out.
  /// - `labelNames`: the classes of the training texts, so that a test file gets the same numbers; `nil` finds them.
  /// - Throws: `DatasetError` that names the file and the line, or shows the columns where the choice is not clear.
  public init(
    contentsOf file: URL, text: Column? = nil, label: Column? = nil, format: Format? = nil, hasHeader: Bool? = nil,
    labelNames: [String]? = nil
  ) throws {
    try self.init(
      contentsOf: file, texts: text.map { [$0] } ?? [], labels: label.map { [$0] } ?? [], format: format,
      hasHeader: hasHeader, labelNames: labelNames)
  }

  /// Of one column of texts or two, which make pairs, and of a label's column or of several, each a label of its own.
  ///
  /// - `texts`: none finds them.
  /// - `labels`: none finds them; nil reads texts without labels.
  /// - `problem`: what the labels are; nil finds out.
  /// - `format`, `hasHeader`, `labelNames`, `file`: as above, and the errors too.
  public init(
    contentsOf file: URL, texts: [Column], labels: [Column]?, format: Format? = nil, hasHeader: Bool? = nil,
    problem: ProblemType? = nil, labelNames: [String]? = nil
  ) throws {
    expect(texts.count <= 2, "LabelledText: \(texts.count) columns of texts; a pair has two")
    if let error = TextContent.describe(folder: file) { throw error }
    let table = try TableFormat(TextContent(file), format)
    let content = table.content
    let sample = try TableSample(content, table.syntax)
    guard !sample.first.isEmpty, !sample.rows.isEmpty || hasHeader == false else { throw LabelledText.noRows(file) }
    let columns = try LabelledColumns(text: texts, label: labels, in: sample, hasHeader: hasHeader, file: file)
    let headerRows = columns.hasHeader && !sample.isJSON ? 1 : 0
    var reader = RowReader(content, table.syntax, columns)
    var (beginning, preview): ([String], [[String]]) = ([], [])
    try TextRows.forEachFirst(TableSample.size, of: content, table.syntax) { row in
      guard row.index >= headerRows else { return }
      let (texts, label) = try reader.read(row)
      if preview.count < 3 { preview.append(texts + (label.isEmpty ? [] : [label])) }
      beginning.append(label)
    }
    let columnNames = { (places: [Int]) in places.map { columns.names[$0] } }
    var targets = try LabelReader(
      labels == nil ? .singleLabel : problem, sample: beginning,
      columns: columns.label.count > 1 ? columnNames(columns.label) : nil, known: labels == nil ? [] : labelNames,
      file: file, rowName: content.rowName)
    let rows = try TextRows(content, table.syntax, skipping: headerRows) { row in
      if row.index >= 0, labels != nil { try targets.append(reader.read(row).label, line: row.line) }
    }
    guard rows.count > 0 else { throw LabelledText.noRows(file) }
    (self.targets, self.labelNames) = try targets.finish()
    source = .file(rows, reader)
    rowName = content.rowName
    self.columns = TakenColumns(
      text: columnNames(columns.text), label: columnNames(columns.label),
      hasHeader: sample.isJSON ? nil : columns.hasHeader, format: table.name, preview: preview)
  }

  private static func noRows(_ file: URL) -> DatasetError {
    DatasetError(
      .truncated, file: file, found: "no rows", expected: "at least one text with its label",
      advice: "Check that this is the right file")
  }

  /// A text; of a pair both, with a bar between them, to be shown.
  ///
  /// - Throws: `DatasetError` where the file has changed meanwhile.
  public func text(at index: Int) throws -> String {
    let parts = try rows(in: index..<index + 1)
    return ([parts.first[0]] + (parts.second.map { [$0[0]] } ?? [])).joined(separator: " | ")
  }

  /// The texts at some places, in that order; of pairs the first.
  ///
  /// - Throws: `DatasetError` where the file has changed meanwhile.
  public func texts(at indices: [Int]) throws -> [String] { try indices.map { try texts(in: $0..<$0 + 1)[0] } }

  /// Some texts that follow each other; of pairs the first. Of a large file take a `part` at a time.
  public func texts(in range: Range<Int>) throws -> [String] { try rows(in: range).first }

  /// The same, and of pairs the second texts too.
  public func rows(in range: Range<Int>) throws -> (first: [String], second: [String]?) {
    try rows(in: range, bytes: .max)
  }

  /// The texts from one on, and of pairs the second ones: as many as 4 MB hold, at least one and at most 8,192.
  public func part(from start: Int) throws -> (first: [String], second: [String]?) {
    try rows(in: start..<min(count, start + 8192), bytes: 4 << 20)
  }

  /// Calls `body` with all texts in order, and of pairs the second ones, a part at a time.
  public func forEachPart(_ body: (_ first: [String], _ second: [String]?) throws -> Void) throws {
    var start = 0
    while start < count {
      let part = try part(from: start)
      try body(part.first, part.second)
      start += part.first.count
    }
  }

  /// The rows in a range, fewer where they have more bytes than that.
  private func rows(in range: Range<Int>, bytes most: Int) throws -> (first: [String], second: [String]?) {
    var (first, second): ([String], [String]) = ([], [])
    var bytes = 0
    switch source {
    case .memory(let texts): return (Array(texts[range]), nil)
    case .file(let rows, var reader):
      try rows.forEach(in: range) { row in
        let texts = try reader.read(row).texts
        first.append(texts[0])
        if isPaired { second.append(texts[1]) }
        bytes += row.bytes.count
        return bytes < most
      }
    case .lines(let rows):
      try rows.forEach(in: range) { row in
        first.append(try RowReader.line(row, of: rows.content))
        bytes += row.bytes.count
        return bytes < most
      }
    }
    return (first, isPaired ? second : nil)
  }

  /// The line of the file that a text's row starts in, counted from 1; of texts in memory their place.
  public func line(of index: Int) throws -> Int {
    switch source {
    case .memory, .lines: return index + 1
    case .file(let rows, _):
      var line = 0
      try rows.forEach(in: index..<index + 1) { row in
        line = row.line
        return true
      }
      return line
    }
  }

  /// [4] as "line 4", [4, 7] as "lines 4, 7"; of many the first few and how many more.
  ///
  /// - `total`: how many there are, where `lines` are only the first.
  /// - `rowName`: what is counted.
  public static func list(lines: [Int], of total: Int? = nil, rowName: String = "line") -> String {
    let total = total ?? lines.count
    return "\(rowName)\(total == 1 ? "" : "s") " + lines.prefix(5).map(\.grouped).joined(separator: ", ")
      + (total > 5 ? " and \((total - 5).grouped) more" : "")
  }
}
