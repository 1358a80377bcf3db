// An adapter's modules on a base: names, shapes, and which way a weight lies.

import LoRAAdapters
import LoRAFiles

struct ModulePlacement {
  private(set) var items: [Placement.Item] = []
  private(set) var findings: [Finding] = []

  init(_ adapter: StoredAdapter, on base: WeightCatalog, renaming: PathRenaming) {
    let orientation = Orientation(adapter, on: base, renaming: renaming)
    var missing: [String] = []
    var elsewhere: [String] = []
    var misshapen: [String] = []
    var grown: [(path: String, found: Int, expected: Int)] = []
    var stored: [String] = []
    var biased: [String] = []
    for module in adapter.modules {
      let path = renaming(module.path)
      let places = base.places(of: path)
      guard !places.isEmpty else {
        if base.lacksComponent(of: path) { elsewhere.append(module.path) } else { missing.append(module.path) }
        continue
      }
      if let place = places.first(where: { base[$0.tensor]?.format?.isConvertible == false }) {
        stored.append("\(module.path): \(base[place.tensor]!.format!.rawValue)")
        continue
      }
      guard let isTransposed = orientation.isTransposed(module, path: path, places: places) else {
        let shape = base[places[0].tensor]!.shape
        if let rows = orientation.grownRows(module, shape) {
          grown.append((module.path, rows, shape[0]))
        } else {
          misshapen.append("\(module.path): the update is \(module.method.shape.text), the base's weight \(shape)")
        }
        continue
      }
      let bias = module.method.changesBias ? base.places(of: path, leaf: ".bias").first : nil
      if module.method.needsBias && bias == nil { biased.append(module.path) }
      items.append(Placement.Item(module: module, places: places, bias: bias, isTransposed: isTransposed))
    }
    findings.report(.error, "modules that the base does not have", missing)
    findings.report(.note, "modules of other parts of the pipeline, which this base does not hold", elsewhere)
    findings.report(.error, "modules whose shape is not the base's", misshapen)
    findings.reportGrown(grown)
    findings.report(
      .error,
      "the base's weights are stored in a format that no adapter can be added to (quantised or integer): take the base "
        + "that is not quantised, or dequantise it first", stored)
    findings.report(.error, "the adapter changes a bias, the base's module has none", biased)
  }
}

/// How the weights of a base lie: [out, in] or [in, out].
private struct Orientation {
  private let base: WeightCatalog
  /// What the modules say whose weights are not square; `nil` where there is none.
  private let evidence: Bool?
  private let isFanInFanOut: Bool

  init(_ adapter: StoredAdapter, on base: WeightCatalog, renaming: PathRenaming) {
    self.base = base
    isFanInFanOut = adapter.configuration.isFanInFanOut
    var votes = (straight: 0, transposed: 0)
    for module in adapter.modules {
      // Tables lie the other way in every model, and say nothing of linear maps.
      guard case .matrix(let outputs, let inputs, _) = module.method.shape, outputs != inputs,
        !base.architecture.isEmbedding(module.path),
        let place = base.places(of: renaming(module.path)).first, let shape = base[place.tensor]?.shape
      else { continue }
      if shape == [outputs, inputs] { votes.straight += 1 }
      if shape == [inputs, outputs] { votes.transposed += 1 }
    }
    evidence = votes.straight == votes.transposed ? nil : votes.transposed > votes.straight
  }

  /// `nil` where the shapes fit neither way.
  func isTransposed(_ module: StoredModule, path: String, places: [WeightPlace]) -> Bool? {
    // Of a weight in parts, each part must have the inputs, and the rows must be there.
    if places.count > 1 || places[0].tensorRows != nil || places[0].moduleRows != nil {
      let fits =
        module.method.isRowwise
        && places.allSatisfy { place in
          guard let shape = base[place.tensor]?.shape, let rows = shape.first else { return false }
          let taken = place.tensorRows ?? 0..<rows
          let given = place.moduleRows ?? 0..<module.outputs
          return taken.upperBound <= rows && given.upperBound <= module.outputs && taken.count == given.count
            && [0, shape.dropFirst().reduce(1, *)].contains(module.inputs)
        }
      return fits ? false : nil
    }
    guard let entry = base[places[0].tensor] else { return nil }
    let known =
      entry.isTransposed ?? (places[0].isTransposed || base.architecture.isConv1D(path) ? true : nil) ?? evidence
    return Self.isTransposed(
      module.method.shape, shape: entry.shape, known: known, configured: isFanInFanOut)
  }

  private static func isTransposed(_ update: UpdateShape, shape: [Int], known: Bool?, configured: Bool) -> Bool? {
    switch update {
    case .embedding(let outputs, let inputs): return shape == [inputs, outputs] ? true : nil
    case .matrix(let outputs, let inputs, let kernel):
      func ones(_ lengths: some Sequence<Int>) -> Bool { lengths.allSatisfy { $0 == 1 } }
      let fitsStraight =
        shape.count >= 2 && shape[0] == outputs && shape.dropFirst().reduce(1, *) == inputs
        && (kernel == Array(shape.dropFirst(2)) || kernel.isEmpty || ones(kernel) && ones(shape.dropFirst(2)))
      let fitsTransposed = shape == [inputs, outputs] && ones(kernel)
      if fitsStraight && fitsTransposed { return known ?? configured }
      return fitsStraight ? false : fitsTransposed ? true : nil
    case .outputs(let count), .inputs(let count):
      let isTransposed = shape.count == 2 && (known ?? configured)
      let isOutputs = if case .outputs = update { true } else { false }
      if isOutputs != isTransposed { return shape.first == count ? isTransposed : nil }
      // Of a convolution, channels, or channels and kernel.
      return shape.count >= 2 && [shape[1], shape.dropFirst().reduce(1, *)].contains(count) ? isTransposed : nil
    case .rows(let width): return shape.count == 2 && shape[1] == width ? true : nil
    case .same(let expected): return shape == expected ? false : nil
    }
  }

  /// The rows of an embedding or an output layer that is larger than the base's, of the same width.
  func grownRows(_ module: StoredModule, _ shape: [Int]) -> Int? {
    guard shape.count == 2 else { return nil }
    switch module.method.shape {
    case .embedding(let outputs, let inputs): return outputs == shape[1] && inputs > shape[0] ? inputs : nil
    case .matrix(let outputs, let inputs, _) where base.architecture.isOutputLayer(module.path):
      return inputs == shape[1] && outputs > shape[0] ? outputs : nil
    default: return nil
    }
  }
}

extension UpdateShape {
  /// For messages.
  var text: String {
    switch self {
    case .matrix(let outputs, let inputs, let kernel):
      "\([outputs, inputs])" + (kernel.isEmpty ? "" : " of a convolution \(kernel)")
    case .embedding(let outputs, let inputs): "\([outputs, inputs]) of an embedding"
    case .outputs(let count): "for \(count) outputs"
    case .rows(let width): "rows of \(width)"
    case .inputs(let count): "for \(count) inputs"
    case .same(let shape): "\(shape)"
    }
  }
}
