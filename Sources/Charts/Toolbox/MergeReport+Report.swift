// What lora merge says: how much each tensor changed, and what rounding lost.

import LoRAFiles
import LoRAToolbox

extension MergeReport: CustomPlaygroundDisplayConvertible {
  public var playgroundDescription: Any { report().playgroundDescription }

  /// What changed, by how much, and what rounding lost.
  ///
  /// - Parameter title: what was merged into what.
  public func report(title: String? = nil) -> Report {
    let table = Table(
      key: "tensors", of: modules,
      [
        .init("tensor", key: "tensor", total: "all") { .text($0.tensor) }, .init(key: "module") { .text($0.path) },
        .init("‖ΔW‖/‖W‖", key: "relative_update", total: .number(total.relativeUpdate)) { .number($0.relativeUpdate) },
        .init("lost to rounding", key: "lost_to_rounding", total: .share(total.lostToRounding)) {
          .share($0.lostToRounding)
        },
      ]
        + (total.keptShare == nil
          ? []
          : [
            .init("update kept", key: "update_kept", total: total.keptShare.map { .share($0) }) {
              $0.keptShare.map { .share($0) } ?? .unknown
            }
          ]))
    let added = addedTensors.isEmpty ? "" : ", \(addedTensors.count.grouped) added"
    return .operation(
      title: title ?? "A merge into \(base.lastPathComponent)",
      summary: "\(changedTensors.counted("tensor")) \(output == nil ? "would change" : "changed"), "
        + "\(copiedTensors.grouped) copied\(added), \(byteText(byteCount)).",
      by: "tensor", table,
      caption: "How much the weight changed, relative to itself, and how much of that change was lost when the sum was "
        + "rounded to the output's format.",
      chart: ("‖ΔW‖/‖W‖ by tensor", [("", modules.map(\.relativeUpdate))]), findings: findings, output: output,
      as: "result",
      members: [
        .init("changed", .integer(changedTensors)), .init("copied", .integer(copiedTensors)),
        .init("added", .array(addedTensors.map(JSON.string))), .init("bytes", .integer(byteCount)),
        .init(
          "total",
          modules.isEmpty
            ? .null
            : [
              "relative_update": Report.Value.number(total.relativeUpdate).json,
              "lost_to_rounding": Report.Value.number(total.lostToRounding).json,
            ]),
      ])
  }
}
