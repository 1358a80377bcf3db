import Foundation
import LoRAKit

/// What a merge did, as text and JSON.
struct MergeSummary {
  private let report: MergeReport
  private let verb: String

  init(_ report: MergeReport, verb: String) {
    self.report = report
    self.verb = verb
  }

  func show(_ output: OutputOptions) throws {
    if !report.modules.isEmpty {
      var table = TextTable(head: ["tensor", "‖ΔW‖/‖W‖", "lost to rounding"])
      table.rows = report.modules.map { [$0.tensor, short($0.relativeUpdate), percent($0.lostToRounding)] }
      table.foot = ["all", short(report.total.relativeUpdate), percent(report.total.lostToRounding)]
      print(table.text + "\n")
    }
    print(
      "\(report.changedTensors) tensors \(report.output == nil ? "would change" : "changed"), \(report.copiedTensors) "
        + "copied\(report.addedTensors.isEmpty ? "" : ", \(report.addedTensors.count) added"), \(byteText(report.byteCount))."
    )
    printFindings(report.findings)
    print(report.output.map { "\nThe result: \($0.path)" } ?? "\nNothing was written (--dry-run).")
    try output.write(json: json)
  }

  private var json: JSON {
    func figures(_ figures: MergeFigures) -> [JSON.Member] {
      [
        JSON.Member("relative_update", .number(figures.relativeUpdate)),
        JSON.Member("lost_to_rounding", .number(figures.lostToRounding)),
      ]
    }
    return [
      "output": report.output.map { .string($0.path) } ?? .null,
      "changed": .integer(report.changedTensors), "copied": .integer(report.copiedTensors),
      "added": .array(report.addedTensors.map(JSON.string)), "bytes": .integer(report.byteCount),
      "total": report.modules.isEmpty ? .null : .object(figures(report.total)),
      "tensors": .array(
        report.modules.map {
          .object([JSON.Member("tensor", .string($0.tensor)), JSON.Member("module", .string($0.path))] + figures($0))
        }),
      "findings": lora.json(report.findings),
    ]
  }
}
