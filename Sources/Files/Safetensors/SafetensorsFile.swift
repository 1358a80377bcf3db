// A safetensors file, read by memory map.
//
//     let file = try SafetensorsFile(url)
//     let weight = try file["model.embed_tokens.weight"]?.tensor()

import Foundation

/// A safetensors file opened for reading. Opening it reads and validates the header; numbers are read when asked for.
public final class SafetensorsFile: Sendable {
  public let url: URL
  /// The tensors in the order of their bytes.
  public let tensors: [StoredTensor]
  /// The header's `__metadata__`, in its order.
  public let metadata: [JSON.Member]
  /// Bytes of the whole file.
  public let byteCount: Int
  private let positions: [String: Int]

  /// - Throws: ``CheckpointError`` where the file can't be opened or its header is not valid.
  public init(_ url: URL) throws {
    self.url = url
    let file = try MappedFile(url)
    let header: SafetensorsHeader
    do throws(JSONError) { header = try SafetensorsHeader(file: file.bytes) } catch {
      throw CheckpointError(
        .malformed, file: url.path,
        "is no valid safetensors file: \(error.message) (byte \(error.offset) of the header)")
    }
    byteCount = file.bytes.count
    metadata = header.metadata
    tensors = header.entries.map { entry in
      StoredTensor(
        info: entry.info, file: file,
        range: header.dataOffset + entry.range.lowerBound..<header.dataOffset + entry.range.upperBound)
    }
    positions = Dictionary(uniqueKeysWithValues: tensors.enumerated().map { ($1.name, $0) })
  }

  public subscript(name: String) -> StoredTensor? { positions[name].map { tensors[$0] } }
}
