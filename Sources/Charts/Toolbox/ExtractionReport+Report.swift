// What lora extract says: each module's rank, and what it leaves of the change.

import LoRAFiles
import LoRAToolbox

extension ExtractionReport: CustomPlaygroundDisplayConvertible {
  public var playgroundDescription: Any { report().playgroundDescription }

  /// What each module got, and how much of the change that holds.
  ///
  /// - Parameter title: what was extracted from what.
  public func report(title: String? = nil) -> Report {
    let table = Table(
      key: "modules", of: modules,
      [
        .init("module", key: "path", total: .text(modules.count.counted("module"))) { .text($0.path) },
        .init("rank", key: "rank") { .count($0.rank) }, .init(key: "norm") { .number($0.norm) },
        .init("‖ΔW‖/‖W‖", key: "relative_change") { .number($0.relativeChange) },
        .init("residual", key: "relative_residual", total: .share(relativeResidual)) { .share($0.relativeResidual) },
        .init("parameters", key: "parameters", total: .count(modules.reduce(0) { $0 + $1.parameterCount })) {
          .count($0.parameterCount)
        },
      ])
    return .operation(
      title: title ?? "The adapter \(output.lastPathComponent), extracted",
      summary: "The adapter holds \(percentText(shareOfChange)) of the squared change."
        + (replaced.isEmpty ? "" : " Kept whole: \(replaced.count.counted("tensor"))."),
      table, caption: "The residual is what BA leaves of the change, relative to the change.",
      chart: ("Residual by module", [("", modules.map(\.relativeResidual))]), findings: findings, output: output,
      members: [
        .init("share_of_change", .number(shareOfChange)), .init("relative_residual", .number(relativeResidual)),
        .init("kept_whole", .array(replaced.map(JSON.string))),
        .init("left_out", .array(unexplained.map { ["name": .string($0.name), "norm": .number($0.norm)] })),
      ])
  }
}

extension Extraction {
  /// What would be done, before it is.
  public func planReport(title: String) -> Report {
    Report(
      title: title, summary: "\(moduleCount.counted("module")) changed and would get factors.",
      findings: findings, conclusion: .written(nil),
      members: [.output(nil), .init("modules", .integer(moduleCount))])
  }
}
