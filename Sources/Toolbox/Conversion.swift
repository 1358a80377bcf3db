// An adapter in another program's format or as another method, and a verdict on what that keeps.

import Foundation
import LoRAAdapters
import LoRAFiles
import LoRAFormats
import LoRATensors

/// Converts adapters.
public struct Conversion: Sendable {
  /// What to make of an adapter.
  public enum Target: String, Sendable, CaseIterable {
    /// A folder for Hugging Face PEFT.
    case peft
    /// A folder for mlx-lm.
    case mlx
    /// A file with flat names, as kohya-ss' trainers write it.
    case kohya
    /// A GGUF file for llama.cpp.
    case gguf
    /// The same adapter as a plain LoRA, in the format that it has: exact, by factors.
    case lora
  }

  /// What a conversion keeps.
  public struct Verdict: Sendable {
    /// What the other format has no place for.
    public let lost: [String]
    /// What it holds in another form, with the same effect.
    public let changed: [String]
    /// What becomes an approximation, as a rank was given for.
    public var approximated: [String] = []
    /// Of modules that were approximated, ‖what remains‖ / ‖change‖.
    public internal(set) var residuals: [(path: String, relative: Double)] = []

    /// Whether the converted adapter does the same.
    public var isLossless: Bool { lost.isEmpty && approximated.isEmpty }
  }

  /// What is made.
  public let target: Target
  /// Converts also where something is lost.
  public var allowsLoss = false
  /// What kohya's names begin with.
  public var kohyaPrefix = "lora_unet_"
  /// As a plain LoRA: the rank for methods whose change is no product of two factors, which are then approximated.
  public var rank: Int?

  /// A conversion that refuses to lose anything.
  public init(to target: Target) {
    self.target = target
  }

  /// What would be kept, from names, shapes and fields alone: no number is read.
  ///
  /// - Parameters:
  ///   - adapter: what is converted.
  ///   - base: the model that the adapter belongs to, which some methods need to become a plain LoRA.
  public func verdict(on adapter: StoredAdapter, base: Checkpoint? = nil) -> Verdict {
    var (lost, changed): ([String], [String]) =
      switch target {
      case .peft: Self.peftLosses(adapter)
      case .mlx: MLXFormat.losses(adapter)
      case .kohya: AdapterFile.losses(adapter)
      case .gguf: GGUFAdapter.losses(adapter)
      case .lora: LoRAConversion.losses(adapter, isBaseKnown: base != nil, rank: rank)
      }
    lost += adapter.findings.errors.map { "\($0.message) (\($0.subjects.count))" }
    if target != .peft && target != .lora, adapter.format == .peft {
      // Fields that only peft knows and that don't change what the adapter computes.
      let fields = adapter.configuration
      if fields.dropout > 0 && target != .mlx { changed.append("the dropout of \(fields.dropout) is not stored") }
      if fields.taskType != nil { changed.append("the task type is not stored") }
    }
    let approximated =
      target == .lora && base != nil && rank != nil ? LoRAConversion.approximations(adapter, rank: rank!) : []
    return Verdict(lost: lost, changed: changed, approximated: approximated)
  }

  /// Methods that no PEFT folder holds, or not several in one.
  private static func peftLosses(_ adapter: StoredAdapter) -> ([String], [String]) {
    let foreign = adapter.modules.filter { $0.method.peftType == nil }
    if !foreign.isEmpty {
      let names = Set(foreign.map(\.method.name)).sorted().joined(separator: ", ")
      return (
        ["\(foreign.count.counted("module")) of \(names) in a form that peft lacks (as a plain LoRA, it takes them)"],
        []
      )
    }
    // Trained tokens stand beside any method.
    let types = Set(adapter.modules.filter(\.isTargeted).compactMap(\.method.peftType))
    return (types.count > 1 ? ["\(adapter.methodNames.joined(separator: " and ")) in one adapter"] : [], [])
  }

  /// Writes the converted adapter.
  ///
  /// - Parameters:
  ///   - adapter: what is converted.
  ///   - url: the file or folder that will be written.
  ///   - base: gives the names of a file's modules their paths in the model, which peft and mlx-lm need.
  /// - Throws: `CheckpointError` where something would be lost and that isn't allowed, or nothing would be left.
  public func convert(_ adapter: StoredAdapter, to url: URL, base: Checkpoint? = nil) throws -> Verdict {
    var adapter = adapter
    if adapter.format == .gguf { adapter = try inOrder(adapter, base: base) }
    if adapter.format.isFile && (target == .peft || target == .mlx) { adapter = try renamed(adapter, base: base) }
    var verdict = verdict(on: adapter, base: base)
    guard verdict.lost.isEmpty || allowsLoss else {
      throw CheckpointError(
        .unsupported, file: adapter.url.path,
        "holds what \(target.rawValue) has no place for (nothing was written): \(verdict.lost.joined(separator: "; "))",
        expected: "only what it can hold", advice: "Choose another format")
    }
    if target == .lora {
      let conversion = try LoRAConversion(adapter, base: base, rank: rank, allowsLoss: allowsLoss)
      adapter = conversion.adapter
      verdict.residuals = conversion.residuals
    }
    guard !adapter.modules.isEmpty || !adapter.replacements.isEmpty else {
      throw CheckpointError(
        .unsupported, file: adapter.url.path, "holds nothing that can be written so (nothing was written)",
        expected: "a module or a weight", advice: "Choose another format")
    }
    switch target {
    case .peft: try adapter.write(peft: url)
    case .mlx: try MLXFormat.write(adapter, to: url)
    case .kohya: try AdapterFile.write(adapter, to: url, prefix: kohyaPrefix)
    case .gguf:
      guard let base else {
        throw CheckpointError(
          .missing, file: adapter.url.path, "llama.cpp's names and order of rows depend on the base model",
          advice: Advice("Name the base model", .nameBase))
      }
      try GGUFAdapter.write(adapter, base: base, to: url)
    case .lora: try adapter.write(url)
    }
    return verdict
  }

  /// An adapter of llama.cpp's as a PEFT adapter in memory.
  private func inOrder(_ adapter: StoredAdapter, base: Checkpoint?) throws -> StoredAdapter {
    var result = try base.map { try adapter.inOrder(for: $0) } ?? adapter
    guard !result.isInterleaved else {
      throw CheckpointError(
        .missing, file: adapter.url.path,
        "does not say how many heads its model has, so that llama.cpp's order of the rows of q and k can't be undone",
        advice: Advice("Name the base model", .nameBase))
    }
    if let base { result.configuration.setTargets(result.modules, among: WeightCatalog(base).parameterPaths) }
    result.format = .peft
    return result
  }

  /// The modules of a file under the paths that the model has.
  private func renamed(_ adapter: StoredAdapter, base: Checkpoint?) throws -> StoredAdapter {
    var result = adapter
    if let base {
      let catalog = WeightCatalog(base)
      var unresolved: [String] = []
      result.modules = try adapter.modules.flatMap { module -> [StoredModule] in
        let parts = try catalog.modules(module)
        if parts.isEmpty { unresolved.append(module.path) }
        return parts
      }
      guard unresolved.isEmpty else {
        throw CheckpointError(
          .mismatch, file: adapter.url.path,
          "\(unresolved.count) of \(adapter.modules.count) modules have no place in the base: "
            + unresolved.prefix(5).joined(separator: ", "), expected: "one for each", advice: .takeItsBase)
      }
      result.configuration.setTargets(result.modules, among: catalog.parameterPaths)
    } else if adapter.modules.allSatisfy({ $0.path.contains(".") }) {
      // A path with a dot is the model's own, behind the component's name.
      for index in result.modules.indices {
        result.modules[index].path = LoRAModuleName(result.modules[index].path).module
      }
      result.configuration.setTargets(result.modules)
    } else {
      throw CheckpointError(
        .missing, file: adapter.url.path,
        "names its modules with underscores (\(adapter.modules[0].path)), which can't be turned back without the base "
          + "model", advice: Advice("Name the base model", .nameBase))
    }
    result.modules = try result.modules.map { module in
      // Beside a LoRA, peft holds a change of the bias as B's own.
      if let lora = (module.method as? StoredBiasDifference)?.core as? StoredLoRA {
        return try LoRAConversion.product(module, inputs: lora.inputs)!
      }
      return StoredModule(path: module.path, method: (module.method as? StoredDoRA)?.shapedForPEFT ?? module.method)
    }
    result.format = .peft
    result.configuration.describe(result.modules)
    return result
  }
}

extension WeightCatalog {
  /// A module under the paths that the model has: several where its weight is split there.
  ///
  /// - Throws: `CheckpointError` where it is only a part of one of the model's modules.
  func modules(_ module: StoredModule) throws -> [StoredModule] {
    try places(of: module.path).map { place in
      let path = String(parameter(of: place.tensor).dropLast(".weight".count))
      guard place.tensorRows == nil else {
        throw CheckpointError(
          .unsupported, file: title, "\(module.path) is a part of the module \(path)",
          expected: "whole modules, as an adapter takes them",
          advice: "Merge the adapter into a base with these modules")
      }
      guard let rows = place.moduleRows else { return StoredModule(path: path, method: module.method) }
      guard !module.method.changesBias, let update = try module.method.factors() else {
        throw CheckpointError(
          .unsupported, file: title,
          "\(module.path) is \(module.method.name)\(module.method.changesBias ? ", changes a bias" : "") and is split in parts in this model",
          expected: "a plain LoRA, which can be split",
          advice: Advice("Convert it to a plain LoRA on its base first", .convertToLoRA))
      }
      let part = LowRankUpdate(a: update.a, b: update.b.sliced(axis: 0, rows), scale: update.scale)
      return StoredModule(path: path, method: try StoredLoRA(part, like: module.method))
    }
  }
}
