// A safetensors file, read by memory map.
//
//     let file = try SafetensorsFile(url)
//     let weight = try file["model.embed_tokens.weight"]?.tensor()

import Foundation
import LoRATensors

/// A safetensors file opened for reading. Opening it reads and validates the header; numbers are read when asked for.
public final class SafetensorsFile: Sendable {
  /// The file.
  public let url: URL
  /// The header's `__metadata__`, in its order.
  public let metadata: [JSON.Member]
  /// Bytes of the whole file.
  public let byteCount: Int
  let list: TensorList

  /// - Throws: ``CheckpointError`` where the file can't be opened, its header is not valid, or it is something else, which
  ///   the error names.
  public convenience init(_ url: URL) throws { try self.init(MappedFile(url), at: url) }

  init(_ file: MappedFile, at url: URL) throws {
    self.url = url
    let header: SafetensorsHeader
    do throws(JSONError) { header = try SafetensorsHeader(file: file.bytes) } catch {
      switch withExtendedLifetime(file, { FileKind(file.bytes) }) {
      case .safetensors, .unknown: break
      case let kind:
        let advice: Advice? = kind.isTorch ? "Name it .bin to have it read: peers fail on it as it is" : kind.advice
        throw CheckpointError(
          .malformed, file: url.path, "is \(kind)", expected: "a safetensors file", advice: advice ?? .fetchAgain)
      }
      throw CheckpointError(
        .malformed, file: url.path, "\(error.message) (byte \(error.offset) of the header)",
        expected: "a valid safetensors file", advice: .fetchAgain)
    }
    byteCount = file.bytes.count
    metadata = header.metadata
    list = TensorList(
      header.entries.map { entry in
        StoredTensor(
          info: entry.info, file: file,
          range: header.dataOffset + entry.range.lowerBound..<header.dataOffset + entry.range.upperBound)
      })
  }

  /// The tensors in the order of their bytes.
  public var tensors: [StoredTensor] { list.tensors }

  /// The tensor of this name; names are compared by their bytes.
  public subscript(name: String) -> StoredTensor? { list[name] }
}
