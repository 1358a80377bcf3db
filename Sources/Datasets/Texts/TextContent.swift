// A text file's bytes at any place, without holding them.

import Foundation
import LoRAFiles

/// The bytes of a text file, read where they lie. What can't be read at any place (gzip, a pipe) is inflated or copied
/// first, into memory up to 16 MB and else into a temporary file, which costs as much disk as the text is long.
///
/// Reading, not mapping: pages of a mapped file count as the program's memory, and a file that another program shortens
/// stops it.
package final class TextContent: @unchecked Sendable {
  package let file: URL
  /// How many bytes the text has.
  package let count: Int
  private enum Place {
    case file(Int32)
    case copy(ScratchBytes)
  }
  private let place: Place
  /// What a message calls that which a row begins in: "line", or "element" of a JSON array.
  let rowName: String

  /// Bytes of the program's own in place of the file's.
  init(_ copy: ScratchBytes, of file: URL, rowName: String = "line") {
    (self.file, self.rowName, place, count) = (file, rowName, .copy(copy), copy.count)
  }

  /// - Throws: `DatasetError` where the file is missing or can't be read, `CheckpointError` where there is no room for
  ///   what gzip holds.
  package init(_ file: URL) throws {
    self.file = file
    rowName = "line"
    let reader = try ByteReader(file)
    if reader.isRegular && !reader.isGzipped {
      let descriptor = open(file.path, O_RDONLY | O_CLOEXEC)
      guard descriptor >= 0 else {
        throw DatasetError(
          .inaccessible, file: file, found: "\"\(systemError())\"", expected: "a readable file",
          advice: "Check its permissions")
      }
      place = .file(descriptor)
      count = reader.size
    } else {
      let copy = ScratchBytes()
      while true {
        let chunk = try [UInt8](unsafeUninitializedCapacity: 1 << 18) { buffer, count in
          count = try reader.read(into: UnsafeMutableRawBufferPointer(buffer))
        }
        guard !chunk.isEmpty else { break }
        try copy.append(chunk)
      }
      place = .copy(copy)
      count = copy.count
    }
  }

  deinit { if case .file(let descriptor) = place { close(descriptor) } }

  /// - Throws: `DatasetError` where the file has become shorter.
  package func read(_ range: Range<Int>) throws -> [UInt8] {
    try [UInt8](unsafeUninitializedCapacity: range.count) { buffer, filled in
      let buffer = UnsafeMutableRawBufferPointer(start: buffer.baseAddress, count: range.count)
      switch place {
      case .copy(let copy): filled = try copy.read(at: range.lowerBound, into: buffer)
      case .file(let descriptor):
        filled = readFully(descriptor, at: range.lowerBound, into: buffer)
        guard filled == range.count else {
          let found = filled < 0 ? "\"\(systemError())\" while reading" : "fewer bytes than when it was opened"
          filled = 0
          throw DatasetError(
            .inaccessible, file: file, found: found, expected: "the \(count.grouped) bytes that it had",
            advice: "Leave the file as it is while it is used")
        }
      }
    }
  }

  /// Where the text begins: behind a byte order mark.
  package func start() throws -> Int {
    count >= 3 ? try read(0..<3) == [0xEF, 0xBB, 0xBF] ? 3 : 0 : 0
  }

  /// "bytes that are not UTF-8 in line 7"
  package static func notUTF8(_ file: URL, line: Int) -> DatasetError {
    DatasetError(
      .wrongFormat, file: file,
      found: "bytes that are not UTF-8 in line \(line.grouped), perhaps Latin-1 or Windows-1252",
      expected: "UTF-8 text",
      advice:
        "Convert the file: `iconv -f WINDOWS-1252 -t UTF-8 '\(file.path)' > 'utf8-\(file.lastPathComponent)'`")
  }
}
