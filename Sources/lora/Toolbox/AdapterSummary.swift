import Foundation
import LoRAKit

/// An adapter's figures as text, JSON and a report.
struct AdapterSummary {
  private let inspection: AdapterInspection
  private var adapter: StoredAdapter { inspection.adapter }

  init(_ inspection: AdapterInspection) {
    self.inspection = inspection
  }

  private var formats: String {
    Set(inspection.modules.map(\.format.rawValue)).sorted().joined(separator: ", ")
  }

  private var table: TextTable {
    let modules = inspection.modules
    var table = TextTable(head: [
      "module", "BA", "rank", "α", "scale", "‖A‖", "‖B‖", "‖scale·BA‖", "effective rank", "parameters",
    ])
    func known(_ isKnown: Bool, _ text: @autoclosure () -> String) -> String { isKnown ? text() : "–" }
    table.rows = modules.map { module in
      // What only the base's weight would tell is left open.
      let (outputs, inputs) = (
        known(module.outputs > 0, "\(module.outputs)"), known(module.inputs > 0, "\(module.inputs)")
      )
      return [
        module.path, "\(outputs)×\(inputs)", known(module.rank > 0, "\(module.rank)"),
        known(module.rank > 0, short(module.alpha)), short(module.scale),
        known(module.isProduct, short(module.normOfA)), known(module.isProduct, short(module.normOfB)),
        known(module.isProduct, short(module.normOfUpdate)), known(module.isProduct, fixed(module.effectiveRank, 2)),
        grouped(module.parameterCount),
      ]
    }
    table.foot = [
      "\(modules.count) modules", "", "", "", "", "", "", short(inspection.normOfUpdate), "",
      grouped(modules.reduce(0) { $0 + $1.parameterCount }),
    ]
    return table
  }

  /// What kind of adapter it is, in one line each.
  private var headlines: [(String, String)] {
    let names = Dictionary(grouping: inspection.modules) { $0.path.split(separator: ".").last.map(String.init) ?? "" }
    var lines = [
      ("format", adapter.format.rawValue), ("method", inspection.method),
      ("base model", adapter.configuration.baseModel ?? "not named"),
      (
        "modules",
        names.sorted { $0.key < $1.key }.map { $0.key + ($0.value.count > 1 ? " ×\($0.value.count)" : "") }.joined(
          separator: ", ")
      ),
      ("parameters", "\(grouped(adapter.parameterCount)), \(byteText(adapter.byteCount)) as \(formats)"),
    ]
    if !adapter.replacements.isEmpty {
      let parameters = adapter.replacements.reduce(0) { $0 + $1.count }
      lines.append(
        (
          "saved whole",
          "\(adapter.replacements.prefix(6).map(\.name).joined(separator: ", "))\(adapter.replacements.count > 6 ? ", …" : "") "
            + "(\(grouped(parameters)) parameters)"
        ))
    }
    for note in adapter.notes.prefix(12) {
      lines.append(("· " + note.key, String((note.value.string ?? "").prefix(100))))
    }
    if adapter.notes.count > 12 { lines.append(("·", "and \(adapter.notes.count - 12) more; --json has all")) }
    return lines
  }

  var text: String {
    let width = headlines.map(\.0.count).max()!
    let head = headlines.map { $0.0 + String(repeating: " ", count: width - $0.0.count) + "  " + $0.1 }
    return "\(adapter.url.path)\n" + head.joined(separator: "\n") + "\n\n" + table.text
  }

  var json: JSON {
    [
      "format": .string(adapter.format.rawValue), "method": .string(inspection.method),
      "base_model": adapter.configuration.baseModel.map(JSON.string) ?? .null,
      "task_type": adapter.configuration.taskType.map(JSON.string) ?? .null,
      "parameters": .integer(adapter.parameterCount), "bytes": .integer(adapter.byteCount),
      "metadata": .object(adapter.notes), "update_norm": .number(inspection.normOfUpdate),
      "saved_whole": .array(adapter.replacements.map { .string($0.name) }),
      "modules": .array(
        inspection.modules.map { module in
          [
            "path": .string(module.path), "method": .string(module.method), "outputs": .integer(module.outputs),
            "inputs": .integer(module.inputs), "rank": .integer(module.rank), "alpha": .number(module.alpha),
            "scale": .number(module.scale), "parameters": .integer(module.parameterCount),
            "bytes": .integer(module.byteCount), "dtype": .string(module.format.rawValue),
            "norm_a": .number(module.normOfA), "norm_b": .number(module.normOfB),
            "norm_update": .number(module.normOfUpdate), "effective_rank": .number(module.effectiveRank),
            "numerical_rank": .integer(module.numericalRank),
            "singular_values": .array(module.spectrum.map { .number(Double($0)) }),
          ]
        }),
      "findings": lora.json(inspection.findings),
    ]
  }

  var report: Report {
    let modules = inspection.modules
    var sections: [Report.Section] = [
      Report.Section(
        "The adapter",
        [
          .highlights([
            .init("\(modules.count)", "modules"), .init(grouped(adapter.parameterCount), "parameters"),
            .init(byteText(adapter.byteCount), formats), .init(short(inspection.normOfUpdate), "‖scale·BA‖ in all"),
          ]),
          .figure(Table(columns: [.text("what"), .text("found")], rows: headlines.map { [$0.0, $0.1] })),
        ])
    ]
    if !inspection.findings.isEmpty {
      sections.append(
        Report.Section(
          "What is odd",
          [
            .figure(
              Table(
                columns: [.text("severity"), .text("finding"), .text("where")],
                rows: inspection.findings.map {
                  [$0.severity.rawValue, $0.message, $0.subjects.prefix(5).joined(separator: ", ")]
                }))
          ]))
    }
    sections.append(
      Report.Section(
        "By module",
        [
          .figure(
            Table(
              columns: table.head.enumerated().map { $0.offset == 0 ? .text($0.element) : .init($0.element) },
              rows: table.rows),
            caption: "The scale is what BA is multiplied by. The effective rank is exp of the entropy of the singular "
              + "values: how many directions the update really uses.")
        ]))
    let largest = modules.sorted { $0.normOfUpdate > $1.normOfUpdate }.prefix(6).filter { !$0.spectrum.isEmpty }
    if !largest.isEmpty {
      sections.append(
        Report.Section(
          "Singular values",
          [
            .figure(
              LineChart(
                title: "Singular values of scale·BA, the six largest updates",
                series: largest.map { .init($0.path, $0.spectrum) }, xLabel: "index", yLabel: "σ"),
              caption: "A steep fall means that a smaller rank would do (lora resize).")
          ]))
    }
    return Report(
      title: "Adapter \(adapter.url.lastPathComponent)",
      summary: "\(inspection.method), \(adapter.format.rawValue), \(modules.count) modules, "
        + "\(grouped(adapter.parameterCount)) parameters.",
      sections: sections, footer: "Made by lora inspect.")
  }
}
