import Foundation
import LoRAKit

/// A checkpoint's figures as text, JSON and a report.
struct CheckpointSummary {
  private let inspection: CheckpointInspection
  private var checkpoint: Checkpoint { inspection.checkpoint }

  init(_ inspection: CheckpointInspection) {
    self.inspection = inspection
  }

  private var title: String {
    let type =
      checkpoint.configuration?["architectures"]?.strings?.first ?? checkpoint.configuration?["model_type"]?.string
    return "\(checkpoint.url.path)\(type.map { " (\($0))" } ?? "")"
  }

  private var formats: TextTable {
    var table = TextTable(head: ["format", "tensors", "parameters", "bytes"])
    table.rows = inspection.formats.map {
      [$0.format.rawValue, "\($0.tensors)", grouped($0.parameters), byteText($0.bytes)]
    }
    table.foot = [
      "\(checkpoint.shards.count == 1 ? "1 file" : "\(checkpoint.shards.count) shards")",
      grouped(checkpoint.tensorCount),
      grouped(inspection.parameterCount), byteText(checkpoint.byteCount),
    ]
    return table
  }

  private var tensors: TextTable {
    var table = TextTable(head: ["tensor", "format", "shape", "parameters"])
    table.rows = checkpoint.tensors.map { [$0.name, $0.format.rawValue, "\($0.shape)", grouped($0.count)] }
    return table
  }

  var text: String { "\(title)\n\n\(formats.text)\n\n\(tensors.text)" }

  var json: JSON {
    [
      "tensors": .integer(checkpoint.tensorCount), "parameters": .integer(inspection.parameterCount),
      "bytes": .integer(checkpoint.byteCount),
      "shards": .array(checkpoint.shards.map { .string($0.url.lastPathComponent) }),
      "metadata": .object(checkpoint.shards.first?.metadata ?? []),
      "formats": .object(
        inspection.formats.map {
          JSON.Member(
            $0.format.rawValue,
            ["tensors": .integer($0.tensors), "parameters": .integer($0.parameters), "bytes": .integer($0.bytes)])
        }),
      "list": .array(
        checkpoint.tensors.map {
          ["name": .string($0.name), "dtype": .string($0.format.rawValue), "shape": .array($0.shape.map(JSON.integer))]
        }),
      "findings": lora.json(inspection.findings),
    ]
  }

  var report: Report {
    func figure(_ table: TextTable) -> Report.Block {
      .figure(
        Table(
          columns: table.head.enumerated().map { $0.offset == 0 ? .text($0.element) : .init($0.element) },
          rows: table.rows + (table.foot.map { [$0] } ?? [])))
    }
    return Report(
      title: "Checkpoint \(checkpoint.url.lastPathComponent)",
      summary: "\(grouped(checkpoint.tensorCount)) tensors, \(grouped(inspection.parameterCount)) parameters, "
        + "\(byteText(checkpoint.byteCount)).",
      sections: [.init("Formats", [figure(formats)]), .init("Tensors", [figure(tensors)])],
      footer: "Made by lora inspect.")
  }
}
