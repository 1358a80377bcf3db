// Between adapters at rest and adapters on a model in memory, in both directions.

import Foundation
import LoRAAdapters
import LoRAFiles
import LoRANetworks
import LoRATensors

extension StoredAdapter {
  /// Puts the adapter on a model: a LoRA or DoRA on each of its modules, a `Replacement` for each weight that it brings
  /// whole.
  ///
  /// The model's paths may lack or have a prefix that the adapter's don't (`bert.`).
  /// - Parameter skipsUnplaced: whether weights that the model has no place for (a classifier on a mere encoder) may be
  ///   left out; modules never are.
  /// - Throws: ``CheckpointError``, before anything is attached, that lists what does not fit.
  @discardableResult
  public func attach(
    to model: some Module, named name: String = "default", skippingUnplacedWeights skipsUnplaced: Bool = false
  ) throws -> [AttachedAdapter] {
    var problems = findings.filter { $0.severity == .error }.map { finding in
      "\(finding.message): \(finding.subjects.prefix(5).joined(separator: ", "))"
    }
    if !configuration.unsupportedFields.isEmpty {
      problems.append("not supported: \(configuration.unsupportedFields.joined(separator: ", "))")
    }
    if let method = configuration.baseChangingInitialization {
      problems.append("init_lora_weights is \"\(method)\", which also changed the base's weights")
    }
    for tensor in replacements where tensor.format.isConvertible && !tensor.isFinite {
      problems.append("\(tensor.name) holds NaN or infinity")
    }
    if model.adapterNames.contains(name) { throw AttachmentError.nameTaken(name) }
    let places = ModelPlaces(model, adapterPaths: modules.map(\.path))
    var links: [(place: NamedParameter, path: String, adapter: any Adapter)] = []
    for module in modules {
      guard let place = places[module.path + ".weight"] else {
        problems.append("the model has no \(module.path)")
        continue
      }
      let weight = place.parameter
      guard weight.shape.count == 2, module.kind != .convolution, module.inputs == weight.inputs,
        module.outputs == weight.outputs
      else {
        problems.append("\(module.path): BA is \([module.outputs, module.inputs]), the model's weight \(weight.shape)")
        continue
      }
      guard module.bias == nil else {
        problems.append("\(module.path): lora_B has a bias, which is not supported on a model in memory")
        continue
      }
      let (a, b) = try module.factors()
      guard a.isFinite, b.isFinite else {
        problems.append("\(module.path): A or B holds NaN or infinity")
        continue
      }
      let lora = LoRA(
        a: Parameter(a), b: Parameter(b), alpha: Float(module.alpha),
        scaling: configuration.isRankStabilized ? .rankStabilized : .standard, layout: weight.layout, name: name)
      let magnitude = try module.magnitude.map { try $0.reshaped([module.outputs]).tensor() }
      links.append((place, module.path, magnitude.map { DoRA(lora, for: weight, magnitude: $0) } ?? lora))
    }
    // What takes a weight's place comes before what is added to it: peft stores a copy of an adapted embedding.
    var wholes: [(place: NamedParameter, path: String, adapter: any Adapter)] = []
    let adapted = Set(modules.map(\.path))
    for tensor in replacements {
      guard let place = places[tensor.name] else {
        if !skipsUnplaced { problems.append("the model has no \(tensor.name)") }
        continue
      }
      guard place.parameter.shape == tensor.shape else {
        problems.append("\(tensor.name) has shape \(tensor.shape), the model's \(place.parameter.shape)")
        continue
      }
      let value = try tensor.tensor()
      // Where that copy is the model's own weight, there is nothing to replace.
      if adapted.contains(tensor.info.modulePath), value.isIdentical(to: place.parameter.original) { continue }
      wholes.append((place, place.name, Replacement(of: place.parameter, value: value, name: name)))
    }
    links = wholes + links
    guard problems.isEmpty, !links.isEmpty else {
      throw CheckpointError(
        .mismatch, file: url.path,
        "does not fit the model; nothing was attached. \(links.count) of \(modules.count + replacements.count) parts "
          + "have their place.\(problems.prefix(12).map { "\n  \($0)" }.joined())"
          + (problems.count > 12 ? "\n  and \(problems.count - 12) more" : ""))
    }
    for link in links { link.place.parameter.attach(link.adapter) }
    model.setTrainable(false)
    return model.attachedAdapters.filter { $0.adapter.name == name }
  }

  /// The adapter `name` of a model, as it is now.
  ///
  /// - Parameters:
  ///   - configuration: what is known of it besides (task, base model, initialisation); ranks, targets and the kind of
  ///     adapter are filled in.
  public init(
    of model: some Module, named name: String = "default", configuration: PEFTConfiguration = PEFTConfiguration(),
    url: URL
  ) throws {
    var configuration = configuration
    var modules: [StoredModule] = []
    var replacements: [StoredTensor] = []
    let embeddings = Set(
      model.modules.compactMap { ($0.module as? Embedding).map { ObjectIdentifier($0.weight) } })
    for item in model.attachedAdapters where item.adapter.name == name {
      if let replacement = item.adapter as? Replacement {
        replacements.append(try StoredTensor(name: item.path, replacement.parameter.original))
        continue
      }
      let dora = item.adapter as? DoRA
      guard let lora = dora?.lora ?? item.adapter as? LoRA else {
        throw CheckpointError(
          .unsupported, file: url.path,
          "\(item.path) has a \(type(of: item.adapter)), which the PEFT format does not know")
      }
      configuration.isRankStabilized = lora.scaling == .rankStabilized
      configuration.usesMagnitudes = dora != nil
      if item.weight.layout == .inputsByOutputs && !embeddings.contains(ObjectIdentifier(item.weight)) {
        configuration.isFanInFanOut = true
      }
      let (a, b, alpha) = lora.portableFactors
      modules.append(
        StoredModule(
          path: item.path, kind: embeddings.contains(ObjectIdentifier(item.weight)) ? .embedding : .linear,
          a: try StoredTensor(name: "a", a), b: try StoredTensor(name: "b", b),
          magnitude: try dora.map { try StoredTensor(name: "m", $0.magnitude.original) }, alpha: alpha,
          scale: Double(lora.scale)))
    }
    guard !modules.isEmpty else { throw AttachmentError.noMatch(targets: [name], candidates: model.adapterNames) }
    configuration.setRanks(of: modules)
    configuration.setTargets(modules.map(\.path), among: model.adaptableWeights.map(\.path))
    // A module with its weight is saved whole; a bias alone is one of the bias modes.
    let whole = Set(replacements.filter { $0.name.hasSuffix(".weight") }.map(\.info.modulePath))
    configuration.modulesToSave = Array(Set(configuration.modulesToSave + whole.map(lastComponent))).sorted()
    let biased = Set(replacements.map(\.info.modulePath)).subtracting(whole)
    if !biased.isEmpty { configuration.bias = biased.isSubset(of: modules.map(\.path)) ? .loraOnly : .all }
    self.init(url: url, configuration: configuration, modules: modules, replacements: replacements)
  }
}

extension LoRA {
  /// Factors and α that mean the same on the untouched base: where B A counts from B₀ A₀, A′ = [A; A₀] and
  /// B′ = [B, −B₀], with α so that the scale stays.
  fileprivate var portableFactors: (a: Tensor, b: Tensor, alpha: Double) {
    guard let origin else { return (a.original, b.original, Double(alpha)) }
    return (
      .concatenated([a.original, origin.a], axis: 0), .concatenated([b.original, -origin.b], axis: 1),
      Double(alpha) * (scaling == .standard ? 2 : 2.0.squareRoot())
    )
  }
}

/// A model's parameters under an adapter's names, whose prefix may differ.
private struct ModelPlaces {
  private let byName: [String: NamedParameter]
  private let renaming: PathRenaming

  init(_ model: some Module, adapterPaths: [String]) {
    let parameters = model.parameters
    byName = Dictionary(parameters.map { ($0.name, $0) }) { first, _ in first }
    renaming = PathRenaming(paths: adapterPaths, baseNames: parameters.map(\.name), format: .peft)
  }

  subscript(name: String) -> NamedParameter? { byName[name] ?? byName[renaming(name)] }
}
