// How what the toolbox tells of adapters looks in a notebook.
import LoRAToolbox

extension AdapterInspection: CustomPlaygroundDisplayConvertible {
  public var playgroundDescription: Any {
    Table(
      title: "\(method), \(adapter.format.rawValue): \(modules.count) modules, "
        + "\(decimalText(Double(adapter.parameterCount), decimals: 0)) parameters",
      columns: [.text("module"), "BA", "rank", "α", "scale", "‖A‖", "‖B‖", "‖scale·BA‖", "effective rank"],
      rows: modules.map { module in
        [
          module.path, "\(module.outputs) × \(module.inputs)", "\(module.rank)", shortText(module.alpha),
          shortText(module.scale), shortText(module.normOfA), shortText(module.normOfB),
          shortText(module.normOfUpdate), decimalText(module.effectiveRank, decimals: 2),
        ]
      }
    ).playgroundDescription
  }
}

extension MergeReport: CustomPlaygroundDisplayConvertible {
  public var playgroundDescription: Any {
    Table(
      title: "\(changedTensors) tensors changed, \(copiedTensors) copied",
      columns: [.text("tensor"), "‖ΔW‖ / ‖W‖", "of ΔW lost to rounding"],
      rows: modules.map { [$0.tensor, shortText($0.relativeUpdate), shortText($0.lostToRounding)] }
    ).playgroundDescription
  }
}

extension ExtractionReport: CustomPlaygroundDisplayConvertible {
  public var playgroundDescription: Any {
    Table(
      title: "\(modules.count) modules; the adapter holds \(decimalText(100 * shareOfChange, decimals: 2))% of the "
        + "squared change",
      columns: [.text("module"), "rank", "‖ΔW‖ / ‖W‖", "‖ΔW − BA‖ / ‖ΔW‖", "parameters"],
      rows: modules.map { module in
        [
          module.path, "\(module.rank)", shortText(module.relativeChange), shortText(module.relativeResidual),
          decimalText(Double(module.parameterCount), decimals: 0),
        ]
      }
    ).playgroundDescription
  }
}
