// From what a file calls a tensor to what the model calls its parameter, and to what earlier releases called it.
//
//     LLaVA's file:      language_model.model.layers.0.self_attn.q_proj.weight
//     LlavaForCondit….:  model.language_model.layers.0.self_attn.q_proj.weight
//
// Adapters name modules of the class that was built when they were trained; files keep the names of their first release.
// The data is in ModelFamily.swift.

import LoRAFiles

/// What a checkpoint's tensors are called as parameters of the model that transformers builds today, and were called
/// before.
///
/// All functions take names of tensors and paths of modules alike.
public struct NameTable: Sendable {
  /// What a stored tensor is in the model.
  public enum Place: Equatable, Sendable {
    /// One parameter of this name.
    case whole(String)
    /// A part of a parameter [experts, rows, columns]: this expert's rows, of which `slots` equal shares are stored
    /// apart; `slot` counts from 0.
    case part(of: String, expert: Int, slot: Int, slots: Int)
    /// These parameters, in this order by equal shares of the rows.
    case split(into: [String])
  }

  /// `model_type` of `config.json`.
  public let modelType: String?
  /// The class that the checkpoint was saved from, such as "LlamaForCausalLM".
  public let className: String?
  let family: ModelFamily?
  /// The class's name after the model's: "ForCausalLM", "Model".
  let ending: String?
  /// What releases renamed, the oldest first.
  private let changes: [NameChange]
  /// First components that are never within a body.
  private let heads: Set<String>
  /// Whether the file was saved without a head: its names lack the body's attribute.
  private let isHeadless: Bool

  /// - Parameters:
  ///   - modelType: `model_type` of `config.json`.
  ///   - className: the first of its `architectures`.
  ///   - names: the file's tensor names; they tell whether the file was saved with a head or without one.
  public init(modelType: String?, className: String?, names: some Collection<String>) {
    let family = ModelFamily.of(type: modelType)
    // Without a configuration it may be anybody's model, whose names are its own.
    changes = modelType == nil ? [] : ModelFamily.general + (family?.changes ?? [])
    self.modelType = modelType
    self.className = className
    self.family = family
    ending = className.flatMap(Self.ending)
    heads = Self.heads(of: family)
    let body = family?.body ?? ""
    isHeadless = !body.isEmpty && !names.contains { $0.hasPrefix(body + ".") }
  }

  // MARK: Names of today

  /// Where a stored tensor goes in the class that today's transformers (5.x) builds.
  public func place(of stored: String) -> Place {
    let (full, outcome, number) = fullName(of: stored)
    let name = inClass(full).joined(separator: ".")
    switch outcome {
    case .whole: return .whole(name)
    case .part(let slot, let slots): return .part(of: name, expert: number ?? 0, slot: slot, slots: slots)
    case .split(let others):
      // The others differ from the first in as many components at the end as they have.
      return .split(
        into: [name]
          + others.map { other in
            let ending = Self.components(other)
            return (Self.components(name).dropLast(ending.count) + ending).joined(separator: ".")
          })
    }
  }

  /// The parameter's name in the class: of the whole parameter where only a part is stored, of the first where the
  /// tensor is split into several.
  public func parameter(of stored: String) -> String { inClass(fullName(of: stored).name).joined(separator: ".") }

  /// All names under which an adapter may know the same parameter: today's first, then those of earlier releases, each
  /// with and without the body's attribute, and the file's own.
  public func spellings(of stored: String) -> [String] {
    let full = fullName(of: stored).name
    var variants = [full]
    for change in changes.reversed() {
      variants += variants.compactMap { change.reversed(on: $0) }
    }
    // Parts of fused parameters have no name of their own today: only the file's.
    let own = Self.components(stored)
    variants += [withBody(own), own]
    // The class may not be known, or not be the one that the adapter was trained on.
    if let body = family?.body, !body.isEmpty, !isHead(full), full.first.map(String.init) != body {
      variants.append([Substring(body)] + full)
    }
    var result = [inClass(full)]
    for variant in variants {
      result.append(variant)
      if let body = family?.body, variant.count > 1, variant[0] == body { result.append(Array(variant.dropFirst())) }
    }
    var seen: Set<ExactString> = []
    return result.map { $0.joined(separator: ".") }.filter { seen.insert($0) }
  }

  /// The name in the family's classes that have a head.
  private func fullName(of stored: String) -> (name: [Substring], outcome: Rename.Outcome, number: Int?) {
    var result = (name: Self.components(stored), outcome: Rename.Outcome.whole, number: Int?.none)
    for rename in changes.lazy.flatMap(\.renames) {
      guard let (name, number) = rename.applied(to: result.name) else { continue }
      result.name = name
      if rename.outcome != .whole { (result.outcome, result.number) = (rename.outcome, number) }
    }
    result.name = withBody(result.name)
    return result
  }

  /// With the body's attribute, where the file lacks it and the name is no head's.
  private func withBody(_ name: [Substring]) -> [Substring] {
    guard let family, isHeadless, form == .headed || form == .body, !isHead(name), name[0] != family.body else {
      return name
    }
    return [Substring(family.body)] + name
  }

  /// The same name in the checkpoint's class.
  private func inClass(_ full: [Substring]) -> [Substring] {
    guard let body = family?.body, full.first.map(String.init) == body, full.count > 1 else { return full }
    return form == .body || form == .bodyless ? Array(full.dropFirst()) : full
  }

  private func isHead(_ name: [Substring]) -> Bool { name.isEmpty || heads.contains(String(name[0])) }

  private static func components(_ name: String) -> [Substring] {
    name.split(separator: ".", omittingEmptySubsequences: false)
  }

  // MARK: Classes

  enum Form: Equatable { case unknown, body, bodyless, headed }

  /// Whether the class keeps its body under an attribute.
  var form: Form {
    guard let ending, let family else { return .unknown }
    if ["Model", "EncoderModel", "Backbone"].contains(ending) { return .body }
    return family.bodyless.contains(ending) ? .bodyless : .headed
  }

  private static let endings = [
    "LMHeadModel", "DoubleHeadsModel", "EncoderModel", "ModelWithProjection", "Model", "Backbone",
  ]

  /// "BertForMaskedLM" → "ForMaskedLM", "GPT2LMHeadModel" → "LMHeadModel".
  private static func ending(of className: String) -> String? {
    // Not the "For" of "RoFormerModel".
    let last = className.ranges(of: "For").last { className[$0.upperBound...].first?.isUppercase == true }
    if let last { return String(className[last.lowerBound...]) }
    return endings.first(where: className.hasSuffix)
  }

  /// The class's name before the ending: "Bert".
  var stem: String? {
    guard let className, let ending else { return nil }
    let stem = className.dropLast(ending.count)
    return String(modelType?.hasSuffix("_text") == true && stem.hasSuffix("Text") ? stem.dropLast(4) : stem)
  }
}

extension NameTable {
  /// - Parameters:
  ///   - configuration: `config.json`.
  ///   - names: the tensors' names, which tell what a configuration does not.
  public init(configuration: JSON?, names: some Collection<String>) {
    self.init(
      modelType: configuration?["model_type"]?.string,
      className: configuration?["architectures"]?.strings?.first, names: names)
  }

  /// The table of a checkpoint, by its `config.json` and its tensors' names.
  public init(_ checkpoint: Checkpoint) {
    self.init(configuration: checkpoint.configuration, names: checkpoint.tensors.map(\.name))
  }
}
