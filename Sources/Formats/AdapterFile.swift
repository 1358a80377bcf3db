// An adapter in one safetensors file, as kohya-ss, LyCORIS, diffusers, ComfyUI and others write it.
//
// A tensor's name is a module's, flat ("lora_unet_down_blocks_0_…") or with dots ("unet.down_blocks.0…"), and then a part
// of a method; `alpha` is a tensor of its own, or stands in diffusers' metadata. Modules keep the names that the file
// gives them; a name table finds their place in a model.

import Foundation
import LoRAAdapters
import LoRAFiles
import LoRATensors

package enum AdapterFile {
  /// Where a file that was converted here keeps the whole paths: a flat name can't be turned back for sure.
  fileprivate static let pathsKey = "module_paths"
  /// Where diffusers keeps the configurations, by component.
  fileprivate static let configurationsKey = "lora_adapter_metadata"

  /// What diffusers calls the file in a folder of its own.
  static let diffusersNames = ["pytorch_lora_weights.safetensors", "pytorch_lora_weights.bin"]

  static func recognises(_ file: TensorFile) -> Bool {
    // A model that was saved with its adapter inside has the base's own weight beside each part.
    file.tensors.contains { part(of: $0.name, in: file).map { file[$0.path + ".base_layer.weight"] == nil } ?? false }
  }

  /// The module and the part that a name stands for.
  private static func part(of name: String, in file: TensorFile) -> (path: String, part: MethodPart)? {
    for dot in name.indices where name[dot] == "." {
      // Some programs write names as peft has them in memory, with the adapter's: "….lora_A.default.weight".
      let suffix = String(name[dot...])
      guard let part = AdapterMethods.partBySuffix[suffix] ?? PEFTNames.parts[suffix] else { continue }
      let path = String(name[..<dot])
      // Every layer of a model has a "weight"; only beside another part is it one of a method.
      if part == StoredIA3.excess && file[path + StoredIA3.onInput.suffix] == nil { continue }
      // A module may be called "down"; early versions of diffusers, and XLabs, have it in one whose name says LoRA:
      // "….processor.to_q_lora.down.weight", "….processor.qkv_lora1.down.weight".
      if [".down.weight", ".up.weight"].contains(suffix), !lastComponent(path).contains("lora") { continue }
      return (path, part)
    }
    return nil
  }

  static func read(_ file: TensorFile) throws -> StoredAdapter {
    let paths = json(file, pathsKey)
    var reader = ModuleReader(file: file.url.path)
    var unknown: [String] = []
    func path(_ stem: String) -> String {
      let stem = stem.hasPrefix(PEFTNames.prefix) ? String(stem.dropFirst(PEFTNames.prefix.count)) : stem
      return paths?[stem]?.string ?? stem
    }
    for tensor in file.tensors {
      if tensor.name.hasSuffix(".alpha") {
        try reader.addAlpha(tensor, of: path(String(tensor.name.dropLast(".alpha".count))))
      } else if let (stem, part) = part(of: tensor.name, in: file) {
        try reader.add(tensor, as: part, of: path(stem))
      } else {
        unknown.append(tensor.name)
      }
    }
    let configurations = try configurations(json(file, configurationsKey), file: file.url.path)
    let (modules, incomplete) = try reader.modules { path in
      let component = path.prefix { $0 != "." }
      guard let (matcher, scaling) = configurations[String(component)] else { return ModuleScale() }
      let name = String(path.dropFirst(component.count + 1))
      return ModuleScale(alpha: try matcher.alpha(of: name), scaling: scaling, rank: try matcher.rank(of: name))
    }
    guard !modules.isEmpty else {
      throw CheckpointError(
        .malformed, file: file.url.path, "holds no whole module: \(incomplete.first ?? "")",
        expected: "all parts of at least one", advice: Advice("Look at its names", .inspect))
    }
    var configuration = PEFTConfiguration()
    configuration.setRanks(of: modules)
    configuration.setTargets(modules)
    var findings: [Finding] = []
    if !unknown.isEmpty { findings.append(Finding(.error, "tensors of no known part", unknown.sorted(by: isOrdered))) }
    if !incomplete.isEmpty {
      findings.append(
        Finding(.error, "parts of a module without their counterpart (A without B, or B without A)", incomplete))
    }
    return StoredAdapter(
      format: paths != nil || modules.allSatisfy { !$0.path.contains(".") } ? .kohya : .file, url: file.url,
      configuration: configuration, modules: modules, findings: findings, metadata: file.metadata)
  }

  private static func json(_ file: TensorFile, _ key: String) -> JSON? {
    file.metadata.first { $0.key == key }?.value.string.flatMap { try? JSON(parsing: $0) }
  }

  /// diffusers' metadata: PEFT configurations whose fields carry the component's name ("unet.lora_alpha").
  private static func configurations(
    _ json: JSON?, file: String
  ) throws -> [String: (matcher: PEFTMatcher, scaling: Scaling)] {
    var fields: [String: JSON] = [:]
    for member in json?.members ?? [] {
      let component = String(member.key.prefix { $0 != "." })
      fields[component, default: ["peft_type": "LORA"]][String(member.key.dropFirst(component.count + 1))] =
        member.value
    }
    return try fields.mapValues { json in
      let configuration = try PEFTConfiguration(json, file: file)
      return (try PEFTMatcher(configuration, file: file), configuration.scaling)
    }
  }

  /// What the file can't hold, and what it holds in another form.
  package static func losses(_ adapter: StoredAdapter) -> (lost: [String], changed: [String]) {
    var lost: [String] = []
    let embeddings = adapter.modules.filter(\.isEmbedding)
    if !embeddings.isEmpty { lost.append(embeddings.count.counted("embedding")) }
    if adapter.modules.contains(where: { $0.method is StoredDoRA }), !adapter.format.isFile {
      lost.append("DoRA's magnitudes")
    }
    let foreign = adapter.modules.filter(\.method.isPEFTOnly)
    if !foreign.isEmpty {
      let methods = Set(foreign.map(\.method.name)).sorted().joined(separator: ", ")
      lost.append("\(foreign.count.counted("module")) of \(methods), which peft alone reads")
    }
    // Of two whole matrices, every other program takes the product as it is.
    let scaled = adapter.modules.filter { module in
      module.rank == 0 && module.scale != 1 && !module.method.tensors.contains { $0.part == ModuleParts.scalar }
    }
    if !scaled.isEmpty { lost.append("the scale of \(scaled.count.counted("module")) without a rank") }
    if !adapter.replacements.isEmpty { lost.append("\(adapter.replacements.count.counted("weight")) saved whole") }
    if !adapter.shared.isEmpty { lost.append("\(adapter.shared.count.counted("tensor")) that modules share") }
    var changed: [String] = []
    if adapter.configuration.scaling == .rankStabilized { changed.append("rsLoRA becomes an alpha of the same scale") }
    if adapter.modules.contains(where: { $0.lora?.outputBias != nil }) {
      changed.append("biases of B become differences of the layers' biases (diff_b)")
    }
    return (lost, changed)
  }

  /// - Parameter prefix: what flat names begin with that are made of whole paths.
  package static func write(_ adapter: StoredAdapter, to url: URL, prefix: String = "lora_unet_") throws {
    var tensors: [StoredTensor] = []
    var paths: [JSON.Member] = []
    var stems: Set<ExactString> = []
    let keepsPaths = adapter.format == .file
    for module in adapter.modules where !module.isEmbedding && !module.method.isPEFTOnly {
      let isStem = keepsPaths || adapter.format == .kohya && !module.path.contains(".")
      let stem = isStem ? module.path : prefix + flat(module.path)
      guard stems.insert(ExactString(stem)).inserted else {
        throw CheckpointError(
          .mismatch, file: adapter.url.path, "\(module.path) and another module both become \(stem)",
          expected: "names of their own", advice: "Write another format")
      }
      paths.append(JSON.Member(stem, .string(module.path)))
      for (part, tensor) in module.method.tensors
      where part != StoredLoRA.outputBias && (part != StoredDoRA.magnitude || adapter.format.isFile) {
        tensors.append(tensor.renamed(stem + suffix(of: part, tensor, in: adapter)))
      }
      // Other programs hold the bias' whole change.
      if let lora = module.lora, let bias = try lora.outputBias?.tensor(), bias.norm != 0 {
        tensors.append(try StoredTensor(name: stem + StoredDifference.bias.suffix, bias * Float(lora.scale)))
      }
      if let alpha = module.method.storedAlpha ?? (keepsPaths ? nil : Double(max(module.rank, 1))) {
        tensors.append(try StoredTensor(name: stem + ".alpha", Tensor(shape: [], scalars: [Float(alpha)])))
      }
    }
    guard !tensors.isEmpty else {
      throw CheckpointError(
        .unsupported, file: adapter.url.path, "holds nothing that can be written so (nothing was written)",
        expected: "a module or a weight", advice: "Choose another format")
    }
    var metadata = SafetensorsWriter.pythonMetadata + adapter.notes
    if !keepsPaths {
      func set(_ key: String, _ value: String) {
        metadata.removeAll { $0.key == key }
        metadata.append(JSON.Member(key, .string(value)))
      }
      set(
        "ss_network_module", adapter.metadata.first { $0.key == "ss_network_module" }?.value.string ?? "networks.lora")
      set("ss_network_dim", String(adapter.modules.map(\.rank).max() ?? 0))
      set("ss_network_alpha", "\(adapter.configuration.alpha)")
      if paths.contains(where: { $0.value != .string($0.key) }) { set(pathsKey, JSON.object(paths).compact) }
    }
    try SafetensorsWriter.write(tensors, to: url, metadata: metadata)
  }

  /// What a part is called after its module: as in the file that it was read from, whose spelling may say more than the
  /// part (`dora_scale`, whose shape counts).
  private static func suffix(of part: MethodPart, _ tensor: StoredTensor, in adapter: StoredAdapter) -> String {
    if adapter.format.isFile, let own = part.suffixes.first(where: tensor.name.hasSuffix) { return own }
    return adapter.format == .file ? part.suffix : part.otherSuffixes.first ?? part.suffix
  }

  private static func flat(_ path: String) -> String { path.replacing(".", with: "_") }
}

extension StoredAdapter {
  /// What its file says of itself (how it was trained, by whom), beside what only a format means.
  public var notes: [JSON.Member] {
    metadata.filter { !["format", AdapterFile.pathsKey, AdapterFile.configurationsKey].contains($0.key) }
  }
}
