// A file of named tensors, whichever of the formats it is in.
//
//     let weight = try TensorFile(url)["model.embed_tokens.weight"]?.tensor()

import Foundation

/// A safetensors file, one that `torch.save` wrote, or a GGUF file. Which of them it is, its bytes say and not its name.
public struct TensorFile: Sendable {
  /// Which of them it is.
  public enum Format: Sendable {
    /// A header of JSON, then the numbers.
    case safetensors
    /// What `torch.save` wrote, read without running the pickle in it.
    case torch
    /// llama.cpp's format.
    case gguf
  }

  /// The file.
  public let url: URL
  /// What its bytes say that it is.
  public let format: Format
  /// What a safetensors header says beside the tensors, and what the other format's texts make of one.
  public let metadata: [JSON.Member]
  /// Bytes of the whole file.
  public let byteCount: Int
  /// What a reader should know of how the file was read, in sentences.
  public let notes: [String]
  /// The fields of a GGUF file's metadata; empty for others.
  public let fields: [GGUFField]
  private let list: TensorList

  /// - Throws: ``CheckpointError`` where the file can't be opened, is not valid, or is something else, which it names.
  public init(_ url: URL) throws {
    self.url = url
    let mapped = try MappedFile(url)
    let kind = withExtendedLifetime(mapped) { FileKind(mapped.bytes) }
    if kind.isTorch, url.pathExtension != "safetensors" {
      let file = try TorchFile(mapped, at: url)
      (format, byteCount, notes, fields, list) = (.torch, file.byteCount, file.notes, [], file.list)
      metadata = SafetensorsWriter.pythonMetadata + file.metadata
    } else if kind == .gguf, url.pathExtension != "safetensors" {
      let file = try GGUFFile(mapped, at: url)
      (format, byteCount, notes, fields, list) = (.gguf, file.byteCount, [], file.fields, file.list)
      metadata = SafetensorsWriter.pythonMetadata
    } else {
      let file = try SafetensorsFile(mapped, at: url)
      (format, metadata, byteCount, notes, list) = (.safetensors, file.metadata, file.byteCount, [], file.list)
      fields = []
    }
  }

  private init(_ file: TensorFile, holding list: TensorList) {
    (url, format, metadata, byteCount) = (file.url, file.format, file.metadata, file.byteCount)
    (notes, fields, self.list) = (file.notes, file.fields, list)
  }

  /// The same file with its tensors as they are to be understood: under other names, in another order of rows, codes and
  /// scales as one.
  ///
  /// - Throws: ``CheckpointError`` where two get one name.
  package func reading(_ tensors: [StoredTensor]) throws -> TensorFile {
    var names: Set<ExactString> = []
    for tensor in tensors where !names.insert(tensor.name) {
      throw CheckpointError(
        .malformed, file: url.path, "has two tensors that are both \(tensor.name)", expected: "each name once",
        advice: .fetchAgain)
    }
    return TensorFile(self, holding: TensorList(tensors))
  }

  /// The field of a key in a GGUF file's metadata.
  public func field(_ key: String) -> GGUFField? { fields.first { $0.key.isExactly(key) } }

  /// In an order that is the same each time: of their bytes (safetensors), of the dictionary (torch).
  public var tensors: [StoredTensor] { list.tensors }

  /// The tensor of this name; names are compared by their bytes.
  public subscript(name: String) -> StoredTensor? { list[name] }
}
