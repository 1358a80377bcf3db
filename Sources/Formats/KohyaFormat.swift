// kohya-ss: one safetensors file; a module's path with its dots turned into underscores, A as lora_down, B as lora_up,
// and alpha as a tensor of its own.

import Foundation
import LoRAAdapters
import LoRAFiles
import LoRATensors

package enum KohyaFormat {
  /// Where a file that was converted here keeps the whole paths: a flat name can't be turned back for sure.
  private static let pathsKey = "module_paths"

  package static func recognises(_ file: SafetensorsFile) -> Bool {
    file.tensors.contains { $0.name.hasSuffix(".lora_down.weight") }
  }

  package static func read(_ file: SafetensorsFile) throws -> StoredAdapter {
    var paths: [String: String] = [:]
    if let text = file.metadata.first(where: { $0.key == pathsKey })?.value.string, let json = try? JSON(parsing: text)
    {
      for member in json.members { paths[member.key] = member.value.string }
    }
    var parts: [String: [String: StoredTensor]] = [:]
    for tensor in file.tensors {
      let dot = tensor.name.firstIndex(of: ".") ?? tensor.name.endIndex
      parts[String(tensor.name[..<dot]), default: [:]][String(tensor.name[dot...].dropFirst())] = tensor
    }
    var modules: [StoredModule] = []
    var unknown: [String] = []
    for (stem, parts) in parts {
      if parts["lora_mid.weight"] != nil || parts["dora_scale"] != nil {
        throw CheckpointError(
          .unsupported, file: file.url.path, "\(stem): lora_mid and dora_scale (LyCORIS) are not read")
      }
      guard let a = parts["lora_down.weight"], let b = parts["lora_up.weight"] else {
        unknown += parts.values.map(\.name)
        continue
      }
      let axes = a.shape.count
      guard axes == 2 || axes == 4, b.shape.count == axes, a.shape[0] == b.shape[1], a.shape[0] > 0,
        b.shape.dropFirst(2).allSatisfy({ $0 == 1 }), a.format.isConvertible, b.format.isConvertible
      else {
        throw CheckpointError(
          .malformed, file: file.url.path,
          "\(stem): lora_down \(a.shape) and lora_up \(b.shape) are no pair; expected [r, in] and [out, r]")
      }
      unknown += parts.filter { !["lora_down.weight", "lora_up.weight", "alpha"].contains($0.key) }.map(\.value.name)
      let rank = a.shape[0]
      // Without an alpha the scale is 1.
      var alpha = Double(rank)
      if let tensor = parts["alpha"] {
        guard tensor.count == 1, tensor.format.isConvertible else {
          throw CheckpointError(
            .malformed, file: file.url.path, "\(stem).alpha has shape \(tensor.shape), expected one number")
        }
        alpha = Double(try tensor.tensor().scalars[0])
      }
      modules.append(
        StoredModule(
          path: paths[stem] ?? stem, kind: axes == 4 ? .convolution : .linear, a: a, b: b, alpha: alpha,
          scale: alpha / Double(rank)))
    }
    var configuration = PEFTConfiguration()
    configuration.setRanks(of: modules)
    configuration.setTargets(modules.map(\.path))
    return StoredAdapter(
      format: .kohya, url: file.url, configuration: configuration, modules: modules,
      findings: unknown.isEmpty ? [] : [Finding(.error, "tensors of no known part", unknown.sorted(by: isOrdered))],
      metadata: file.metadata)
  }

  package static func losses(_ adapter: StoredAdapter) -> (lost: [String], changed: [String]) {
    var lost: [String] = []
    let embeddings = adapter.modules.filter { $0.kind == .embedding }
    if !embeddings.isEmpty { lost.append("\(embeddings.count) embeddings") }
    if adapter.modules.contains(where: { $0.bias != nil }) { lost.append("biases of B") }
    if adapter.modules.contains(where: { $0.magnitude != nil }) { lost.append("DoRA's magnitudes") }
    if !adapter.replacements.isEmpty { lost.append("\(adapter.replacements.count) weights saved whole") }
    return (lost, adapter.configuration.isRankStabilized ? ["rsLoRA becomes an alpha of the same scale"] : [])
  }

  package static func write(_ adapter: StoredAdapter, to url: URL, prefix: String = "lora_unet_") throws {
    var tensors: [StoredTensor] = []
    var paths: [JSON.Member] = []
    for module in adapter.modules where module.kind != .embedding {
      // A path without a dot is a flat name already, with the prefix that it came with.
      let stem = module.path.contains(".") ? prefix + flat(module.path) : module.path
      guard !paths.contains(where: { $0.key == stem }) else {
        throw CheckpointError(
          .mismatch, file: adapter.url.path, "\(module.path) and another module both become \(stem)")
      }
      paths.append(JSON.Member(stem, .string(module.path)))
      tensors.append(module.a.renamed(stem + ".lora_down.weight"))
      tensors.append(module.b.renamed(stem + ".lora_up.weight"))
      tensors.append(
        try StoredTensor(name: stem + ".alpha", Tensor(shape: [], scalars: [Float(module.scale * Double(module.rank))]))
      )
    }
    let ranks = adapter.modules.map(\.rank)
    try SafetensorsWriter.write(
      tensors, to: url,
      metadata: [
        JSON.Member("format", "pt"), JSON.Member("ss_network_module", "networks.lora"),
        JSON.Member("ss_network_dim", .string(String(ranks.max() ?? 0))),
        JSON.Member("ss_network_alpha", .string("\(adapter.configuration.alpha)")),
        JSON.Member(pathsKey, .string(JSON.object(paths).compact)),
      ])
  }

  /// Whole paths for flat names: of `modules`, the one that flattens to a name, where it is the only one.
  ///
  /// A flat name may carry a prefix such as "lora_unet_" or "lora_te_".
  package static func table(paths: [String], modules: [String]) -> [String: String] {
    let byFlatName = Dictionary(grouping: modules, by: flat)
    let known = Set(modules)
    var table: [String: String] = [:]
    for path in paths {
      if known.contains(path) {
        table[path] = path
        continue
      }
      var candidates: Set<String> = []
      for prefix in ["", "lora_unet_", "lora_te_", "lora_te1_", "lora_te2_", "lora_"] where path.hasPrefix(prefix) {
        candidates.formUnion(byFlatName[String(path.dropFirst(prefix.count))] ?? [])
      }
      if candidates.count == 1 { table[path] = candidates.first }
    }
    return table
  }

  private static func flat(_ path: String) -> String { path.replacingOccurrences(of: ".", with: "_") }
}
