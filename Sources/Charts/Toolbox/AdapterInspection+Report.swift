// What lora inspect says of an adapter.

import LoRAToolbox

extension AdapterInspection: CustomPlaygroundDisplayConvertible {
  public var playgroundDescription: Any { report.playgroundDescription }

  /// What the adapter is, and what is odd about it.
  public var report: Report {
    var sections: [Report.Section] = [
      .init(
        "The adapter",
        [
          .fields(
            [
              .init("adapter", .text(adapter.url.relativePath)),
              .init("format", key: "format", .text(adapter.format.rawValue)),
              .init("method", key: "method", .text(method)),
              .init("base model", key: "base_model", .text(adapter.configuration.baseModel)),
              .init(key: "task_type", .text(adapter.configuration.taskType)),
              .init("modules", .text(names)),
              .init("parameters", key: "parameters", .count(adapter.parameterCount)),
              .init("size", key: "bytes", .bytes(adapter.byteCount)),
              .init("stored as", .texts(Set(modules.map(\.format.rawValue)).sorted())),
            ] + notes)
        ]),
      .init(
        "By module",
        [
          .table(
            table,
            caption: "The scale is what BA is multiplied by. The effective rank is exp of the entropy of the singular "
              + "values: how many directions the update really uses.")
        ]),
    ]
    let largest = modules.sorted { $0.normOfUpdate > $1.normOfUpdate }.prefix(6).filter { !$0.spectrum.isEmpty }
    if !largest.isEmpty {
      sections.append(
        .init(
          "Singular values",
          [
            .figure(
              LineChart(
                title: "Singular values of scale·BA, the \(largest.count) largest updates",
                series: largest.map { .init($0.path, $0.spectrum) }, xLabel: "index", yLabel: "σ", width: 480,
                height: 340),
              caption: "A steep fall means that a smaller rank would do (lora resize).")
          ]))
    }
    return Report(
      title: "The adapter \(adapter.url.lastPathComponent)",
      summary: "\(method) in \(modules.count.counted("module")), \(adapter.parameterCount.counted("parameter")).",
      sections: sections, findings: findings,
      members: [
        .init("metadata", .object(adapter.notes)), .init("update_norm", .number(normOfUpdate)),
        .init("saved_whole", .array(adapter.replacements.map { .string($0.name) })),
      ])
  }

  /// "k_proj ×2, q_proj ×2"
  private var names: String {
    let groups = Dictionary(grouping: modules) { $0.path.split(separator: ".").last.map(String.init) ?? "" }
    return groups.keys.sorted().map { name in
      let count = groups[name]?.count ?? 0
      return count > 1 ? "\(name) ×\(count)" : name
    }.joined(separator: ", ")
  }

  private var notes: [Report.Field] {
    var fields: [Report.Field] = []
    if !adapter.replacements.isEmpty {
      let names = adapter.replacements.prefix(6).map(\.name) + (adapter.replacements.count > 6 ? ["…"] : [])
      let count = adapter.replacements.reduce(0) { $0 + $1.count }
      fields.append(.init("saved whole", .text("\(names.joined(separator: ", ")) (\(count.counted("parameter")))")))
    }
    for note in adapter.notes.prefix(12) {
      fields.append(.init("· \(note.key)", .text(String((note.value.string ?? "").prefix(100)))))
    }
    if adapter.notes.count > 12 { fields.append(.init("·", "and \(adapter.notes.count - 12) more; --json has all")) }
    return fields
  }

  /// What only the base's weight would tell is left open.
  private var table: Table {
    func product(_ module: Module, _ value: Report.Value) -> Report.Value { module.isProduct ? value : .unknown }
    return Table(
      key: "modules", of: modules,
      [
        .init("module", key: "path", total: .text(modules.count.counted("module"))) { .text($0.path) },
        .init(key: "method") { .text($0.method) }, .init(key: "outputs") { .count($0.outputs) },
        .init(key: "inputs") { .count($0.inputs) },
        .init("BA") { module in
          .text([module.outputs, module.inputs].map { $0 > 0 ? "\($0)" : "–" }.joined(separator: "×"))
        },
        .init(key: "rank") { .count($0.rank) }, .init(key: "alpha") { .number($0.alpha) },
        .init("rank") { $0.rank > 0 ? .count($0.rank) : .unknown },
        .init("α") { $0.rank > 0 ? .number($0.alpha) : .unknown },
        .init("scale", key: "scale") { .number($0.scale) },
        .init("‖A‖", key: "norm_a") { product($0, .number($0.normOfA)) },
        .init("‖B‖", key: "norm_b") { product($0, .number($0.normOfB)) },
        .init("‖scale·BA‖", key: "norm_update", total: .number(normOfUpdate)) { product($0, .number($0.normOfUpdate)) },
        .init("effective rank", key: "effective_rank") { product($0, .decimal($0.effectiveRank, 2)) },
        .init(key: "numerical_rank") { .count($0.numericalRank) },
        .init("parameters", key: "parameters", total: .count(adapter.parameterCount)) { .count($0.parameterCount) },
        .init(key: "bytes") { .bytes($0.byteCount) }, .init(key: "dtype") { .text($0.format.rawValue) },
        .init(key: "singular_values") { .list($0.spectrum.map { .number(Double($0)) }) },
      ])
  }
}
