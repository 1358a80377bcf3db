// Reads a file front to back, inflating it when its content is gzip (RFC 1952), whatever its name. Each member's CRC
// and length are checked by zlib. Memory stays bounded: the caller says how many bytes it takes.

import Foundation
import LoRACZlib
import LoRATensors

final class ByteReader {
  let file: URL
  /// Bytes on disk.
  let size: Int
  let isGzipped: Bool
  /// Whether it is a file with a size, and no pipe.
  let isRegular: Bool

  private let handle: UnsafeMutablePointer<FILE>
  private var chunk = [UInt8](repeating: 0, count: 1 << 16)
  private var available: Range<Int> = 0..<0  // of `chunk`, read and not yet used
  private let stream: UnsafeMutablePointer<z_stream>
  private var isFinished = false

  /// - Throws: `DatasetError` when the file is missing or can't be read.
  init(_ file: URL) throws {
    self.file = file
    var information = stat()
    guard stat(file.path, &information) == 0 else {
      throw DatasetError(
        .missing, file: file, found: "no such file", expected: "a data file", advice: "Check the path")
    }
    switch information.st_mode & S_IFMT {
    case S_IFDIR:
      throw DatasetError(
        .inaccessible, file: file, found: "a folder", expected: "a data file", advice: "Name a file inside it")
    // Some devices never end.
    case S_IFCHR, S_IFBLK:
      throw DatasetError(
        .inaccessible, file: file, found: "a device", expected: "a data file", advice: "Name a file or a pipe")
    default: break
    }
    guard let handle = fopen(file.path, "rb") else {
      throw DatasetError(
        .inaccessible, file: file, found: "\"\(String(cString: strerror(errno)))\"", expected: "a readable file",
        advice: "Check its permissions")
    }
    self.handle = handle
    isRegular = information.st_mode & S_IFMT == S_IFREG
    size = Int(information.st_size)
    let count = fread(&chunk, 1, chunk.count, handle)
    available = 0..<count
    isGzipped = count >= 2 && chunk[0] == 0x1f && chunk[1] == 0x8b
    stream = .allocate(capacity: 1)
    stream.initialize(to: z_stream())
    if isGzipped {
      let gzip: Int32 = 16
      let status = inflateInit2_(stream, 15 + gzip, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
      expect(status == Z_OK, "zlib can't start: \(status)")
    }
    try checkRead()
  }

  deinit {
    if isGzipped { inflateEnd(stream) }
    stream.deallocate()
    fclose(handle)
  }

  /// Fills `buffer` with the next bytes; fewer only at the end of the file.
  func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
    var filled = 0
    while filled < buffer.count, !isFinished {
      if available.isEmpty { try refill() }
      if available.isEmpty {
        guard !isGzipped else { throw truncated(after: "a gzip stream that ends too early") }
        isFinished = true
        break
      }
      let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[filled...])
      filled += isGzipped ? try inflateNext(into: rest) : copyNext(into: rest)
    }
    return filled
  }

  /// The next `count` bytes.
  func read(_ count: Int, of what: String) throws -> [UInt8] {
    let bytes = try [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      filled = try read(into: UnsafeMutableRawBufferPointer(buffer))
    }
    guard bytes.count == count else {
      throw truncated(after: "only \(bytes.count.grouped) of \(count.grouped) bytes of \(what)")
    }
    return bytes
  }

  /// Checks that nothing follows; with gzip this also checks the last checksum.
  func requireEnd(after what: String) throws {
    var byte: UInt8 = 0
    let count = try withUnsafeMutableBytes(of: &byte) { try read(into: $0) }
    guard count == 0 else { throw trailing("more bytes after \(what)") }
  }

  private func copyNext(into buffer: UnsafeMutableRawBufferPointer) -> Int {
    let count = min(buffer.count, available.count)
    chunk.withUnsafeBytes { buffer.copyMemory(from: .init(rebasing: $0[available.prefix(count)])) }
    available.removeFirst(count)
    return count
  }

  private func inflateNext(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
    let capacity = min(buffer.count, Int(Int32.max))
    let status = chunk.withUnsafeMutableBufferPointer { input in
      stream.pointee.next_in = input.baseAddress! + available.lowerBound
      stream.pointee.avail_in = UInt32(available.count)
      stream.pointee.next_out = buffer.baseAddress!.assumingMemoryBound(to: UInt8.self)
      stream.pointee.avail_out = UInt32(capacity)
      return inflate(stream, Z_NO_FLUSH)
    }
    available = available.upperBound - Int(stream.pointee.avail_in)..<available.upperBound
    switch status {
    case Z_OK, Z_BUF_ERROR: break
    case Z_STREAM_END: try startNextMember()
    default:
      let reason = stream.pointee.msg.map { String(cString: $0) } ?? "zlib error \(status)"
      throw DatasetError(
        .corrupt, file: file, found: "damaged gzip data (\(reason))", expected: "an intact gzip file",
        advice: "Fetch the file again")
    }
    return capacity - Int(stream.pointee.avail_out)
  }

  /// A gzip file may be several members one after the other; anything else after a member is an error.
  private func startNextMember() throws {
    if available.isEmpty { try refill() }
    guard !available.isEmpty else {
      isFinished = true
      return
    }
    guard chunk[available.lowerBound] == 0x1f else { throw trailing("more bytes after the gzip data") }
    inflateReset(stream)
  }

  private func refill() throws {
    available = 0..<fread(&chunk, 1, chunk.count, handle)
    try checkRead()
  }

  private func checkRead() throws {
    guard ferror(handle) != 0 else { return }
    throw DatasetError(
      .inaccessible, file: file, found: "\"\(String(cString: strerror(errno)))\" while reading",
      expected: "a readable file", advice: "Check the disk and the file's permissions")
  }

  private func truncated(after found: String) -> DatasetError {
    DatasetError(
      .truncated, file: file, found: found, expected: "a complete file",
      advice: "The file was probably cut off in transfer; fetch it again")
  }

  private func trailing(_ found: String) -> DatasetError {
    DatasetError(
      .trailingBytes, file: file, found: found, expected: "the end of the file",
      advice: "The file is damaged or two files were joined; fetch it again")
  }
}
