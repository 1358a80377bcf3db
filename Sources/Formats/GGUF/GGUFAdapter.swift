// A LoRA as llama.cpp reads it: one GGUF file with the pairs A and B of the base's tensors.
//
// Its scale is one α for the file, divided by each pair's own rank; α = 0 stands for a scale of 1. So what differs from pair
// to pair, or is no α/r (rsLoRA), has no place but in B: here B is always written with the scale in it, and α as 0.

import Foundation
import LoRAAdapters
import LoRAFiles
import LoRATensors

package enum GGUFAdapter {
  private static let (a, b) = (".weight.lora_a", ".weight.lora_b")
  /// Without these, nobody can tell which rows of B are a head's; llama.cpp reads over them.
  private static func headKeys(_ architecture: String) -> (query: String, key: String) {
    ("\(architecture).attention.head_count", "\(architecture).attention.head_count_kv")
  }

  /// Whether a file is such an adapter.
  package static func recognises(_ file: TensorFile) -> Bool {
    file.format == .gguf && file.field("general.type")?.string == "adapter"
  }

  // MARK: Reading

  package static func read(_ file: TensorFile) throws -> StoredAdapter {
    func fail(_ kind: CheckpointError.Kind, _ found: String, expected: String) -> CheckpointError {
      CheckpointError(
        kind, file: file.url.path, found, expected: expected,
        advice: "Take another adapter, or convert it with the program that made it")
    }
    let kind = file.field("adapter.type")?.string ?? "nothing"
    guard kind == "lora" else { throw fail(.unsupported, "its adapter.type is \(kind)", expected: "lora") }
    let architecture = file.field("general.architecture")?.string ?? ""
    guard let names = GGUFNames.of(architecture: architecture) else {
      throw fail(
        .unsupported, "is for a model of the architecture \"\(architecture)\"",
        expected: GGUFNames.all.map(\.architecture).joined(separator: ", "))
    }
    let alpha = file.field("adapter.lora.alpha")?.number ?? 0
    guard alpha.isFinite else { throw fail(.number, "adapter.lora.alpha is \(alpha)", expected: "a finite number") }
    let keys = headKeys(architecture)
    let query = file.field(keys.query)?.integer ?? 0
    let key = file.field(keys.key)?.integer ?? query
    let heads = query > 0 && key > 0 ? AttentionHeads(query: query, key: key) : nil
    var reader = ModuleReader(file: file.url.path)
    var (unknown, ranks): ([String], [ExactString: Int]) = ([], [:])
    var isInterleaved = false
    for tensor in file.tensors {
      let isA = tensor.name.hasSuffix(a)
      guard isA || tensor.name.hasSuffix(b), tensor.shape.count == 2, tensor.count > 0,
        let path = names.path(of: String(tensor.name.dropLast(a.utf8.count)))
      else {
        unknown.append(tensor.name)
        continue
      }
      let module = String(tensor.name.dropLast(a.utf8.count))
      let isEmbedding = module == "token_embd"
      if isA {
        try reader.add(
          isEmbedding ? tensor.transposed() : tensor, as: isEmbedding ? StoredLoRA.embeddingA : StoredLoRA.a, of: path)
      } else {
        ranks[ExactString(path)] = tensor.shape[1]
        var b = tensor
        if names.isOfHeads(module) {
          if let heads {
            b = try untwisted(b, heads: names.heads(of: module, heads)!, in: file.url.path)
          } else {
            isInterleaved = true
          }
        }
        try reader.add(b, as: isEmbedding ? StoredLoRA.embeddingB : StoredLoRA.b, of: path)
      }
    }
    let (modules, incomplete) = try reader.modules { path in
      ModuleScale(alpha: alpha == 0 ? ranks[path].map(Double.init) : alpha)
    }
    guard !modules.isEmpty else {
      throw fail(.malformed, "holds no whole pair", expected: "lora_a and lora_b of at least one module")
    }
    var configuration = PEFTConfiguration()
    configuration.setRanks(of: modules)
    configuration.setTargets(modules)
    if names.modelType != "bert" { configuration.taskType = "CAUSAL_LM" }
    var findings: [Finding] = []
    findings.report(.error, "tensors of no known part", unknown.sorted(by: isOrdered))
    findings.report(.error, "parts of a module without their counterpart (A without B, or B without A)", incomplete)
    var adapter = StoredAdapter(
      format: .gguf, url: file.url, configuration: configuration, modules: modules, findings: findings)
    adapter.isInterleaved = isInterleaved
    return adapter
  }

  /// B with the halves of each head in their order.
  private static func untwisted(_ b: StoredTensor, heads: Int, in file: String) throws -> StoredTensor {
    guard let size = AttentionHeads.size(rows: b.shape[0], heads: heads) else {
      throw CheckpointError(
        .mismatch, file: file, "\(b.name) \(b.shape) can't be cut into \(heads) heads",
        expected: "a multiple of \(heads) rows", advice: .fetchAgain)
    }
    return b.untwisted(head: size).inOrder
  }

  // MARK: Writing

  /// What llama.cpp can't hold, and what it holds in another form.
  package static func losses(_ adapter: StoredAdapter) -> (lost: [String], changed: [String]) {
    var (lost, changed): ([String], [String]) = ([], [])
    let others = adapter.modules.filter { !isPlain($0) }
    if !others.isEmpty {
      let methods = Set(others.map(\.method.name)).sorted().joined(separator: ", ")
      lost.append(
        "\(others.count.counted("module")) (\(methods)) other than a plain LoRA of a linear layer or an embedding (\(others[0].path)): "
          + "merge them into the base instead")
    }
    if !adapter.replacements.isEmpty {
      let names = adapter.replacements.map(\.name)
      lost.append(
        "\(names.count.counted("weight")) saved whole (\(names.prefix(3).joined(separator: ", "))): merge them into the base instead"
      )
    }
    if !adapter.shared.isEmpty { lost.append("\(adapter.shared.count.counted("tensor")) that modules share") }
    let scales = Set(adapter.modules.filter(isPlain).map(\.scale))
    if scales != [1] {
      changed.append(
        scales.count > 1 || adapter.configuration.scaling == .rankStabilized
          ? "the modules' own scales are multiplied into B, and alpha is 0, which llama.cpp takes for a scale of 1"
          : "the scale is multiplied into B, and alpha is 0, which llama.cpp takes for a scale of 1")
    }
    return (lost, changed)
  }

  /// A and B are all of it, two matrices.
  private static func isPlain(_ module: StoredModule) -> Bool {
    guard let lora = module.method as? StoredLoRA else { return false }
    return lora.middle == nil && lora.outputBias == nil && lora.a.shape.count == 2 && lora.b.shape.count == 2
  }

  /// - Parameters:
  ///   - adapter: what is written; what llama.cpp can't hold is left out.
  ///   - base: the model that it belongs to, GGUF or of transformers.
  /// - Throws: `CheckpointError` where the base is of an architecture that is not known here, or has no place for a module.
  package static func write(_ adapter: StoredAdapter, base: Checkpoint, to url: URL) throws {
    let catalog = WeightCatalog(base)
    let type = base.configuration?["model_type"]?.string ?? ""
    guard let names = GGUFNames.of(modelType: type) else {
      throw CheckpointError(
        .unsupported, file: base.url.path,
        type.isEmpty
          ? "has no config.json that says what model it is"
          : "is a model of the type \"\(type)\", for which llama.cpp's names are not known here",
        expected: GGUFNames.all.map(\.modelType).joined(separator: ", "), advice: "Take a base of one of these kinds")
    }
    let heads = AttentionHeads(base.configuration)
    let placement = try Placement(adapter, on: catalog, unties: true)
    try placement.requireComplete(action: "converted")
    try adapter.requireFinite()
    var tensors: [StoredTensor] = []
    for item in placement.items where isPlain(item.module) {
      guard let lora = item.module.lora, item.places.count == 1, item.places[0].tensorRows == nil else {
        throw CheckpointError(
          .unsupported, file: adapter.url.path, "\(item.module.path) is a part of a module of the model",
          expected: "whole modules", advice: "Merge the adapter instead")
      }
      let path = String(catalog.parameter(of: item.places[0].tensor).dropLast(".weight".count))
      guard let module = names.module(of: path) else {
        throw CheckpointError(
          .unsupported, file: adapter.url.path, "\(path) has no name in llama.cpp", expected: "modules that have one",
          advice: "Merge the adapter instead")
      }
      let update = try lora.factors()!
      var b = update.b * Float(update.scale)
      if names.isOfHeads(module) {
        guard let heads = heads.flatMap({ names.heads(of: module, $0) }),
          let size = AttentionHeads.size(rows: b.shape[0], heads: heads)
        else {
          throw CheckpointError(
            .unsupported, file: base.url.path, "does not say how many heads \(path) has",
            expected: "num_attention_heads in its config.json", advice: "Take its config.json")
        }
        b = b.rows(at: (0..<b.shape[0]).map { $0 / size * size + $0 % 2 * (size / 2) + $0 % size / 2 })
      }
      let isEmbedding = module == "token_embd"
      tensors.append(try StoredTensor(name: module + self.a, isEmbedding ? update.a.transposed() : update.a))
      tensors.append(try StoredTensor(name: module + self.b, b))
    }
    guard !tensors.isEmpty else {
      throw CheckpointError(
        .unsupported, file: adapter.url.path, "holds nothing that can be written so (nothing was written)",
        expected: "a LoRA of a module", advice: "Choose another format")
    }
    var fields = [
      GGUFField("general.type", "adapter"), GGUFField("general.architecture", names.architecture),
      GGUFField("general.name", adapter.url.deletingPathExtension().lastPathComponent),
      GGUFField("adapter.type", "lora"), GGUFField("adapter.lora.alpha", Float(0)),
    ]
    if names.isInterleaved, let heads {
      let keys = headKeys(names.architecture)
      fields += [GGUFField(keys.query, UInt32(heads.query)), GGUFField(keys.key, UInt32(heads.key))]
    }
    try GGUFWriter.write(tensors, fields: fields, to: url)
  }
}

extension StoredAdapter {
  /// The same with its rows in the order that a base model says, where its file does not.
  ///
  /// - Throws: `CheckpointError` where the heads do not fit.
  package func inOrder(for base: Checkpoint) throws -> StoredAdapter {
    try untwisted(AttentionHeads(base.configuration))
  }

  /// The same with the rows of queries' and keys' B in transformers' order, where the file did not say how many heads there
  /// are and a model does.
  ///
  /// - Throws: `CheckpointError` where the heads do not fit.
  func untwisted(_ heads: AttentionHeads?) throws -> StoredAdapter {
    guard isInterleaved, let heads, let names = GGUFNames.all.first(where: \.isInterleaved) else { return self }
    var result = self
    for index in modules.indices {
      guard var lora = modules[index].method as? StoredLoRA, let module = names.module(of: modules[index].path),
        let count = names.heads(of: module, heads)
      else { continue }
      guard let size = AttentionHeads.size(rows: lora.outputs, heads: count) else {
        throw CheckpointError(
          .mismatch, file: url.path, "\(modules[index].path) has \(lora.outputs) rows",
          expected: "a multiple of \(count), the number of heads", advice: .takeItsBase)
      }
      lora.b = lora.b.untwisted(head: size).inOrder
      result.modules[index].method = lora
    }
    result.isInterleaved = false
    return result
  }
}
