// The first rows of a table, from which is told what its columns are.

import Foundation
import LoRAFiles
import LoRATensors

/// The first rows of a table as texts; nil for what is none (an object, nothing).
struct TableSample {
  /// Of a table with separators the first row, whatever it is; of JSON the keys of all the rows.
  var first: [String] = []
  /// The rows behind it; of JSON all of them. As many entries as `first` has.
  var rows: [[String?]] = []
  let isJSON: Bool

  /// So many rows are looked at.
  static let size = 200

  init(_ content: TextContent, _ syntax: RowSyntax) throws {
    if case .line = syntax { isJSON = true } else { isJSON = false }
    var objects: [JSON] = []
    var fields: [RowField] = []
    var table: [[String]] = []
    try TextRows.forEachFirst(TableSample.size, of: content, syntax) { row in
      if isJSON {
        objects.append(try RowReader.object(of: row, in: content))
      } else {
        syntax.split(row.bytes, into: &fields)
        table.append(try fields.map { try RowReader.text(of: $0, in: row, of: content) })
      }
    }
    if isJSON {
      var known: Set<ExactString> = []
      for key in objects.flatMap({ $0.members.map(\.key) }) where known.insert(ExactString(key)).inserted {
        first.append(key)
      }
      rows = objects.map { object in first.map { key in object[key].flatMap(RowReader.text) } }
    } else {
      first = table.first ?? []
      rows = table.dropFirst().map { row in first.indices.map { $0 < row.count ? row[$0] : nil } }
    }
  }

  /// A column's entries.
  func column(_ index: Int) -> [String] { rows.compactMap { $0[index] } }

  /// What the entries of a column are like.
  func traits(of index: Int, with first: String? = nil) -> Traits {
    Traits((first.map { [$0] } ?? []) + column(index))
  }

  struct Traits {
    let count: Int
    let distinct: Int
    let meanLength: Double
    let areNumbers: Bool
    let areWhole: Bool
    let areFlags: Bool

    init(_ entries: [String]) {
      count = entries.count
      distinct = Set(entries).count
      meanLength = entries.isEmpty ? 0 : Double(entries.reduce(0) { $0 + $1.utf8.count }) / Double(entries.count)
      let numbers = entries.map { Double($0.trimmed) }
      areNumbers = !entries.isEmpty && numbers.allSatisfy { $0?.isFinite == true }
      areWhole = areNumbers && numbers.allSatisfy { $0! == $0!.rounded() }
      areFlags = !entries.isEmpty && entries.allSatisfy { LabelFlag($0) != nil }
    }

    /// Numbers that count the rows, or name things.
    var areIdentifiers: Bool { areWhole && count >= 4 && distinct == count }
  }
}

/// Whether a label is there, as files write it.
enum LabelFlag {
  case off, on

  init?(_ text: String) {
    switch text.trimmed.lowercased() {
    case "0", "0.0", "false": self = .off
    case "1", "1.0", "true": self = .on
    default: return nil
    }
  }
}

extension String {
  /// Without white space at both ends.
  var trimmed: String {
    guard first?.isWhitespace == true || last?.isWhitespace == true else { return self }
    return String(drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed())
  }
}
