import Foundation
// The rows of delimited files and JSON lines, reduced to the columns that are wanted, each with its line number.
import LoRATensors

struct TextRecord: Equatable {
  let fields: [String]
  /// Counted from 1; where the record starts.
  let line: Int
}

/// Comma-separated values by RFC 4180, or fields split at tabs.
struct DelimitedRecords {
  let separator: Unicode.Scalar
  let quotes: Bool
  let file: URL

  func read(_ content: String, columns: [LabelledText.Column], hasHeader: Bool) throws -> [TextRecord] {
    var rows = try split(content)
    let header = hasHeader && !rows.isEmpty ? rows.removeFirst().fields : nil
    let positions = try columns.map { try position(of: $0, header: header) }
    return try rows.map { row in
      guard let last = positions.max(), last < row.fields.count else {
        throw DatasetError(
          .wrongFormat, file: file,
          found: "\(row.fields.count) field\(row.fields.count == 1 ? "" : "s") in line \(row.line.grouped)",
          expected: "at least \((positions.max() ?? 0) + 1)",
          advice: "Check that line's separators and quotes, or choose other columns.")
      }
      return TextRecord(fields: positions.map { row.fields[$0] }, line: row.line)
    }
  }

  private func position(of column: LabelledText.Column, header: [String]?) throws -> Int {
    switch column {
    case .position(let position):
      expect(position >= 0, "LabelledText: column \(position) is negative")
      return position
    case .named(let name):
      guard let position = header?.firstIndex(of: name) else {
        throw DatasetError(
          .wrongFormat, file: file,
          found: header.map { "the columns \($0.joined(separator: ", "))" } ?? "no line that names the columns",
          expected: "a column \"\(name)\"", advice: "Choose a column that exists, by name or by position from 0.")
      }
      return position
    }
  }

  /// All rows with all their fields; empty lines are passed over.
  private func split(_ content: String) throws -> [TextRecord] {
    var rows: [TextRecord] = []
    var fields: [String] = []
    var field = String.UnicodeScalarView()
    var line = 1
    var start = 1  // of the record
    var quoteStart: Int?  // the line of the open quote

    func endRecord() {
      fields.append(String(field))
      if fields != [""] { rows.append(TextRecord(fields: fields, line: start)) }
      fields = []
      field = .init()
    }

    let scalars = content.unicodeScalars
    var index = scalars.startIndex
    while index < scalars.endIndex {
      let scalar = scalars[index]
      index = scalars.index(after: index)
      if scalar == "\n" { line += 1 }
      if quoteStart != nil {
        if scalar != "\"" {
          field.append(scalar)
        } else if index < scalars.endIndex, scalars[index] == "\"" {
          field.append("\"")
          index = scalars.index(after: index)
        } else {
          quoteStart = nil
        }
      } else if quotes, scalar == "\"", field.isEmpty {
        quoteStart = line
      } else if scalar == separator {
        fields.append(String(field))
        field = .init()
      } else if scalar == "\n" {
        if field.last == "\r" { field.removeLast() }
        endRecord()
        start = line
      } else {
        field.append(scalar)
      }
    }
    if let quoteStart {
      throw DatasetError(
        .wrongFormat, file: file, found: "a quote in line \(quoteStart.grouped) that never ends",
        expected: "a closing \"", advice: "Close it, and double each quote inside a quoted field.")
    }
    if !field.isEmpty || !fields.isEmpty { endRecord() }
    return rows
  }
}

/// One JSON object a line; a value may be a string, a number or a Boolean.
enum JSONRecords {
  static func read(_ content: String, keys: [LabelledText.Column], file: URL) throws -> [TextRecord] {
    var records: [TextRecord] = []
    let lines = content.split(omittingEmptySubsequences: false) { $0 == "\n" || $0 == "\r\n" }
    for (index, text) in lines.enumerated() {
      guard text.contains(where: { !$0.isWhitespace }) else { continue }
      guard let object = try? JSONDecoder().decode([String: Value].self, from: Data(text.utf8)) else {
        throw bad(file, index, found: "no JSON object")
      }
      let fields = try keys.map { key in
        guard case .named(let name) = key else {
          throw bad(file, index, found: "a column position", expected: "the name of a key")
        }
        guard let field = object[name]?.text else {
          throw bad(
            file, index, found: "the keys \(object.keys.sorted().joined(separator: ", "))",
            expected: "a text or number under \"\(name)\"")
        }
        return field
      }
      records.append(TextRecord(fields: fields, line: index + 1))
    }
    return records
  }

  /// A JSON value as a label or text; `nil` for null, lists and objects.
  private struct Value: Decodable {
    let text: String?

    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      if let string = try? container.decode(String.self) {
        text = string
      } else if let boolean = try? container.decode(Bool.self) {
        text = boolean ? "true" : "false"
      } else if let integer = try? container.decode(Int.self) {
        text = String(integer)
      } else {
        text = (try? container.decode(Double.self)).map { "\($0)" }
      }
    }
  }

  private static func bad(
    _ file: URL, _ index: Int, found: String, expected: String = "one JSON object a line"
  ) -> DatasetError {
    DatasetError(
      .wrongFormat, file: file, found: "\(found) in line \((index + 1).grouped)", expected: expected,
      advice: "Correct that line, or choose other columns.")
  }
}
