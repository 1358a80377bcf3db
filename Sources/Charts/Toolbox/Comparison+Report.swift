// What lora diff says of two adapters, or of two checkpoints.

import LoRAFiles
import LoRAToolbox

extension AdapterComparison: CustomPlaygroundDisplayConvertible {
  public var playgroundDescription: Any { report().playgroundDescription }

  /// - Parameter names: of the two.
  public func report(names: (String, String) = ("the first", "the second")) -> Report {
    let table = Table(
      key: "modules", of: modules,
      [
        .init("module", key: "path") { .text($0.path) },
        .init("ranks", key: "ranks") { .list([.count($0.ranks.first), .count($0.ranks.second)]) },
        .init("‖Δ₁‖") { .number($0.norms.first) }, .init("‖Δ₂‖") { .number($0.norms.second) },
        .init(key: "norms") { .list([.number($0.norms.first), .number($0.norms.second)]) },
        .init("‖Δ₁−Δ₂‖/‖Δ₁‖", key: "relative_difference") { .number($0.relativeDifference) },
        .init("cosine", key: "cosine") { .decimal($0.cosine, 4) },
        .init("overlap of outputs", key: "output_overlap") { .decimal($0.outputOverlap, 4) },
        .init("overlap of inputs", key: "input_overlap") { .decimal($0.inputOverlap, 4) },
        .init("smallest angle, °") { $0.outputAngles.first.map { .decimal($0 * 180 / .pi, 1) } ?? .unknown },
        .init(key: "output_angles") { .list($0.outputAngles.map { .number($0) }) },
        .init(key: "input_angles") { .list($0.inputAngles.map { .number($0) }) },
      ])
    let lists = [
      ("only in \(names.0)", "only_in_first", onlyInFirst), ("only in \(names.1)", "only_in_second", onlyInSecond),
      ("saved whole, and different", "different_saved_whole", differingReplacements),
      ("beside the updates, and different", "different_beside", differingParts),
    ]
    return Report(
      title: "\(names.0) and \(names.1)", summary: "In both: \(modules.count.counted("module")).",
      sections: [
        .by(
          "module", table,
          caption:
            "Δ is scale·BA. The overlap is the mean of cos² of the principal angles between the spaces of outputs or "
            + "inputs: 1 where the smaller lies in the larger.",
          chart: (
            "Likeness by module",
            [
              ("cosine", modules.map(\.cosine)), ("overlap of outputs", modules.map(\.outputOverlap)),
              ("overlap of inputs", modules.map(\.inputOverlap)),
            ]
          )),
        .lists(lists),
      ])
  }
}

extension CheckpointComparison: CustomPlaygroundDisplayConvertible {
  public var playgroundDescription: Any { report().playgroundDescription }

  /// - Parameter names: of the two.
  public func report(names: (String, String) = ("the first", "the second")) -> Report {
    let differing = tensors.filter { !$0.isIdentical }
    let identical = tensors.count - differing.count
    let table = Table(
      key: "tensors", of: differing,
      [
        .init("tensor", key: "name") { .text($0.name) },
        .init("formats") { tensor in
          let (first, second) = (tensor.formats.first.rawValue, tensor.formats.second.rawValue)
          return .text(first == second ? first : "\(first), \(second)")
        },
        .init("‖y−x‖/‖x‖") { tensor in
          tensor.relativeDifference.map { .number($0) }
            ?? .list([.shape(tensor.shapes.first), .shape(tensor.shapes.second)])
        },
        .init(key: "relative_difference") { $0.relativeDifference.map { .number($0) } ?? .unknown },
        .init("largest difference", key: "largest_difference") { .number($0.largestDifference) },
      ])
    return Report(
      title: "\(names.0) and \(names.1)",
      summary:
        "The same bit for bit: \(identical.counted("tensor")); different: \(differing.count.grouped); relative difference "
        + "in all \(shortText(relativeDifference)).",
      sections: [
        .by(
          "tensor", table,
          chart: ("‖y−x‖/‖x‖ of those that differ", [("", differing.map { $0.relativeDifference ?? .nan })])),
        .lists([
          ("only in \(names.0)", "only_in_first", onlyInFirst), ("only in \(names.1)", "only_in_second", onlyInSecond),
        ]),
      ],
      members: [.init("identical", .integer(identical)), .init("relative_difference", .number(relativeDifference))])
  }
}

extension Report.Section {
  /// Names that one of two lacks: people see those that there are.
  fileprivate static func lists(_ lists: [(label: String, key: String, names: [String])]) -> Self {
    .init(
      "In one of the two, or different beside",
      [.fields(lists.map { .init($0.names.isEmpty ? nil : $0.label, key: $0.key, .texts($0.names)) })])
  }
}
