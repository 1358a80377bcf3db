// The elements of a JSON array in a file, one at a time, so that memory does not grow with the file.

import Foundation
import LoRAFiles
import LoRATensors

/// The objects of a JSON text: of the array that it is, or of the one array of objects that it holds under a key.
struct JSONElements {
  private let content: TextContent
  private let start: Int
  /// Whether it is an object that holds the array.
  private let isHeld: Bool

  /// Longer elements are errors.
  private static let longest = 64 << 20

  /// - Throws: `DatasetError` where there is no array.
  init(_ content: TextContent) throws {
    self.content = content
    guard let (start, isHeld) = try JSONElements.place(in: content) else {
      throw DatasetError(
        .wrongFormat, file: content.file, found: "JSON that is no list of objects",
        expected: "a list of objects, or an object that holds one under a key",
        advice: "Write a list of objects, or one object a line")
    }
    (self.start, self.isHeld) = (start, isHeld)
  }

  /// Whether it is an object that holds an array of objects.
  static func isHeld(in content: TextContent) throws -> Bool { try place(in: content)?.isHeld ?? false }

  /// Where the first element stands, behind the array's bracket.
  private static func place(in content: TextContent) throws -> (start: Int, isHeld: Bool)? {
    let first = try content.start()
    let beginning = try content.read(first..<min(content.count, first + 1 << 20))
    return beginning.withUnsafeBytes { bytes in
      var reader = JSONReader(bytes, holdsTexts: true)
      switch reader.peek() {
      case UInt8(ascii: "["): return (first + reader.offset + 1, false)
      case UInt8(ascii: "{"):
        var found: Int?
        try? reader.readObject { reader, _ throws(JSONError) in
          if reader.peek() == UInt8(ascii: "["),
            bytes[(reader.offset + 1)...].first(where: { !isBlank($0) }) == UInt8(ascii: "{")
          {
            found = reader.offset + 1
            throw reader.error("found")
          }
          try reader.skipValue()
        }
        return found.map { (first + $0, true) }
      default: return nil
      }
    }
  }

  private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D }

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
          guard bytes[first] != UInt8(ascii: "]") else {
            try requireEnd(from: offset + first + 1)
            return true
          }
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

  /// Behind the array stands nothing, or in an object that holds it no other one: which is meant could not be told.
  private func requireEnd(from start: Int) throws {
    var (isText, isEscaped, opens, depth) = (false, false, false, 0)
    for offset in stride(from: start, to: content.count, by: 1 << 20) {
      for byte in try content.read(offset..<min(content.count, offset + 1 << 20)) where !JSONElements.isBlank(byte) {
        guard isHeld else { throw several("more behind the list's end", "one list of objects and nothing else") }
        if isText {
          isText = isEscaped || byte != UInt8(ascii: "\"")
          isEscaped = !isEscaped && byte == UInt8(ascii: "\\")
          continue
        }
        if opens, byte == UInt8(ascii: "{") { throw several("several lists of objects", "an object that holds one") }
        opens = depth == 0 && byte == UInt8(ascii: "[")
        switch byte {
        case UInt8(ascii: "\""): isText = true
        case UInt8(ascii: "["), UInt8(ascii: "{"): depth += 1
        case UInt8(ascii: "]"), UInt8(ascii: "}"): depth -= 1
        default: break
        }
      }
    }
  }

  private func several(_ found: String, _ expected: String) -> DatasetError {
    DatasetError(
      .wrongFormat, file: content.file, found: found, expected: expected,
      advice: "Write the list that is meant to a file of its own")
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
