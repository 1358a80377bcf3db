// A model in a GGUF file as transformers would have it: its tensors under the names of the model's class, in the order of
// rows that the class has, and the config.json that the metadata amounts to.

import Foundation
import LoRAFiles

/// A GGUF file that holds a model.
package struct GGUFModel: Sendable {
  /// The file, with its tensors under transformers' names.
  let file: TensorFile
  /// What config.json would say.
  let configuration: JSON
  /// What llama.cpp calls a tensor, by transformers' name, and how it is stored there.
  let origins: [ExactString: StoredTensor]
  /// Tensors that transformers does not store.
  let leftOut: [StoredTensor]
  let names: GGUFNames
  let heads: AttentionHeads?

  /// - Throws: `CheckpointError` where the file holds no model, or one of an architecture that is not known here.
  init(_ file: TensorFile) throws {
    func fail(_ found: String, expected: String, _ kind: CheckpointError.Kind = .unsupported) -> CheckpointError {
      CheckpointError(kind, file: file.url.path, found, expected: expected, advice: .otherModel)
    }
    let type = file.field("general.type")?.string ?? "model"
    guard type == "model" else {
      throw CheckpointError(
        .mismatch, file: file.url.path, "is a GGUF file with \(type == "adapter" ? "an adapter" : "a \(type)")",
        expected: "a model", advice: "Name the model that it belongs to")
    }
    guard let architecture = file.field("general.architecture")?.string else {
      throw fail("has no general.architecture", expected: "a model's name there", .malformed)
    }
    guard let names = GGUFNames.of(architecture: architecture) else {
      throw fail(
        "holds a model of the architecture \"\(architecture)\"",
        expected: GGUFNames.all.map(\.architecture).joined(separator: ", "))
    }
    if let parts = file.field("split.count")?.integer, parts > 1 {
      throw CheckpointError(
        .unsupported, file: file.url.path, "is one of \(parts) parts of a model", expected: "a whole one",
        advice: "Join them with llama.cpp's gguf-split --merge")
    }
    self.names = names
    heads = Self.heads(file, architecture)
    var (tensors, origins): ([StoredTensor], [ExactString: StoredTensor]) = ([], [:])
    var (factors, leftOut): ([Float], [StoredTensor]) = ([], [])
    for tensor in file.tensors {
      if tensor.name == "rope_freqs.weight", tensor.shape.count == 1, tensor.count < 1 << 16 {
        factors = try tensor.tensor().scalars
        leftOut.append(tensor)
        continue
      }
      let path = names.path(of: tensor.info.modulePath)
      let leaf = tensor.name.dropFirst(tensor.info.modulePath.utf8.count)
      guard let path, leaf == ".weight" || leaf == ".bias" else {
        throw fail("has a tensor \(tensor.name)", expected: "those of a \(architecture) model")
      }
      // A copy of the embedding, which some converters write.
      if tensor.name == "output.weight", architecture == "gpt2" {
        leftOut.append(tensor)
        continue
      }
      var read = tensor
      if let heads = self.heads.flatMap({ names.heads(of: tensor.info.modulePath, $0) }) {
        guard let size = AttentionHeads.size(rows: tensor.shape.first ?? 0, heads: heads), tensor.shape.count <= 2
        else {
          throw fail(
            "\(tensor.name) \(tensor.shape) can't be cut into \(heads) heads", expected: "a multiple of \(heads) rows",
            .malformed)
        }
        read = tensor.untwisted(head: size)
      }
      if names.isTransposed(tensor.info.modulePath), tensor.shape.count == 2 {
        guard tensor.format.isConvertible else {
          throw fail("\(tensor.name) holds \(tensor.format.rawValue)", expected: "numbers that can be read as float32")
        }
        read = tensor.transposed()
      }
      read = read.renamed(path + leaf)
      origins[read.name] = tensor
      tensors.append(read)
    }
    self.file = try file.reading(tensors)
    self.origins = origins
    self.leftOut = leftOut
    configuration = try GGUFConfiguration(file, names).json(factors: factors) { origins[$0] }
  }

  private static func heads(_ file: TensorFile, _ architecture: String) -> AttentionHeads? {
    guard let query = file.field("\(architecture).attention.head_count")?.integer, query > 0 else { return nil }
    let key = file.field("\(architecture).attention.head_count_kv")?.integer ?? query
    return key > 0 ? AttentionHeads(query: query, key: key) : nil
  }
}
