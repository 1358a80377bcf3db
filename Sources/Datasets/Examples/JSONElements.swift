// The elements of a JSON array in a file, one at a time, so that memory does not grow with the file.

import Foundation
import LoRAFiles
import LoRATensors

/// The objects of a JSON text: of the array that it is, or of the first array that it holds under a key.
struct JSONElements {
  private let content: TextContent
  private let start: Int

  /// Longer elements are errors.
  private static let longest = 64 << 20

  /// - Throws: `DatasetError` where there is no array.
  init(_ content: TextContent) throws {
    self.content = content
    let first = try content.start()
    let beginning = try content.read(first..<min(content.count, first + 1 << 20))
    guard let offset = beginning.withUnsafeBytes(JSONElements.firstElement) else {
      throw DatasetError(
        .wrongFormat, file: content.file, found: "JSON that is no list of objects",
        expected: "a list of objects, or an object that holds one under a key",
        advice: "Write a list of objects, or one object a line")
    }
    start = first + offset
  }

  /// Where the first element stands, behind the array's bracket.
  private static func firstElement(of bytes: UnsafeRawBufferPointer) -> Int? {
    var reader = JSONReader(bytes, holdsTexts: true)
    switch reader.peek() {
    case UInt8(ascii: "["): return reader.offset + 1
    case UInt8(ascii: "{"):
      var found: Int?
      try? reader.readObject { reader, _ throws(JSONError) in
        guard reader.peek() != UInt8(ascii: "[") else {
          found = reader.offset + 1
          throw reader.error("found")
        }
        try reader.skipValue()
      }
      return found
    default: return nil
    }
  }

  /// Calls `body` with each element, and the line in which it begins.
  func forEachElement(_ body: (JSON, _ line: Int) throws -> Void) throws {
    var (offset, wanted) = (start, 1 << 20)
    var (place, line) = (0, 1)
    if start > 0 { line += try content.read(0..<start).count { $0 == UInt8(ascii: "\n") } }
    while true {
      let end = min(content.count, offset + wanted)
      let block = try content.read(offset..<end)
      let isLast = end == content.count
      var used = 0
      let isOver = try block.withUnsafeBytes { bytes in
        while true {
          var first = used
          while first < bytes.count, " \t\r\n,".utf8.contains(bytes[first]) {
            if bytes[first] == UInt8(ascii: "\n") { line += 1 }
            first += 1
          }
          used = first
          guard first < bytes.count else { return isLast ? try missingEnd(line) : false }
          guard bytes[first] != UInt8(ascii: "]") else { return true }
          guard let length = JSONElements.length(of: UnsafeRawBufferPointer(rebasing: bytes[first...])) else {
            guard !isLast else { throw damaged("it ends within an element", place + 1, line) }
            guard bytes.count - first < JSONElements.longest else {
              throw damaged("an element of more than \(JSONElements.longest.grouped) bytes", place + 1, line)
            }
            return false
          }
          let element = UnsafeRawBufferPointer(rebasing: bytes[first..<first + length])
          place += 1
          let value: JSON
          do { value = try JSON(parsing: element, holdsTexts: true) } catch {
            throw damaged("no valid JSON (\(error))", place, line)
          }
          try body(value, line)
          line += element.count { $0 == UInt8(ascii: "\n") }
          used = first + length
        }
      }
      if isOver { return }
      offset += used
      wanted = used == 0 ? 2 * wanted : 1 << 20
    }
  }

  private func missingEnd(_ line: Int) throws -> Bool {
    throw DatasetError(
      .truncated, file: content.file, found: "a list without its closing bracket", expected: "a complete JSON text",
      advice: "The file was probably cut off in transfer; fetch it again")
  }

  private func damaged(_ found: String, _ place: Int, _ line: Int) -> DatasetError {
    DatasetError(
      .wrongFormat, file: content.file, found: "\(found) in element \(place.grouped), line \(line.grouped)",
      expected: "a list of objects", advice: "Correct that element")
  }

  /// How many bytes the value takes that begins here; nil where it goes on behind them.
  private static func length(of bytes: UnsafeRawBufferPointer) -> Int? {
    var (depth, place) = (0, 0)
    while place < bytes.count {
      switch bytes[place] {
      case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
      case UInt8(ascii: "}"), UInt8(ascii: "]"):
        if depth == 0 { return place }
        depth -= 1
        if depth == 0 { return place + 1 }
      case UInt8(ascii: "\""):
        place += 1
        while place < bytes.count, bytes[place] != UInt8(ascii: "\"") {
          place += bytes[place] == UInt8(ascii: "\\") ? 2 : 1
        }
        if depth == 0, place < bytes.count { return place + 1 }
      case UInt8(ascii: ","): if depth == 0 { return place }
      default: break
      }
      place += 1
    }
    return nil
  }
}
