// Writing a GGUF file: all that stands before the numbers first, then the numbers in any order, each in its place.

import Foundation
import LoRATensors

/// Writes one GGUF file. ``finish()`` makes it appear under its name; without it nothing is left behind.
public final class GGUFWriter: TensorWriter, @unchecked Sendable {
  private let file: OutputFile
  private let dataOffset: Int
  private let total: Int
  private let places: [ExactString: Range<Int>]
  // Guarded by `lock`.
  private let lock = NSLock()
  private var written = 0

  /// Every reader takes tensors at multiples of this.
  static let alignment = 32

  /// - Parameters:
  ///   - url: the file that will be written.
  ///   - fields: the metadata; `general.alignment` is left out, since it is the default here.
  ///   - tensors: all tensors, in the order of their bytes.
  ///   - reserves: whether room for all of it is reserved on the disk.
  /// - Throws: ``CheckpointError`` where two have one name, or GGUF has no place for a format or a shape.
  public init(to url: URL, fields: [GGUFField], tensors: [TensorInfo], reserves: Bool = true) throws {
    let fields = fields.filter { $0.key != "general.alignment" }
    var header: [UInt8] = Array("GGUF".utf8) + GGUFField.encoded(UInt32(3))
    header += GGUFField.encoded(UInt64(tensors.count)) + GGUFField.encoded(UInt64(fields.count))
    for field in fields { header += field.encoded }
    var (places, end): ([ExactString: Range<Int>], Int) = ([:], 0)
    for tensor in tensors {
      guard let type = GGMLType.number(tensor.format), tensor.shape.count <= 4 else {
        throw CheckpointError(
          .unsupported, file: url.path,
          "\(tensor.name) \(tensor.shape) is \(tensor.format.rawValue), which has no place in a GGUF file",
          expected: "a format of llama.cpp's, of at most four axes",
          advice: Advice("Choose another format", .chooseFormat))
      }
      guard let size = TensorInfo.byteCount(tensor.format, tensor.shape) else {
        throw CheckpointError(
          .mismatch, file: url.path, "\(tensor.name) \(tensor.shape) has rows of \(tensor.shape.last ?? 1)",
          expected: "whole blocks of \(tensor.format.rawValue)", advice: Advice("Choose another format", .chooseFormat))
      }
      header += GGUFField.encoded(tensor.name) + GGUFField.encoded(UInt32(tensor.shape.count))
      for extent in tensor.shape.reversed() { header += GGUFField.encoded(UInt64(extent)) }
      header += GGUFField.encoded(type) + GGUFField.encoded(UInt64(end))
      guard places.updateValue(end..<end + size, forKey: ExactString(tensor.name)) == nil else {
        throw CheckpointError(
          .mismatch, file: url.path, "\(tensor.name) would be written twice", expected: "each name once",
          advice: "Rename one of the two")
      }
      end = Self.aligned(end + size)
    }
    file = try OutputFile(url)
    dataOffset = Self.aligned(header.count)
    total = dataOffset + end
    self.places = places
    if reserves { try file.reserve(total) }
    header += [UInt8](repeating: 0, count: dataOffset - header.count)
    try header.withUnsafeBytes { try file.write($0, at: 0) }
  }

  private static func aligned(_ offset: Int) -> Int { (offset + alignment - 1) / alignment * alignment }

  public func place(_ tensor: TensorInfo) throws -> Range<Int> {
    guard let place = places[tensor.name], place.count == tensor.byteCount else {
      throw CheckpointError(
        .mismatch, file: file.url.path, "\(tensor.name) was not announced as it comes",
        expected: "the tensors of the header, in its order", advice: "Report this: it is a fault of this program")
    }
    return place
  }

  public func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws {
    try file.write(bytes, at: dataOffset + offset)
    lock.withLock { written += bytes.count }
  }

  public func write(_ tensor: StoredTensor, bytes range: Range<Int>, at offset: Int) throws {
    try file.write(tensor, bytes: range, at: dataOffset + offset)
    lock.withLock { written += range.count }
  }

  public func finish() throws {
    let expected = places.values.reduce(0) { $0 + $1.count }
    expect(written == expected, "GGUFWriter: \(written) of \(expected) bytes were written")
    try file.commit(byteCount: total)
  }

  /// Writes a whole file from tensors at hand.
  public static func write(_ tensors: [StoredTensor], fields: [GGUFField], to url: URL) throws {
    let writer = try GGUFWriter(to: url, fields: fields, tensors: tensors.map(\.info))
    for tensor in tensors { try writer.append(tensor) }
    try writer.finish()
  }
}
