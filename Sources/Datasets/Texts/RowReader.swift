import Foundation
import LoRAFiles
import LoRATensors

/// Reads the wanted columns of rows: fields between separators, or the values of a JSON object's keys.
struct RowReader: Sendable {
  let file: URL
  let syntax: RowSyntax
  /// Those of the text and the label; `nil` where they are to be found.
  let text: LabelledText.Column?
  let label: LabelledText.Column?
  let hasHeader: Bool
  private var keys: [String] = []
  private var positions: [Int] = []
  private var fields: [RowField] = []

  init(
    file: URL, syntax: RowSyntax, text: LabelledText.Column?, label: LabelledText.Column?, hasHeader: Bool
  ) {
    (self.file, self.syntax, self.text, self.label, self.hasHeader) = (file, syntax, text, label, hasHeader)
  }

  /// Finds the columns in the first row: a header, an example or an object.
  mutating func findColumns(in row: TextRows.Row) throws {
    let isJSON = if case .line = syntax { true } else { false }
    let names: [String]
    if isJSON {
      names = try object(of: row).members.map(\.key)
    } else {
      syntax.split(row.bytes, into: &fields)
      names = try fields.map { try text(of: $0, in: row) }
    }
    let columns =
      if let text, let label { [text, label] } else {
        try LabelledColumns.find(
          text: text, label: label, among: names, areNamed: hasHeader || isJSON, arePlaces: !isJSON, file: file)
      }
    if isJSON {
      keys = try columns.map { column in
        guard case .named(let name) = column else {
          throw wrong(row, found: "a column position", expected: "the name of a key")
        }
        return name
      }
      return
    }
    let header = hasHeader ? names : nil
    positions = try columns.map { column in
      switch column {
      case .position(let position):
        expect(position >= 0, "LabelledText: column \(position) is negative")
        return position
      case .named(let name):
        guard let position = header?.firstIndex(where: name.isExactly) else {
          throw DatasetError(
            .unknownColumn, file: file,
            found: header.map { "the columns \(LabelledColumns.list($0))" } ?? "no line that names the columns",
            expected: "a column \"\(name)\"",
            advice: Advice("Choose a column that exists, by name or by position from 0", .nameColumns))
        }
        return position
      }
    }
  }

  /// The row's text and its label.
  mutating func read(_ row: TextRows.Row) throws -> (text: String, label: String) {
    guard keys.isEmpty else {
      let object = try object(of: row)
      return (try value(of: keys[0], in: object, row), try value(of: keys[1], in: object, row))
    }
    syntax.split(row.bytes, into: &fields)
    func field(_ position: Int) throws -> String {
      guard position < fields.count else {
        throw DatasetError(
          .wrongFormat, file: file,
          found: "\(fields.count) field\(fields.count == 1 ? "" : "s") in line \(row.line.grouped)",
          expected: "one at position \(position.grouped), counted from 0",
          advice: "Check that line's separators and quotes, or choose other columns")
      }
      return try text(of: fields[position], in: row)
    }
    return (try field(positions[0]), try field(positions[1]))
  }

  private func text(of field: RowField, in row: TextRows.Row) throws -> String {
    guard let text = field.text(in: row.bytes) else { throw TextContent.notUTF8(file, line: row.line) }
    return text
  }

  private func object(of row: TextRows.Row) throws -> JSON {
    let object: JSON
    do { object = try JSON(parsing: row.bytes, holdsTexts: true) } catch {
      guard String(validating: row.bytes, as: UTF8.self) != nil else { throw TextContent.notUTF8(file, line: row.line) }
      throw wrong(row, found: "no JSON object")
    }
    guard case .object = object else { throw wrong(row, found: "no JSON object") }
    return object
  }

  /// A string, number or Boolean.
  private func value(of key: String, in object: JSON, _ row: TextRows.Row) throws -> String {
    switch object[key] {
    case .string(let text)?: return text
    case .bool(let value)?: return value ? "true" : "false"
    case .integer(let value)?: return String(value)
    case .number(let value)?: return "\(value)"
    default:
      throw wrong(
        row, found: "the keys \(LabelledColumns.list(object.members.map(\.key)))",
        expected: "a text or number under \"\(key)\"")
    }
  }

  private func wrong(
    _ row: TextRows.Row, found: String, expected: String = "one JSON object a line"
  ) -> DatasetError {
    DatasetError(
      .wrongFormat, file: file, found: "\(found) in line \(row.line.grouped)", expected: expected,
      advice: "Correct that line, or choose other columns")
  }
}
