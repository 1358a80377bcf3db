// What the toolbox's operations have in common: a row for each module or tensor, a line over them, and what was written.
import Foundation
import LoRAAdapters
import LoRAFiles

extension Report {
  /// An operation's account, part by part.
  ///
  /// - Parameters:
  ///   - item: what a part is called: "module".
  ///   - output: `nil` where nothing was written.
  ///   - name: what the output is called.
  static func operation(
    title: String, summary: String, by item: String = "module", _ table: Table, caption: String? = nil,
    chart: (title: String, series: [(name: String, values: [Double])]), findings: [Finding]? = nil, output: URL?,
    as name: String = "adapter", members: [JSON.Member]
  ) -> Report {
    Report(
      title: title, summary: summary,
      sections: [.by(item, table, caption: caption, chart: chart)], findings: findings,
      conclusion: .written(output, as: name), members: [.output(output)] + members)
  }
}

extension Report.Section {
  /// A table and, where its rows are not too few for a line, some of its numbers drawn in their order.
  static func by(
    _ item: String, _ table: Table, caption: String? = nil,
    chart: (title: String, series: [(name: String, values: [Double])])
  ) -> Self {
    let line = LineChart(
      title: chart.title, series: chart.series.map { .init($0.name, $0.values) }, xLabel: "\(item), in order",
      width: 480,
      height: 300)
    return .init(
      "By \(item)", [.table(table, caption: caption)] + (chart.series[0].values.count > 3 ? [.figure(line)] : []))
  }
}

extension Remark {
  static func written(_ output: URL?, as name: String = "adapter") -> Remark {
    .init(output.map { "The \(name): \($0.relativePath)" } ?? "Nothing was written (--dry-run).")
  }
}

extension JSON.Member {
  static func output(_ url: URL?) -> JSON.Member { .init("output", url.map { .string($0.path) } ?? .null) }
}
