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
    let configurationFile = try LoRAFiles.file(PEFTNames.configurationName, in: directory)
    let json = try readJSON(configurationFile)
    func fail(_ found: String, expected: String) -> CheckpointError {
      CheckpointError(
        .malformed, file: configurationFile.path, found, expected: expected,
        advice: "Take the adapter_config.json of the adapter")
    }
    let type = json["fine_tune_type"]?.string ?? (json["use_dora"]?.bool == true ? "dora" : "lora")
    guard type == "lora" || type == "dora" else {
      throw CheckpointError(
        .unsupported, file: configurationFile.path, "fine_tune_type is \"\(type)\"", expected: "lora or dora",
        advice: "Take an adapter, not weights that were trained whole")
    }
    guard let parameters = json["lora_parameters"], let rank = parameters["rank"]?.integer, rank > 0 else {
      throw fail("has no lora_parameters with a rank", expected: "a rank of at least 1 there")
    }
    // Older versions wrote alpha and divided by the rank.
    guard let scale = parameters["scale"]?.number ?? parameters["alpha"]?.number.map({ $0 / Double(rank) }) else {
      throw fail("lora_parameters has no scale", expected: "a number there")
    }
    let file = try TensorFile(LoRAFiles.file(weightsName, in: directory))
    var parts: [ExactString: [ExactString: StoredTensor]] = [:]
    for tensor in file.tensors { parts[tensor.info.modulePath, default: [:]][lastComponent(tensor.name)] = tensor }
    var modules: [StoredModule] = []
    var findings: [Finding] = []
    var unknown: [String] = []
    for (path, parts) in parts.map({ ($0.key.text, $0.value) }).sorted(by: { isOrdered($0.0, $1.0) }) {
      guard let a = parts["lora_a"], let b = parts["lora_b"] else {
        unknown += parts.values.map(\.name)
        continue
      }
      guard a.shape.count == 2, b.shape.count == 2 else {
        throw CheckpointError(
          .unsupported, file: file.url.path,
          "\(path): lora_a \(a.shape) and lora_b \(b.shape) are mlx-lm's LoRA of a layer of experts (SwitchLinear)",
          expected: "[in, r] and [r, out]",
          advice: "Leave the experts out when it is trained, or fuse it with mlx_lm.fuse")
      }
      guard a.count > 0, b.count > 0 else {
        throw CheckpointError(
          .malformed, file: file.url.path, "\(path): lora_a \(a.shape) and lora_b \(b.shape) hold no numbers",
          expected: "[in, r] and [r, out]", advice: .fetchAgain)
      }
      unknown += parts.filter { !["lora_a", "lora_b", "m"].contains($0.key.text) }.map(\.value.name)
      let isEmbedding = NameTable.isEmbedding(path)
      var tensors = [
        isEmbedding ? StoredLoRA.embeddingA : StoredLoRA.a: a.transposed(),
        isEmbedding ? StoredLoRA.embeddingB : StoredLoRA.b: b.transposed(),
      ]
      tensors[StoredDoRA.magnitude] = parts["m"]
      modules.append(
        StoredModule(
          path: path,
          method: try AdapterMethods.make(
            ModuleParts(
              path: path, file: file.url.path, tensors: tensors,
              alpha: Scaling.standard.alpha(scale: scale, rank: a.shape[1])))))
    }
    if !unknown.isEmpty { findings.append(Finding(.error, "tensors of no known part", unknown.sorted(by: isOrdered))) }
    guard !modules.isEmpty else {
      throw CheckpointError(
        .malformed, file: file.url.path, "its names begin with \(file.tensors.first?.name ?? "nothing")",
        expected: "lora_a and lora_b", advice: Advice("Look at its names", .inspect))
    }
    var configuration = PEFTConfiguration()
    configuration.usesMagnitudes = modules.contains { $0.method is StoredDoRA }
    configuration.setRanks(of: modules)
    configuration.setTargets(modules)
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
    let others = adapter.modules.filter { Self.lora($0) == nil }
    if !others.isEmpty {
      lost.append("\(others.count.counted("module")) other than linear LoRA or DoRA (\(others[0].path))")
    }
    if adapter.modules.contains(where: { $0.method.changesBias }) { lost.append("biases of B") }
    if !adapter.replacements.isEmpty { lost.append("\(adapter.replacements.count.counted("weight")) saved whole") }
    if Set(adapter.modules.map { $0.method is StoredDoRA }).count > 1 { lost.append("DoRA for some modules only") }
    let ranks = Set(adapter.modules.map(\.rank))
    if ranks.count > 1 { changed.append("ranks \(ranks.sorted()) become \(ranks.max()!), padded with zeros") }
    if Set(adapter.modules.map(\.scale)).count > 1 {
      changed.append("scales that differ are multiplied into B")
    } else if adapter.configuration.scaling == .rankStabilized {
      changed.append("rsLoRA becomes a plain scale of the same size")
    }
    return (lost, changed)
  }

  /// The factors of a module that mlx-lm can hold.
  private static func lora(_ module: StoredModule) -> StoredLoRA? {
    let dora = module.method as? StoredDoRA
    guard let lora = (dora?.isByInput == true ? nil : dora?.direction ?? module.method) as? StoredLoRA,
      lora.kernel.isEmpty
    else { return nil }
    return lora
  }

  package static func write(_ adapter: StoredAdapter, to directory: URL) throws {
    let modules = adapter.modules.compactMap { module in lora(module).map { (path: module.path, lora: $0, module) } }
    guard let rank = modules.map(\.lora.rank).max() else {
      throw CheckpointError(
        .unsupported, file: adapter.url.path, "has no module that mlx-lm can hold",
        expected: "a LoRA or a DoRA of a linear layer or an embedding", advice: "Choose another format")
    }
    let scale = modules[0].lora.scale
    var tensors: [StoredTensor] = []
    for (path, lora, module) in modules {
      let (a, b) = try padded(lora, to: rank, scale: scale)
      tensors.append(a.transposed().renamed(path + ".lora_a"))
      tensors.append(b.transposed().renamed(path + ".lora_b"))
      if let dora = module.method as? StoredDoRA { tensors.append(dora.magnitude.renamed(path + ".m")) }
    }
    let output = try OutputDirectory(directory)
    try SafetensorsWriter.write(
      tensors, to: output.staging.appendingPathComponent(weightsName),
      metadata: [JSON.Member("format", "mlx")] + adapter.notes)
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
    try OutputFile.write(json.pretty + "\n", to: output.staging.appendingPathComponent(PEFTNames.configurationName))
    try output.commit()
  }

  private static func padded(
    _ lora: StoredLoRA, to rank: Int, scale: Double
  ) throws -> (a: StoredTensor, b: StoredTensor) {
    guard lora.rank != rank || lora.scale != scale else { return (lora.a, lora.b) }
    var (a, b) = (try lora.a.tensor(), try lora.b.tensor())
    if lora.scale != scale { b = b * Float(lora.scale / scale) }
    if lora.rank < rank {
      a = .concatenated([a, .zeros([rank - lora.rank, lora.inputs])], axis: 0)
      b = .concatenated([b, .zeros([lora.outputs, rank - lora.rank])], axis: 1)
    }
    return (
      try StoredTensor(name: lora.a.name, a, as: lora.a.format),
      try StoredTensor(name: lora.b.name, b, as: lora.b.format)
    )
  }

  /// "model.layers.3.self_attn.q_proj" → "self_attn.q_proj".
  private static func keyInLayer(_ path: String) -> String {
    let parts = path.split(separator: ".")
    guard let index = parts.firstIndex(where: { Int($0) != nil }), index + 1 < parts.count else { return path }
    return parts[(index + 1)...].joined(separator: ".")
  }
}
