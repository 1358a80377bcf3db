// Where a model's tensors go in a GGUF file: under which names, in which order of rows, and beside which metadata.

import Foundation
import LoRAFiles
import LoRATensors

/// How a model is laid out as a GGUF file.
package struct GGUFLayout: Sendable {
  /// A tensor's place.
  package struct Slot: Sendable {
    /// llama.cpp's name.
    package let name: String
    /// Its shape there.
    package let shape: [Int]
    /// Rows of a head whose halves are stored in turns; 0: rows are stored in their order.
    package let head: Int
    /// Whether it is stored as the transpose of transformers' matrix.
    package let isTransposed: Bool
  }

  private let base: Checkpoint
  private let names: GGUFNames
  private let heads: AttentionHeads?
  private let catalog: WeightCatalog
  private let metadata: [GGUFField]
  /// Tensors that transformers works out and GGUF stores.
  package let additions: [StoredTensor]

  /// - Throws: `CheckpointError` where the model's architecture, or something of it, has no place in a GGUF file.
  package init(_ base: Checkpoint) throws {
    self.base = base
    catalog = WeightCatalog(base)
    if let gguf = base.gguf {
      (names, heads, metadata) = (gguf.names, gguf.heads, gguf.file.fields)
      additions = gguf.leftOut
      return
    }
    let type = base.configuration?["model_type"]?.string ?? ""
    guard let names = GGUFNames.of(modelType: type) else {
      throw CheckpointError(
        .unsupported, file: base.url.path,
        type.isEmpty ? "is no folder with a config.json" : "is a model of the type \"\(type)\"",
        expected: "\(GGUFNames.all.map(\.modelType).joined(separator: ", ")), which can be written as GGUF",
        advice: "Write safetensors instead")
    }
    let export = try GGUFExport(base, names)
    self.names = names
    heads = AttentionHeads(base.configuration)
    metadata = try export.fields()
    additions = try export.rotaryFactors().map { [$0] } ?? []
  }

  /// The metadata, which says in which format most numbers are.
  ///
  /// - Parameters:
  ///   - format: of most numbers.
  ///   - tensors: all that will stand in the file.
  /// - Throws: `CheckpointError` where the metadata says otherwise of their shapes.
  package func fields(mostly format: NumberFormat, of tensors: [TensorInfo]) throws -> [GGUFField] {
    try GGUFShapes(metadata, architecture: names.architecture).check(tensors, file: base.url.path)
    let types: [NumberFormat: UInt32] = [
      .f32: 0, .f16: 1, .q40: 2, .q41: 3, .q80: 7, .q50: 8, .q51: 9, .q4K: 15, .q5K: 17, .q6K: 18, .bf16: 32,
    ]
    let own = ["general.file_type", "general.quantization_version"]
    return metadata.filter { !own.contains($0.key) }
      + [GGUFField(own[0], types[format] ?? 0), GGUFField(own[1], UInt32(2))]
  }

  /// Whether a tensor has no place in the file and is not missed there: what llama.cpp computes, or never asks for.
  package func doesWithout(_ name: String) -> Bool { base.gguf == nil && names.doWithout(catalog.parameter(of: name)) }

  /// Where a tensor of the model goes.
  ///
  /// - Parameter name: transformers' name, or the base's own.
  /// - Throws: `CheckpointError` where llama.cpp has no name for it.
  package func slot(of name: String, shape: [Int]) throws -> Slot {
    let parameter = TensorInfo(name: catalog.parameter(of: name), format: .f32, shape: shape)
    let leaf = parameter.name.dropFirst(parameter.modulePath.utf8.count)
    guard leaf == ".weight" || leaf == ".bias", let module = names.module(of: parameter.modulePath) else {
      throw CheckpointError(
        .unsupported, file: base.url.path, "\(name) has no name in llama.cpp's \(names.architecture) models",
        expected: "tensors that have one", advice: "Write safetensors instead")
    }
    let isTransposed = names.isTransposed(module) && shape.count == 2
    let head = heads.flatMap { names.heads(of: module, $0) }.flatMap {
      AttentionHeads.size(rows: shape.first ?? 0, heads: $0)
    }
    guard head != nil || !names.isOfHeads(module) else {
      throw CheckpointError(
        .unsupported, file: base.url.path, "does not say how many heads \(name) has",
        expected: "num_attention_heads in its config.json", advice: "Take its config.json")
    }
    return Slot(
      name: module + leaf, shape: isTransposed ? shape.reversed() : shape, head: head ?? 0, isTransposed: isTransposed)
  }

  /// The tensor as the GGUF base stores it; nil for other bases.
  package func origin(of name: String) -> StoredTensor? { base.gguf?.origins[name] }

  /// Whether a tensor makes the logits: the output layer, or the embedding where the two are one.
  package func makesLogits(_ slot: Slot) -> Bool {
    slot.name == "output.weight"
      || slot.name == "token_embd.weight" && base["lm_head.weight"] == nil
  }
}
