// Where the rows of a text file end, and their fields.

import Foundation

/// How rows and fields are told apart.
package enum RowSyntax: Sendable {
  /// One a line, whatever it holds.
  case line
  /// Fields between separators; where `quotes`, by RFC 4180: a field in double quotes may hold separators, line breaks
  /// and doubled quotes.
  case delimited(separator: UInt8, quotes: Bool)

  package static let commas = RowSyntax.delimited(separator: UInt8(ascii: ","), quotes: true)
  package static let tabs = RowSyntax.delimited(separator: UInt8(ascii: "\t"), quotes: false)

  /// What the bytes of a row's beginning say of its end.
  enum End {
    /// So many bytes with the line's end.
    case after(Int)
    /// It goes on behind these bytes.
    case open
    /// A quote that began at this byte goes on behind them.
    case openQuote(Int)
  }

  /// The end of the first row of `bytes`.
  func end(of bytes: UnsafeRawBufferPointer) -> End {
    let newline = bytes.position(of: newline, from: 0)
    guard case .delimited(_, true) = self, bytes.prefix(newline ?? bytes.count).contains(quote) else {
      return newline.map { .after($0 + 1) } ?? .open
    }
    var fields: [RowField] = []
    return split(bytes, into: &fields)
  }

  /// The fields of the first row of `bytes`, and its end.
  @discardableResult
  func split(_ bytes: UnsafeRawBufferPointer, into fields: inout [RowField]) -> End {
    fields.removeAll(keepingCapacity: true)
    guard case .delimited(let separator, let quotes) = self else {
      let end = bytes.position(of: newline, from: 0)
      fields.append(RowField(rest: 0..<(end ?? bytes.count).withoutReturn(in: bytes, from: 0)))
      return end.map { .after($0 + 1) } ?? .open
    }
    var place = 0
    while true {
      var field = RowField(rest: place..<place)
      if quotes, place < bytes.count, bytes[place] == quote {
        var end = place + 1
        while true {
          guard let next = bytes.position(of: quote, from: end) else { return .openQuote(place) }
          end = next + 1
          guard end < bytes.count, bytes[end] == quote else { break }
          field.hasDoubledQuotes = true
          end += 1
        }
        field.quoted = place + 1..<end - 1
        place = end
      }
      let start = place
      while place < bytes.count, bytes[place] != separator, bytes[place] != newline { place += 1 }
      let isLast = place == bytes.count || bytes[place] == newline
      field.rest = start..<(isLast ? place.withoutReturn(in: bytes, from: start) : place)
      fields.append(field)
      if place == bytes.count { return .open }
      place += 1
      if isLast { return .after(place) }
    }
  }
}

/// Where a field lies in its row: a part in quotes, and what follows outside of them.
struct RowField {
  var quoted: Range<Int>?
  var hasDoubledQuotes = false
  var rest: Range<Int>

  var isEmpty: Bool { rest.isEmpty && (quoted?.isEmpty ?? true) }

  /// The field's text; `nil` where it is not UTF-8.
  func text(in row: UnsafeRawBufferPointer) -> String? {
    guard let quoted else { return String(validating: row[rest], as: UTF8.self) }
    guard hasDoubledQuotes || !rest.isEmpty else { return String(validating: row[quoted], as: UTF8.self) }
    var bytes: [UInt8] = []
    var place = quoted.lowerBound
    while place < quoted.upperBound {
      bytes.append(row[place])
      place += row[place] == quote ? 2 : 1
    }
    return String(validating: bytes + row[rest], as: UTF8.self)
  }
}

private let quote = UInt8(ascii: "\"")
private let newline = UInt8(ascii: "\n")

extension Int {
  /// The end of a line's text, where that may end with a carriage return.
  fileprivate func withoutReturn(in bytes: UnsafeRawBufferPointer, from start: Int) -> Int {
    self > start && bytes[self - 1] == 0x0D ? self - 1 : self
  }
}

extension UnsafeRawBufferPointer {
  /// Where a byte occurs first, from `start` on.
  func position(of byte: UInt8, from start: Int) -> Int? {
    guard start < count, let base = baseAddress, let found = memchr(base + start, Int32(byte), count - start) else {
      return nil
    }
    return base.distance(to: UnsafeRawPointer(found))
  }
}
