import Foundation
import LoRAFiles
import LoRATensors

/// Reads the wanted columns of rows: fields between separators, or the values of a JSON object's keys.
struct RowReader: Sendable {
  private let content: TextContent
  private let syntax: RowSyntax
  private let isJSON: Bool
  /// The places of the texts, then of the labels; of JSON their keys.
  private let places: [Int]
  private let keys: [String]
  private let textCount: Int
  /// Of the first row.
  private let columnCount: Int
  private var fields: [RowField] = []

  init(_ content: TextContent, _ syntax: RowSyntax, _ columns: LabelledColumns) {
    (self.content, self.syntax) = (content, syntax)
    if case .line = syntax { isJSON = true } else { isJSON = false }
    places = columns.text + columns.label
    keys = places.map { columns.names[$0] }
    (textCount, columnCount) = (columns.text.count, columns.names.count)
  }

  /// The row's texts, one or two, and its label: of several columns, or a list, as a JSON list.
  mutating func read(_ row: TextRows.Row) throws -> (texts: [String], label: String) {
    let values: [String]
    if isJSON {
      let object = try RowReader.object(of: row, in: content)
      values = try keys.enumerated().map { place, key in
        // A list of texts is no text: labels alone may be several.
        let found = object[key].flatMap { place < textCount && $0.array != nil ? nil : RowReader.text($0) }
        guard let value = found else {
          let keys = "the keys \(LabelledColumns.list(object.members.map(\.key)))"
          throw RowReader.wrong(
            row, content, found: object[key].map { "\(RowReader.kind(of: $0)) under \"\(key)\"" } ?? keys,
            expected: "a text or number under \"\(key)\"")
        }
        return value
      }
    } else {
      syntax.split(row.bytes, into: &fields)
      if fields.count > columnCount,
        try fields[columnCount...].contains(where: { !(try text(of: $0, in: row)).isEmpty })
      {
        throw DatasetError(
          .wrongFormat, file: content.file, found: "\(fields.count) fields in line \(row.line.grouped)",
          expected: "\(columnCount), as in the first line",
          advice: "Put texts that hold a separator in quotes")
      }
      values = try places.map { place in
        guard place < fields.count else {
          throw DatasetError(
            .wrongFormat, file: content.file,
            found: "\(fields.count.counted("field")) in line \(row.line.grouped)",
            expected: "one at position \(place.grouped), counted from 0",
            advice: "Check that line's separators and quotes, or choose other columns")
        }
        return try text(of: fields[place], in: row)
      }
    }
    // Spaces around separators belong to no label.
    let labels = values[textCount...].map { isJSON ? $0 : $0.trimmed }
    return (
      Array(values[..<textCount]),
      labels.count > 1 ? JSON.array(labels.map { .string($0) }).compact : labels.first ?? ""
    )
  }

  private func text(of field: RowField, in row: TextRows.Row) throws -> String {
    try RowReader.text(of: field, in: row, of: content)
  }

  /// A line without its end.
  static func line(_ row: TextRows.Row, of content: TextContent) throws -> String {
    var fields: [RowField] = []
    RowSyntax.line.split(row.bytes, into: &fields)
    return try text(of: fields[0], in: row, of: content)
  }

  static func text(of field: RowField, in row: TextRows.Row, of content: TextContent) throws -> String {
    guard let text = field.text(in: row.bytes) else { throw TextContent.notUTF8(content.file, line: row.line) }
    guard field.quoted == nil || row.bytes[field.rest].allSatisfy({ $0 == 0x20 || $0 == 0x09 }) else {
      throw DatasetError(
        .wrongFormat, file: content.file, found: "text behind a closing quote in line \(row.line.grouped)",
        expected: "a separator or the line's end",
        advice: "Double each quote inside a quoted field, where a backslash does not help")
    }
    return text
  }

  /// What a value is that is no text.
  private static func kind(of value: JSON) -> String {
    switch value {
    case .null: "null"
    case .array: "a list"
    case .object: "an object"
    case .string, .bool, .integer, .number: "a value"
    }
  }

  static func object(of row: TextRows.Row, in content: TextContent) throws -> JSON {
    let object: JSON
    do { object = try JSON(parsing: row.bytes, holdsTexts: true) } catch {
      guard String(validating: row.bytes, as: UTF8.self) != nil else {
        throw TextContent.notUTF8(content.file, line: row.line)
      }
      throw wrong(row, content, found: "no valid JSON (\(error))")
    }
    guard case .object = object else { throw wrong(row, content, found: "no JSON object") }
    return object
  }

  /// A string, number, Boolean or list of them; nil for anything else.
  static func text(_ value: JSON) -> String? {
    switch value {
    case .string(let text): text
    case .bool(let value): value ? "true" : "false"
    case .integer(let value): String(value)
    case .number(let value): "\(value)"
    case .array(let values):
      values.allSatisfy { if case .array = $0 { false } else { text($0) != nil } } ? value.compact : nil
    case .null, .object: nil
    }
  }

  private static func wrong(
    _ row: TextRows.Row, _ content: TextContent, found: String, expected: String? = nil
  ) -> DatasetError {
    DatasetError(
      .wrongFormat, file: content.file, found: "\(found) in \(content.rowName) \(row.line.grouped)",
      expected: expected ?? (content.rowName == "line" ? "one JSON object a line" : "a list of JSON objects"),
      advice: "Correct that \(content.rowName), or choose other columns")
  }
}
