// Where an adapter's modules lie in a base checkpoint, and what doesn't fit: the two-way account that `check` prints and
// that `merge` insists on.

import Foundation
import LoRAAdapters
import LoRAFiles
import LoRAFormats

/// An adapter laid over a base checkpoint, module by module.
public struct Attachment: Sendable {
  /// A module that has its place.
  public struct Placement: Sendable {
    public let module: StoredModule
    /// The base's weight.
    public let weight: StoredTensor
    /// The base's bias, where it has one.
    public let bias: StoredTensor?
    /// Whether the base's weight is stored as (outputs × inputs)ᵀ: GPT-2's Conv1D and embeddings.
    public let isTransposed: Bool
  }

  public let placements: [Placement]
  /// Weights that the adapter brings whole, under the base's names; those without a place in the base are added to it.
  public let replacements: [(tensor: StoredTensor, isNew: Bool)]
  /// How the adapter's paths become the base's.
  public let renaming: PathRenaming
  /// Everything noteworthy, the files' own findings included.
  public let findings: [Finding]

  /// Whether every part of the adapter acts, and acts as configured.
  public var isComplete: Bool { !findings.contains { $0.severity == .error } }

  /// Whether the base's tied embeddings have to be stored apart.
  public let isUntied: Bool

  /// - Parameter unties: whether changing one of a pair of tied embeddings is meant, so that it is no error.
  public init(_ adapter: StoredAdapter, base: Checkpoint, unties: Bool = false) throws {
    var findings = adapter.findings
    func report(_ severity: Finding.Severity, _ message: String, _ subjects: [String]) {
      if !subjects.isEmpty { findings.append(Finding(severity, message, subjects)) }
    }
    renaming = PathRenaming(paths: adapter.modules.map(\.path), base: base, format: adapter.format)
    if renaming != .none {
      findings.append(Finding(.note, "the base's names lack or have a prefix: \(renaming)"))
    }

    let tied = TiedEmbeddings(base)
    let orientation = Orientation(adapter: adapter, base: base, renaming: renaming)
    var placements: [Placement] = []
    var missing: [String] = []
    var misshapen: [String] = []
    for module in adapter.modules {
      let path = renaming(module.path)
      guard let weight = base[path + ".weight"] ?? tied.weight(ofOutput: path) else {
        missing.append(module.path)
        continue
      }
      guard let isTransposed = orientation.isTransposed(module, weight: weight) else {
        misshapen.append("\(module.path): BA is \([module.outputs, module.inputs]), the base's weight \(weight.shape)")
        continue
      }
      placements.append(
        Placement(module: module, weight: weight, bias: base[path + ".bias"], isTransposed: isTransposed))
    }
    report(.error, "modules that the base does not have", missing)
    report(.error, "modules whose shape is not the base's", misshapen)
    report(
      .error, "the base's weights are stored in a format that no adapter can be added to (quantised or integer)",
      placements.filter { !$0.weight.format.isConvertible }.map { "\($0.module.path): \($0.weight.format.rawValue)" })
    report(
      .error, "B has a bias, the base's module has none to add it to",
      placements.filter { $0.module.bias != nil && $0.bias == nil }.map(\.module.path))

    var replacements: [(tensor: StoredTensor, isNew: Bool)] = []
    let matcher = try TargetMatcher(adapter.configuration, file: adapter.url.path)
    var ignored: [String] = []
    var added: [String] = []
    for tensor in adapter.replacements {
      let placed = base[tensor.name] == nil ? tensor.renamed(renaming(tensor.name)) : tensor
      if let original = base[placed.name] {
        if original.shape == tensor.shape {
          replacements.append((placed, false))
        } else {
          report(
            .error, "a saved weight has not the base's shape",
            ["\(tensor.name): \(tensor.shape), base \(original.shape)"])
        }
      } else if placed.name == tied.untied?.name {
        replacements.append((placed, true))
      } else if matcher.isSaved(tensor.info.modulePath) {
        // A head that the base checkpoint lacks, for example a classifier on an encoder.
        replacements.append((placed, true))
        added.append(tensor.name)
      } else {
        ignored.append(tensor.name)
      }
    }
    report(.note, "saved modules that the base does not have: they are added to it", added)
    report(.error, "tensors without a place in the base: peft ignores them in silence", ignored)

    findings += Self.unfulfilled(adapter, base: base, matcher: matcher, renaming: renaming)
    findings += Self.unsupported(adapter.configuration)
    // A pair that is replaced by one and the same tensor stays a pair.
    if let output = tied.untied?.name, let input = tied.input?.name,
      let one = replacements.first(where: { $0.tensor.name == input })?.tensor,
      let other = replacements.first(where: { $0.tensor.name == output })?.tensor, one.hasSameBytes(as: other),
      !placements.contains(where: { tied.contains($0.weight.name) })
    {
      replacements.removeAll { $0.tensor.name == output }
      isUntied = false
    } else {
      let changed = (placements.map(\.weight.name) + replacements.map(\.tensor.name)).filter(tied.contains)
      isUntied = unties && !changed.isEmpty
      if !changed.isEmpty && !unties {
        findings.append(
          Finding(
            .error,
            "the base ties its input embedding and its output layer (tie_word_embeddings): changing one tensor changes "
              + "both. Untie them to merge (--untie)", changed))
      }
    }
    self.placements = placements
    self.replacements = replacements
    self.findings = findings
  }

  /// What the configuration asks for and the weights don't have.
  private static func unfulfilled(
    _ adapter: StoredAdapter, base: Checkpoint, matcher: TargetMatcher, renaming: PathRenaming
  ) -> [Finding] {
    var findings: [Finding] = []
    let adapted = Set(adapter.modules.map(\.path))
    let paths = base.tensors.filter { $0.name.hasSuffix(".weight") && $0.shape.count >= 2 }
      .map { renaming.reversed($0.info.modulePath) }
    // Positions and norms are no modules that peft adapts by name alone; what it can adapt has a matrix.
    let bare = paths.filter { matcher.targets($0) && !adapted.contains($0) }
    if !bare.isEmpty {
      findings.append(
        Finding(
          .error, "modules that the configuration targets and that have no weights in the adapter",
          bare.sorted(by: isOrdered)))
    }
    let all = paths + adapter.modules.map(\.path)
    let unusedTargets = matcher.unusedTargets(among: all)
    if !unusedTargets.isEmpty {
      findings.append(Finding(.warning, "target_modules that match nothing: peft does not say so", unusedTargets))
    }
    let unusedKeys = matcher.unusedKeys(among: all)
    if !unusedKeys.isEmpty {
      findings.append(Finding(.warning, "keys of rank_pattern or alpha_pattern that match nothing", unusedKeys))
    }
    return findings
  }

  private static func unsupported(_ configuration: PEFTConfiguration) -> [Finding] {
    var findings: [Finding] = []
    if !configuration.unsupportedFields.isEmpty {
      findings.append(
        Finding(.error, "the configuration uses what is not reproduced here", configuration.unsupportedFields))
    }
    if let method = configuration.baseChangingInitialization {
      findings.append(
        Finding(
          .error,
          "init_lora_weights is \"\(method)\", which also changed the base's weights: on the untouched base this adapter "
            + "is wrong. Export it for the untouched base first (A' = [A; A₀], B' = [B, −B₀], r and α doubled)"))
    }
    if !configuration.unknownFields.isEmpty {
      findings.append(
        Finding(.warning, "fields that peft 0.21 does not know: it warns and ignores them", configuration.unknownFields)
      )
    }
    return findings
  }

  /// Insists on a complete attachment.
  ///
  /// - Throws: ``CheckpointError`` that lists what matched and what did not.
  func requireComplete(_ adapter: StoredAdapter, action: String) throws {
    let errors = findings.filter { $0.severity == .error }
    guard !errors.isEmpty else { return }
    let lines = errors.map { finding in
      let shown = finding.subjects.prefix(8).map { "\n    \($0)" }.joined()
      let more = finding.subjects.count > 8 ? "\n    and \(finding.subjects.count - 8) more" : ""
      return "\n  \(finding.message)\(finding.subjects.isEmpty ? "" : ":")\(shown)\(more)"
    }
    throw CheckpointError(
      .mismatch, file: adapter.url.path,
      "would act in part or wrongly; nothing was \(action). \(placements.count) of \(adapter.modules.count) modules have "
        + "their place in the base.\(lines.joined())")
  }
}

/// How the weights of a checkpoint lie: [out, in] or [in, out].
private struct Orientation {
  /// What the modules say whose weights are not square; `nil` where there is none.
  private let evidence: Bool?
  private let configured: Bool

  init(adapter: StoredAdapter, base: Checkpoint, renaming: PathRenaming) {
    var votes = (straight: 0, transposed: 0)
    for module in adapter.modules where module.kind == .linear && module.inputs != module.outputs {
      guard let weight = base[renaming(module.path) + ".weight"] else { continue }
      if weight.shape == [module.outputs, module.inputs] { votes.straight += 1 }
      if weight.shape == [module.inputs, module.outputs] { votes.transposed += 1 }
    }
    evidence = votes.straight == votes.transposed ? nil : votes.transposed > votes.straight
    configured = adapter.configuration.isFanInFanOut || NameTable(base).usesConv1D
  }

  /// `nil` where the shapes fit neither way.
  func isTransposed(_ module: StoredModule, weight: StoredTensor) -> Bool? {
    let shape = weight.shape
    switch module.kind {
    case .embedding: return shape == [module.inputs, module.outputs] ? true : nil
    case .convolution:
      return shape.first == module.outputs && Array(shape.dropFirst()) == Array(module.a.shape.dropFirst())
        ? false : nil
    case .linear:
      let fitsStraight = shape == [module.outputs, module.inputs]
      let fitsTransposed = shape == [module.inputs, module.outputs]
      if fitsStraight && fitsTransposed { return evidence ?? configured }
      return fitsStraight ? false : fitsTransposed ? true : nil
    }
  }
}
