// Between adapters at rest and adapters on a model in memory, in both directions.

import Foundation
import LoRAAdapters
import LoRAFiles
import LoRANetworks
import LoRATensors

extension StoredAdapter {
  /// Puts the adapter on a model: what each of its modules' methods makes of the weight, and a `Replacement` for each
  /// weight that it brings whole.
  ///
  /// The model's paths may lack or have a prefix that the adapter's don't (`bert.`).
  /// - Parameters:
  ///   - model: the model in memory.
  ///   - name: the adapter's name on the model.
  ///   - skipsUnplaced: whether weights that the model has no place for (a classifier on a mere encoder) may be left
  ///     out; modules never are.
  /// - Throws: `CheckpointError`, before anything is attached, that lists what does not fit.
  @discardableResult
  public func attach(
    to model: some Module, named name: String = "default", skippingUnplacedWeights skipsUnplaced: Bool = false
  ) throws -> [AttachedAdapter] {
    if model.adapterNames.contains(name) { throw AttachmentError.nameTaken(name) }
    let placement = try Placement(self, on: WeightCatalog(model))
    try placement.requireComplete(action: "attached")
    try requireFinite()
    let parameters = Dictionary(byName: model.parameters, \.name)
    let unplaced = placement.replacements.filter { $0.isNew }.map(\.tensor.name)
    guard skipsUnplaced || unplaced.isEmpty else {
      throw CheckpointError(
        .mismatch, file: url.path, "brings \(unplaced.joined(separator: ", ")) (nothing was attached)",
        expected: "weights that the model has a place for", advice: "Take the model that the adapter was made for")
    }
    let adapted = Set<ExactString>(names: placement.items.flatMap { $0.places.map(\.tensor) })
    // What takes a weight's place comes before what is added to it: peft stores a copy of an adapted embedding.
    var links: [(weight: Parameter, adapter: any Adapter)] = []
    for (tensor, isNew) in placement.replacements where !isNew {
      let weight = parameters[tensor.name]!.parameter
      let value = try tensor.tensor()
      // Where that copy is the model's own weight, there is nothing to replace.
      if adapted.contains(tensor.name), value.isIdentical(to: weight.original) { continue }
      links.append((weight, Replacement(of: weight, value: value, name: name)))
    }
    for item in placement.items {
      let weight = parameters[item.places[0].tensor]!.parameter
      links.append(
        (weight, try CheckpointError.about(url.path) { try item.module.method.attached(to: weight, named: name) }))
      if let bias = item.bias.flatMap({ parameters[$0.tensor]?.parameter }),
        let changed = try FixedBias(item.module.method, on: bias, named: name)
      {
        links.append((bias, changed))
      }
    }
    for link in links { link.weight.attach(link.adapter) }
    model.setTrainable(false)
    return model.attachedAdapters.filter { $0.adapter.name == name }
  }

  /// - Throws: `CheckpointError` that names the tensors with NaN or infinity in them.
  public func requireFinite() throws {
    let broken = tensors.filter { $0.format.isConvertible && !$0.isFinite }.map(\.name)
    guard broken.isEmpty else {
      throw CheckpointError(
        .number, file: url.path,
        "holds NaN or infinity in \(broken.prefix(5).joined(separator: ", "))\(broken.count > 5 ? " and \(broken.count - 5) more" : "")",
        expected: "finite numbers", advice: .beforeItDiverged)
    }
  }

  /// The adapter `name` of a model, as it is now.
  ///
  /// - Parameters:
  ///   - model: the model in memory.
  ///   - name: the adapter's name on the model.
  ///   - configuration: what is known of it besides (task, base model, initialisation); ranks, targets and the kind of
  ///     adapter are filled in.
  ///   - url: where it is to be written; for messages until then.
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
      // The weight's adapter knows what becomes of the bias.
      if item.adapter is FixedBias { continue }
      guard let adapter = item.adapter as? any StorableAdapter else {
        throw CheckpointError(
          .unsupported, file: url.path, "\(item.path) has a \(type(of: item.adapter))",
          expected: "a method that the PEFT format knows", advice: "Fold it into the weight, or save it by itself")
      }
      let isEmbedding = embeddings.contains(ObjectIdentifier(item.weight))
      if item.weight.layout == .inputsByOutputs && !isEmbedding { configuration.isFanInFanOut = true }
      modules.append(
        StoredModule(path: item.path, method: try adapter.stored(for: item.weight, isEmbedding: isEmbedding)))
    }
    guard !modules.isEmpty else { throw AttachmentError.noMatch(targets: [name], candidates: model.adapterNames) }
    configuration.describe(modules)
    configuration.setTargets(modules, among: model.parameters.map { String($0.name.drop(lastPart: ".")) })
    // A module with its weight is saved whole; a bias alone is one of the bias modes.
    let whole = Set(replacements.filter { $0.name.hasSuffix(".weight") }.map(\.info.modulePath))
    // What lies within a module that is saved whole is saved with it.
    let named = Set(configuration.selection.saved)
    let apart = whole.filter { path in !path.split(separator: ".").contains { named.contains(String($0)) } }
    configuration.selection.saved = Array(named.union(apart.map(lastComponent))).sorted()
    let biased = Set(replacements.map(\.info.modulePath)).subtracting(whole)
    if !biased.isEmpty { configuration.bias = biased.isSubset(of: modules.map(\.path)) ? .loraOnly : .all }
    self.init(url: url, configuration: configuration, modules: modules, replacements: replacements)
  }
}

extension String {
  fileprivate func drop(lastPart separator: Character) -> Substring {
    lastIndex(of: separator).map { self[..<$0] } ?? self[...]
  }
}
