// Writing a safetensors file in a stream: the numbers as they come, the header last, into room kept for it.
//
// A header names every tensor's place, but ranks may be known only when the last module is done. The longest header
// that can come is reserved; what isn't needed of it is filled with spaces, which the format allows.

import Foundation
import LoRATensors

/// Writes one safetensors file. ``finish()`` makes it appear under its name; without it nothing is left behind.
///
/// Tensors get their places one after the other by ``place(_:)``; their bytes may then be written in any order and
/// from several threads.
public final class SafetensorsWriter: TensorWriter, @unchecked Sendable {
  private let file: OutputFile
  private let headerLength: Int
  private let metadata: [JSON.Member]
  // Guarded by `lock`.
  private let lock = NSLock()
  private var tensors: [TensorInfo] = []
  private var names: Set<ExactString> = []
  private var dataLength = 0
  private var written = 0

  /// What Python's `transformers` and `peft` write and ask for.
  public static let pythonMetadata = [JSON.Member("format", "pt")]

  /// - Parameters:
  ///   - url: the file that will be written.
  ///   - expected: the tensors to come, or ones with the same names and shapes no smaller than theirs.
  ///   - metadata: the header's `__metadata__`.
  ///   - reserves: whether room for all that is expected is reserved on the disk.
  public init(
    to url: URL, expecting expected: [TensorInfo], metadata: [JSON.Member] = pythonMetadata, reserves: Bool = true
  ) throws {
    file = try OutputFile(url)
    headerLength = SafetensorsHeader.encode(expected, metadata: metadata).count
    self.metadata = metadata
    if reserves { try file.reserve(headerLength + expected.reduce(0) { $0 + $1.byteCount }) }
  }

  /// A tensor's place in the file, counted in bytes from the end of the header.
  ///
  /// - Throws: ``CheckpointError`` where a tensor of this name has its place already: one name, one tensor.
  public func place(_ tensor: TensorInfo) throws -> Range<Int> {
    try lock.withLock {
      guard names.insert(ExactString(tensor.name)).inserted else {
        throw CheckpointError(
          .mismatch, file: file.url.path, "\(tensor.name) would be written twice", expected: "each name once",
          advice: "Rename one of the two")
      }
      let start = dataLength
      dataLength += tensor.byteCount
      tensors.append(tensor)
      return start..<dataLength
    }
  }

  /// Writes bytes at a place given by ``place(_:)``, or within it.
  public func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws {
    try file.write(bytes, at: headerLength + offset)
    lock.withLock { written += bytes.count }
  }

  public func write(_ tensor: StoredTensor, bytes range: Range<Int>, at offset: Int) throws {
    try file.write(tensor, bytes: range, at: headerLength + offset)
    lock.withLock { written += range.count }
  }

  /// Writes the header and makes the file appear.
  public func finish() throws {
    expect(written == dataLength, "SafetensorsWriter: \(written) of \(dataLength) bytes were written")
    let header = SafetensorsHeader.encode(tensors, metadata: metadata, length: headerLength)
    try header.withUnsafeBytes { try file.write($0, at: 0) }
    try file.commit(byteCount: headerLength + dataLength)
  }

  /// Writes a whole file from tensors at hand.
  public static func write(
    _ tensors: [StoredTensor], to url: URL, metadata: [JSON.Member] = pythonMetadata
  ) throws {
    let writer = try SafetensorsWriter(to: url, expecting: tensors.map(\.info), metadata: metadata)
    for tensor in tensors { try writer.append(tensor) }
    try writer.finish()
  }
}
