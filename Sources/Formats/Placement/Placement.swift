// An adapter laid over a model, part by part: the one account of what fits. `check` prints it; merge, attach and all that
// goes on with an adapter insist on it.

import Foundation
import LoRAAdapters
import LoRAFiles
import LoRATensors

/// Where each part of an adapter goes, and what does not fit.
public struct Placement: Sendable {
  /// A module that has its place.
  public struct Item: Sendable {
    /// What the adapter does to it.
    public let module: StoredModule
    /// The stored tensors that make up its weight.
    public let places: [WeightPlace]
    /// The stored bias of it, where there is one.
    public let bias: WeightPlace?
    /// Whether the weight is stored as (outputs × inputs)ᵀ: GPT-2's Conv1D and embeddings.
    public let isTransposed: Bool
  }

  /// The modules that have their place, in the adapter's order.
  public let items: [Item]
  /// Weights that the adapter brings whole, under the base's names; new ones are added to it.
  public let replacements: [(tensor: StoredTensor, isNew: Bool)]
  /// How the adapter's paths become the base's, where no name table says so.
  public let renaming: PathRenaming
  /// Everything noteworthy, the files' own findings included.
  public let findings: [Finding]
  /// Whether the base's tied embeddings have to be stored apart.
  public let isUntied: Bool
  package let adapter: StoredAdapter
  /// Whether they would have to be, and nobody asked for it.
  private let isUntyingRefused: Bool

  /// Whether every part of the adapter acts here, and acts as configured.
  public var isComplete: Bool { findings.errors.isEmpty }
  /// Whether it does so in Python peft, too.
  public var isCompleteForPEFT: Bool { !findings.contains { $0.severity == .error } }

  /// - Parameters:
  ///   - adapter: what is laid over the model.
  ///   - base: the model's weights.
  ///   - unties: whether changing one of a pair of tied embeddings is meant, so that it is no error.
  /// - Throws: `CheckpointError` where the configuration holds a pattern that is none.
  public init(_ adapter: StoredAdapter, on base: WeightCatalog, unties: Bool = false) throws {
    let adapter = try adapter.untwisted(base.heads)
    self.adapter = adapter
    var findings = adapter.findings
    if adapter.isInterleaved {
      findings.append(
        Finding(
          .error,
          "neither the adapter nor the base's config.json says how many heads there are, so that llama.cpp's order "
            + "of the rows of q and k can't be undone"))
    }
    let configuration = adapter.configuration
    let matcher = try PEFTMatcher(
      configuration, file: adapter.url.path, linear: base.linearPaths,
      standard: base.architecture.modelType.flatMap {
        PEFTDefaults.targets(method: configuration.peftType, modelType: $0)
      })
    renaming = PathRenaming(paths: adapter.modules.map(\.path), names: base.names) {
      !base.places(of: $0).isEmpty || base.lacksComponent(of: $0)
    }
    let renaming = renaming
    if renaming != .none {
      findings.append(Finding(.note, "the base's names lack or have a prefix: \(renaming)"))
    }

    let modules = ModulePlacement(adapter, on: base, renaming: renaming)
    var items = modules.items
    findings += modules.findings
    let wholes = ReplacementPlacement(adapter, on: base, renaming: renaming, matcher: matcher)
    var replacements = wholes.replacements
    findings += wholes.findings
    findings += try Self.configured(adapter, on: base, matcher: matcher, renaming: renaming, items: modules.items)
    if !configuration.unsupportedFields.isEmpty {
      // What the configuration asks for explains everything else that is odd.
      findings = [
        Finding(.error, "the configuration uses what is not reproduced here", configuration.unsupportedFields)
      ]
    }

    // A pair that is replaced by one and the same tensor stays a pair, and so does one whose trained tokens are.
    let changed = Set<ExactString>(
      names: (items.flatMap(\.places).map(\.tensor) + replacements.map(\.tensor.name))
        .filter { base.tied?.contains($0) == true }
    ).map(\.text).sorted(by: isOrdered)
    if let tied = base.tied, !changed.isEmpty {
      let input = replacements.first { $0.tensor.name == tied.input }?.tensor
      let output = replacements.first { $0.tensor.name == tied.output }?.tensor
      let adapted = items.filter { $0.places.contains { tied.contains($0.tensor) } }
      let isAdapted = !adapted.isEmpty
      if input == nil, output == nil, Self.sharesTokens(adapted, tied) {
        items.removeAll { $0.places.contains { $0.tensor == tied.output } }
        isUntied = false
      } else if let input, let output, input.hasSameNumbers(as: output), !isAdapted {
        if !tied.isStoredTwice { replacements.removeAll { $0.tensor.name == tied.output } }
        isUntied = false
      } else if configuration.ensuresWeightTying, let input, output == nil, !isAdapted {
        if tied.isStoredTwice { replacements.append((input.renamed(tied.output), false)) }
        isUntied = false
      } else {
        isUntied = true
        if !unties {
          findings.append(
            Finding(
              .error,
              "the base ties its input embedding and its output layer (tie_word_embeddings): changing one tensor "
                + "changes both. Untie them to merge", changed))
        }
      }
    } else {
      isUntied = false
    }
    self.items = items
    self.replacements = replacements
    self.findings = findings
    isUntyingRefused = isUntied && !unties
  }

  /// Whether these are trained tokens of the input embedding: peft makes them the output layer's too, and may store them
  /// for both.
  private static func sharesTokens(_ items: [Item], _ tied: TiedEmbeddings) -> Bool {
    guard let input = items.first(where: { $0.places.contains { $0.tensor == tied.input } }) else { return false }
    return items.allSatisfy { item in
      item.module.method is StoredTokenRows
        && zip(item.module.tensors, input.module.tensors).allSatisfy { $0.hasSameNumbers(as: $1) }
    }
  }

  /// What the configuration asks for and the weights don't have, and what peft would make of the two.
  private static func configured(
    _ adapter: StoredAdapter, on base: WeightCatalog, matcher: PEFTMatcher, renaming: PathRenaming, items: [Item]
  ) throws -> [Finding] {
    var findings: [Finding] = []
    let configuration = adapter.configuration
    if adapter.format == .peft {
      let adapted = Set(items.flatMap { $0.places.map(\.tensor) })
      let matrices = base.matrixPaths
      let bare = try matrices.filter { path in
        guard try matcher.targets(renaming.reversed(path)) || matcher.targets(path) else { return false }
        return base.stored(path + ".weight").map { !adapted.contains($0) } ?? false
      }
      findings.report(
        .error, "modules that the configuration targets and that have no weights in the adapter", bare)
      if base.hasConfiguration, configuration.selection.targets != nil {
        findings.report(
          .error,
          "target_modules also takes modules that can't be adapted (norms, or modules around others): peft fails",
          try base.unadaptablePaths.filter { try matcher.targets($0) }, audience: .peft)
      }
      let brought = Set<ExactString>(
        names: adapter.replacements.compactMap { base.stored($0.name) ?? base.stored(renaming($0.name)) })
      findings.report(
        .error, "modules_to_save names modules whose weights the adapter lacks: peft fails on them",
        base.names.filter { name in
          let path = TensorInfo(name: base.parameter(of: name), format: .f32, shape: []).modulePath
          return matcher.isReplaced(path) && !brought.contains(name)
        })
      let all = matrices.map(renaming.reversed) + matrices + adapter.modules.map(\.path)
      findings.report(
        .warning, "target_modules that match nothing: peft does not say so",
        matcher.unusedTargets(among: all))
      findings.report(
        .warning, "keys of rank_pattern or alpha_pattern that match nothing", try matcher.unusedKeys(among: all))
      // peft finds a module by the path that the model class has, and by no other.
      if base.hasConfiguration {
        let known = base.pathsForPEFT(task: configuration.taskType)
        findings.report(
          .error,
          "paths that the model built from this base does not have: peft warns of missing keys and leaves these without "
            + "effect", items.map(\.module.path).filter { !known.contains($0) }, audience: .peft)
      } else if renaming != .none {
        findings.report(
          .error, "paths that are not the base's: peft would look for them, find none and leave these without effect",
          items.map(\.module.path), audience: .peft)
      }
    }
    if let method = configuration.baseChangingInitialization {
      findings.append(
        Finding(
          .error,
          "init_lora_weights is \"\(method)\", which also changed the base's weights: on the untouched base this adapter "
            + "is wrong. Export it for the untouched base first (A' = [A; A₀], B' = [B, −B₀], r and α doubled)"))
    }
    findings.report(
      .warning, "fields that peft 0.21 does not know: it warns and ignores them", configuration.unknownFields)
    return findings
  }

  /// Insists on a complete placement.
  ///
  /// - Throws: `CheckpointError` that lists what matched and what did not.
  public func requireComplete(action: String) throws {
    let errors = findings.errors
    guard !errors.isEmpty else {
      guard !items.isEmpty || !replacements.isEmpty else {
        throw CheckpointError(
          .mismatch, file: adapter.url.path, "has no part that is for this base (nothing was \(action))",
          expected: "at least one", advice: .takeItsBase)
      }
      return
    }
    let lines = errors.map { finding in
      let shown = finding.subjects.prefix(8).map { "\n    \($0)" }.joined()
      let more = finding.subjects.count > 8 ? "\n    and \(finding.subjects.count - 8) more" : ""
      return "\n  \(finding.message)\(finding.subjects.isEmpty ? "" : ":")\(shown)\(more)"
    }
    throw CheckpointError(
      .mismatch, file: adapter.url.path,
      "does not fit the model; nothing was \(action). \(items.count) of \(adapter.modules.count) modules have "
        + "their place in the base.\(lines.joined())",
      advice: isUntyingRefused && errors.count == 1
        ? Advice("Untie them", .untie) : "Take the base that the adapter was made for, or correct what is listed")
  }
}
