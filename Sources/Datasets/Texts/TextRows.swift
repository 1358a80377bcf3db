// The rows of a text file, found where they lie.

import Foundation
import LoRAFiles
import LoRATensors

/// The rows of a text file: empty lines are none, unless that is wished. What is held is where one row in every few
/// thousand bytes begins.
package struct TextRows: Sendable {
  let content: TextContent
  let syntax: RowSyntax
  package private(set) var count = 0
  private var marks = PlaceMarks()
  private let start: Int
  /// How many rows at the beginning are not counted: a header.
  private let skipped: Int
  private let keepsBlank: Bool

  /// A row as it is read.
  package struct Row {
    package let bytes: UnsafeRawBufferPointer
    /// Counted from 0; below it in a header.
    package let index: Int
    /// Counted from 1; where the row starts.
    package let line: Int
  }

  /// Longer rows are errors: with a quote that never ends, the rest of a file is one row.
  private let longest: Int
  /// 64 MB.
  package static let longest = 64 << 20

  /// Reads a file's rows once.
  ///
  /// - Parameters:
  ///   - longest: the most bytes that a row may have.
  ///   - keepsBlank: whether empty lines are rows too.
  ///   - onRow: is called with each.
  package init(
    _ content: TextContent, _ syntax: RowSyntax, skipping skipped: Int = 0, longest: Int = TextRows.longest,
    keepsBlank: Bool = false, onRow: (Row) throws -> Void
  ) throws {
    self.content = content
    self.syntax = syntax
    self.skipped = skipped
    self.longest = longest
    self.keepsBlank = keepsBlank
    start = try content.start()
    var (marks, count) = (PlaceMarks(), 0)
    try forEach(in: start..<content.count, index: -skipped, line: 1) { row, offset in
      if row.index >= 0 {
        marks.note(index: row.index, offset: offset, line: row.line)
        count += 1
      }
      try onRow(row)
      return true
    }
    (self.marks, self.count) = (marks, count)
  }

  /// Reads the lines of a file once, but for those of white space alone.
  package init(linesOf content: TextContent, longest: Int = TextRows.longest, onLine: (Row) throws -> Void) throws {
    try self.init(content, .line, longest: longest, onRow: onLine)
  }

  /// Calls `body` with the first rows, at most so many, a header among them.
  static func forEachFirst(
    _ limit: Int, of content: TextContent, _ syntax: RowSyntax, _ body: (Row) throws -> Void
  ) throws {
    let rows = try TextRows(unread: content, syntax)
    try rows.forEach(in: rows.start..<content.count, index: 0, line: 1) { row, _ in
      try body(row)
      return row.index + 1 < limit
    }
  }

  private init(unread content: TextContent, _ syntax: RowSyntax) throws {
    (self.content, self.syntax, skipped, longest, keepsBlank) = (content, syntax, 0, TextRows.longest, false)
    start = try content.start()
  }

  /// Calls `body` with the rows in a range, in order, until it returns false.
  func forEach(in range: Range<Int>, _ body: (Row) throws -> Bool) throws {
    expect(range.lowerBound >= 0 && range.upperBound <= count, "rows: \(range) of \(count)")
    guard !range.isEmpty else { return }
    let mark = marks.place(of: range.lowerBound, end: content.count).mark
    let end = marks.place(of: range.upperBound - 1, end: content.count).end
    try forEach(in: mark.offset..<end, index: mark.index, line: mark.line) { row, _ in
      let goesOn = try row.index < range.lowerBound || body(row)
      return goesOn && row.index + 1 < range.upperBound
    }
  }

  /// The rows that lie in a range of bytes, which begins with one, until `body` returns false.
  private func forEach(
    in range: Range<Int>, index first: Int, line firstLine: Int, _ body: (Row, _ offset: Int) throws -> Bool
  ) throws {
    var (offset, index, line) = (range.lowerBound, first, firstLine)
    var wanted = 1 << 18
    while offset < range.upperBound {
      let isLast = offset + wanted >= range.upperBound
      let block = try content.read(offset..<(isLast ? range.upperBound : offset + wanted))
      let used: Int? = try block.withUnsafeBytes { block in
        var place = 0
        while place < block.count {
          let rest = UnsafeRawBufferPointer(rebasing: block[place...])
          let length: Int
          switch syntax.end(of: rest) {
          case .after(let count): length = count
          case .open where isLast: length = rest.count
          case .openQuote(let quote) where isLast || rest.count > longest:
            throw unclosed(line: line + rest[..<quote].newlines)
          case .open, .openQuote:
            guard rest.count <= longest else { throw tooLong(line: line) }
            return place
          }
          guard length <= longest else { throw tooLong(line: line) }
          let row = UnsafeRawBufferPointer(rebasing: rest[..<length])
          if keepsBlank || !isBlank(row) {
            guard try body(Row(bytes: row, index: index, line: line), offset + place) else { return nil }
            index += 1
          }
          line += row[...].newlines
          place += length
        }
        return place
      }
      guard let used else { return }
      offset += used
      // A row that is longer than the block is asked for again, with more.
      wanted = used == 0 ? 2 * wanted : 1 << 18
    }
  }

  /// Nothing but the line's end, or one empty pair of quotes; of whole lines, white space too.
  private func isBlank(_ row: UnsafeRawBufferPointer) -> Bool {
    if case .line = syntax { return row.allSatisfy { $0 == 0x20 || (0x09...0x0D).contains($0) } }
    guard row.count <= 4 else { return false }
    var fields: [RowField] = []
    syntax.split(row, into: &fields)
    return fields.count == 1 && fields[0].isEmpty
  }

  private func unclosed(line: Int) -> DatasetError {
    DatasetError(
      .wrongFormat, file: content.file, found: "a quote in line \(line.grouped) that never ends",
      expected: "a closing \"", advice: "Close it, and double each quote inside a quoted field")
  }

  private func tooLong(line: Int) -> DatasetError {
    DatasetError(
      .wrongFormat, file: content.file,
      found: "a row of more than \(longest.grouped) bytes in line \(line.grouped)",
      expected: "rows that are shorter", advice: "Split that row")
  }
}

extension Slice<UnsafeRawBufferPointer> {
  fileprivate var newlines: Int {
    let bytes = UnsafeRawBufferPointer(rebasing: self)
    var (count, place) = (0, 0)
    while let next = bytes.position(of: UInt8(ascii: "\n"), from: place) { (count, place) = (count + 1, next + 1) }
    return count
  }
}
