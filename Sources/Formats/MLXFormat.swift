// mlx-lm: a directory with adapters.safetensors and an adapter_config.json of its own.
//
// A is stored as lora_a [in, r], B as lora_b [r, out], DoRA's magnitudes as m; one rank and one raw scale hold for all
// modules.

import Foundation
import LoRAAdapters
import LoRAFiles
import LoRATensors

package enum MLXFormat {
  package static let weightsName = "adapters.safetensors"

  /// Whether a directory is mlx-lm's.
  package static func recognises(_ directory: URL) -> Bool {
    FileManager.default.fileExists(atPath: directory.appendingPathComponent(weightsName).path)
  }

  package static func read(_ directory: URL) throws -> StoredAdapter {
    let configurationFile = directory.appendingPathComponent(PEFTFormat.configurationName)
    let json = try readJSON(configurationFile)
    func fail(_ message: String) -> CheckpointError {
      CheckpointError(.malformed, file: configurationFile.path, message)
    }
    let type = json["fine_tune_type"]?.string ?? (json["use_dora"]?.bool == true ? "dora" : "lora")
    guard type == "lora" || type == "dora" else {
      throw CheckpointError(
        .unsupported, file: configurationFile.path, "fine_tune_type is \"\(type)\", expected lora or dora")
    }
    guard let parameters = json["lora_parameters"], let rank = parameters["rank"]?.integer, rank > 0 else {
      throw fail("has no lora_parameters with a rank")
    }
    // Older versions wrote alpha and divided by the rank.
    guard let scale = parameters["scale"]?.number ?? parameters["alpha"]?.number.map({ $0 / Double(rank) }) else {
      throw fail("lora_parameters has no scale")
    }
    let file = try SafetensorsFile(directory.appendingPathComponent(weightsName))
    var parts: [String: [String: StoredTensor]] = [:]
    for tensor in file.tensors { parts[tensor.info.modulePath, default: [:]][lastComponent(tensor.name)] = tensor }
    var modules: [StoredModule] = []
    var findings: [Finding] = []
    var unknown: [String] = []
    for (path, parts) in parts {
      guard let a = parts["lora_a"], let b = parts["lora_b"] else {
        unknown += parts.values.map(\.name)
        continue
      }
      guard a.shape.count == 2, b.shape.count == 2, a.shape[1] == b.shape[0], a.format.isConvertible,
        b.format.isConvertible
      else {
        throw CheckpointError(
          .malformed, file: file.url.path,
          "\(path): lora_a \(a.shape) and lora_b \(b.shape) are no pair; expected [in, r] and [r, out]")
      }
      unknown += parts.filter { !["lora_a", "lora_b", "m"].contains($0.key) }.map(\.value.name)
      let isEmbedding = ["embed_tokens", "wte", "word_embeddings"].contains(lastComponent(path))
      modules.append(
        StoredModule(
          path: path, kind: isEmbedding ? .embedding : .linear, a: a.transposed(), b: b.transposed(),
          magnitude: parts["m"], alpha: scale * Double(a.shape[1]), scale: scale))
    }
    if !unknown.isEmpty { findings.append(Finding(.error, "tensors of no known part", unknown.sorted(by: isOrdered))) }
    guard !modules.isEmpty else { throw CheckpointError(.malformed, file: file.url.path, "has no lora_a and lora_b") }
    var configuration = PEFTConfiguration()
    configuration.usesMagnitudes = modules.contains { $0.magnitude != nil }
    configuration.setRanks(of: modules)
    configuration.setTargets(modules.map(\.path))
    configuration.baseModel = json["model"]?.string
    configuration.taskType = "CAUSAL_LM"
    configuration.dropout = parameters["dropout"]?.number ?? 0
    return StoredAdapter(
      format: .mlx, url: directory, configuration: configuration, modules: modules, findings: findings,
      metadata: file.metadata)
  }

  /// What mlx-lm can't hold, and what it holds in another form.
  package static func losses(_ adapter: StoredAdapter) -> (lost: [String], changed: [String]) {
    var lost: [String] = []
    var changed: [String] = []
    let convolutions = adapter.modules.filter { $0.kind == .convolution }
    if !convolutions.isEmpty { lost.append("\(convolutions.count) convolutions") }
    if adapter.modules.contains(where: { $0.bias != nil }) { lost.append("biases of B") }
    if !adapter.replacements.isEmpty { lost.append("\(adapter.replacements.count) weights saved whole") }
    if adapter.modules.contains(where: { $0.magnitude != nil }),
      adapter.modules.contains(where: { $0.magnitude == nil })
    {
      lost.append("DoRA for some modules only")
    }
    let ranks = Set(adapter.modules.map(\.rank))
    if ranks.count > 1 { changed.append("ranks \(ranks.sorted()) become \(ranks.max()!), padded with zeros") }
    if Set(adapter.modules.map(\.scale)).count > 1 {
      changed.append("scales that differ are multiplied into B")
    } else if adapter.configuration.isRankStabilized {
      changed.append("rsLoRA becomes a plain scale of the same size")
    }
    return (lost, changed)
  }

  package static func write(_ adapter: StoredAdapter, to directory: URL) throws {
    let modules = adapter.modules.filter { $0.kind != .convolution }
    guard let first = modules.first else {
      throw CheckpointError(.unsupported, file: adapter.url.path, "has no module that mlx-lm can hold")
    }
    let rank = modules.map(\.rank).max()!
    let scale = first.scale
    var tensors: [StoredTensor] = []
    for module in modules {
      let (a, b) = try padded(module, to: rank, scale: scale)
      tensors.append(a.transposed().renamed(module.path + ".lora_a"))
      tensors.append(b.transposed().renamed(module.path + ".lora_b"))
      if let magnitude = module.magnitude { tensors.append(magnitude.renamed(module.path + ".m")) }
    }
    let output = try OutputDirectory(directory)
    try SafetensorsWriter.write(
      tensors, to: output.staging.appendingPathComponent(weightsName), metadata: [JSON.Member("format", "mlx")])
    // mlx-lm looks for keys within a layer, and in the whole model.
    let keys = Set(modules.map { keyInLayer($0.path) }).sorted()
    let json: JSON = [
      "fine_tune_type": .string(adapter.configuration.usesMagnitudes ? "dora" : "lora"),
      "lora_parameters": [
        "dropout": .number(adapter.configuration.dropout), "keys": .array(keys.map(JSON.string)),
        "rank": .integer(rank), "scale": .number(scale),
      ],
      "model": adapter.configuration.baseModel.map(JSON.string) ?? .null,
      "num_layers": -1,
    ]
    try OutputFile.write(json.pretty + "\n", to: output.staging.appendingPathComponent(PEFTFormat.configurationName))
    try output.commit()
  }

  private static func padded(
    _ module: StoredModule, to rank: Int, scale: Double
  ) throws -> (a: StoredTensor, b: StoredTensor) {
    guard module.rank != rank || module.scale != scale else { return (module.a, module.b) }
    var (a, b) = try module.factors()
    if module.scale != scale { b = b * Float(module.scale / scale) }
    if module.rank < rank {
      a = .concatenated([a, .zeros([rank - module.rank, module.inputs])], axis: 0)
      b = .concatenated([b, .zeros([module.outputs, rank - module.rank])], axis: 1)
    }
    return (
      try StoredTensor(name: module.a.name, a, as: module.a.format),
      try StoredTensor(name: module.b.name, b, as: module.b.format)
    )
  }

  /// "model.layers.3.self_attn.q_proj" → "self_attn.q_proj".
  private static func keyInLayer(_ path: String) -> String {
    let parts = path.split(separator: ".")
    guard let index = parts.firstIndex(where: { Int($0) != nil }), index + 1 < parts.count else { return path }
    return parts[(index + 1)...].joined(separator: ".")
  }
}
