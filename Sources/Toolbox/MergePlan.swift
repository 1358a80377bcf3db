// What a merge does, tensor by tensor: worked out from names and shapes, before anything is read or written.

import Foundation
import LoRAAdapters
import LoRAFiles
import LoRAFormats

/// Which tensors change, and how; which are added; which are copied.
struct MergePlan: Sendable {
  let base: Checkpoint
  /// By tensor name.
  private(set) var changes: [ExactString: WeightChange] = [:]
  /// Tensors that take a stored one's place as they are, by its name: formats that no arithmetic is done with.
  private(set) var swapped: [ExactString: StoredTensor] = [:]
  /// Tensors that the base does not have, by name.
  private(set) var additions: [ExactString: StoredTensor] = [:]
  private(set) var findings: [Finding] = []
  /// The modules' paths in the adapter, by tensor.
  private(set) var paths: [ExactString: String] = [:]
  private(set) var isUntied = false
  private let catalog: WeightCatalog

  private init(_ base: Checkpoint) throws {
    try base.requirePlain()
    self.base = base
    catalog = WeightCatalog(base)
  }

  /// Adds adapters, each with a weight.
  ///
  /// - Throws: `CheckpointError` that lists what matched and what did not, where an adapter would act only in part.
  static func adding(
    _ adapters: [(adapter: StoredAdapter, weight: Double)], to base: Checkpoint, unties: Bool
  ) throws -> MergePlan {
    var plan = try MergePlan(base)
    for (adapter, weight) in adapters {
      let placement = try Placement(adapter, on: plan.catalog, unties: unties)
      try placement.requireComplete(action: "merged")
      plan.findings += placement.findings
      for (tensor, isNew) in placement.replacements {
        if isNew {
          guard plan.additions.updateValue(tensor, forKey: ExactString(tensor.name)) == nil else {
            throw CheckpointError(
              .mismatch, file: adapter.url.path,
              "brings \(tensor.name), as another adapter does, and the base does not have it",
              expected: "one that brings it", advice: "Merge them one at a time")
          }
        } else if base[tensor.name]!.format.isConvertible {
          plan.change(tensor.name).add(WeightChange.Part(replacement: tensor, coefficient: weight))
        } else {
          guard weight == 1, plan.swapped.updateValue(tensor, forKey: ExactString(tensor.name)) == nil else {
            throw CheckpointError(
              .unsupported, file: adapter.url.path,
              "\(tensor.name) holds \(tensor.format.rawValue), which is copied whole, and counts \(weight) or comes twice",
              expected: "a weight of 1 and one adapter that brings it", advice: "Merge it alone, with weight 1")
          }
        }
      }
      plan.isUntied = plan.isUntied || placement.isUntied
      plan.place(placement, weight: weight)
    }
    plan.separateTied()
    return plan
  }

  /// Subtracts what a merge of adapters added.
  ///
  /// - Parameter allowsPartial: leaves what can't be subtracted as it is, instead of refusing.
  static func subtracting(
    _ adapters: [(adapter: StoredAdapter, weight: Double)], from merged: Checkpoint, allowsPartial: Bool
  ) throws -> MergePlan {
    var plan = try MergePlan(merged)
    for (adapter, weight) in adapters {
      let placement = try Placement(adapter, on: plan.catalog, unties: true)
      try placement.requireComplete(action: "subtracted")
      plan.findings += placement.findings
      // The copy of an adapted embedding is the base's own weight.
      let adapted = Set(placement.items.flatMap { $0.places.map(\.tensor) })
      let lost =
        placement.items.filter { !$0.module.method.isAdditive }.map(\.module.path)
        + placement.replacements.map(\.tensor.name).filter { !adapted.contains($0) }
      plan.findings.report(
        allowsPartial ? .warning : .error,
        "can't be restored: DoRA's division by the norm, factors and rotations of weights, and replaced weights leave no "
          + "trace of what was there", lost)
      if let finding = plan.findings.errors.first {
        throw CheckpointError(
          .unsupported, file: adapter.url.path,
          "\(finding.message): \(finding.subjects.prefix(8).joined(separator: ", "))"
            + (finding.subjects.count > 8 ? " and \(finding.subjects.count - 8) more" : ""),
          expected: "changes that can be subtracted",
          advice: "Take the base as it was before the merge, or allow a partial result")
      }
      plan.place(placement, weight: -weight) { $0.module.method.isAdditive }
    }
    return plan
  }

  private mutating func place(
    _ placement: Placement, weight: Double, where isIncluded: (Placement.Item) -> Bool = { _ in true }
  ) {
    for item in placement.items where isIncluded(item) {
      for place in item.places {
        // Of a pair that the file stores twice, alike, both change.
        for name in isUntied ? [place.tensor] : copies(of: place.tensor) {
          paths[ExactString(name)] = item.module.path
          change(name).add(WeightChange.Part(item, of: placement.adapter.url.path, at: place, coefficient: weight))
        }
      }
      if let bias = item.bias {
        change(bias.tensor).add(WeightChange.Part(biasOf: item.module.method, at: bias, coefficient: weight))
      }
    }
  }

  /// The tensors that are one with a stored one.
  private func copies(of name: String) -> [String] {
    guard let tied = catalog.tied, tied.isStoredTwice, tied.contains(name) else { return [name] }
    return [tied.input, tied.output]
  }

  private mutating func change(_ name: String) -> WeightChange {
    let key = ExactString(name)
    if let change = changes[key] { return change }
    // A change of what is added too: the output layer of an untied pair.
    let change = WeightChange(base[name] ?? additions[key] ?? base[catalog.tied!.input]!.renamed(name))
    changes[key] = change
    return change
  }

  /// Gives the two of a tied pair tensors of their own: the output layer is the adapter's where it brings one, else
  /// what is stored, else a copy of the input embedding.
  private mutating func separateTied() {
    guard isUntied, let tied = catalog.tied else { return }
    if base[tied.output] == nil && additions[ExactString(tied.output)] == nil {
      additions[ExactString(tied.output)] = base[tied.input]!.renamed(tied.output)
    }
    findings.append(Finding(.note, "the tied embedding was untied: \(tied.output) is now stored on its own"))
  }
}
