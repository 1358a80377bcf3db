// Resizing and combining: what each module's new rank costs.
import Foundation
import LoRAAdapters
import LoRAFiles
import LoRAFormats
import LoRAToolbox

extension Report {
  /// - Parameter output: `nil` where nothing was written.
  public static func resizing(
    _ adapter: StoredAdapter, to resized: StoredAdapter, outcomes: [Resizing.Outcome], output: URL?
  ) -> Report {
    let total = totalError(outcomes.map { ($0.norm, $0.relativeError) })
    let table = Table(
      key: "modules", of: outcomes,
      [
        .init("module", key: "path", total: "\(outcomes.count) modules") { .text($0.path) },
        .init("rank") { .change(.count($0.rank), .count($0.newRank)) }, .init(key: "rank") { .count($0.rank) },
        .init(key: "new_rank") { .count($0.newRank) }, .init("scale", key: "scale") { .number($0.scale) },
        .init("‖scale·BA‖", key: "norm", total: .number(total.norm)) { .number($0.norm) },
        .init("error", key: "relative_error", total: .share(total.error)) { .share($0.relativeError) },
      ])
    let kept = adapter.modules.count - outcomes.count
    var summary =
      "\(byteText(adapter.byteCount)) → \(byteText(resized.byteCount)); relative error \(percentText(total.error))."
    if adapter.modules.contains(where: { $0.method is StoredDoRA }) {
      summary += " DoRA's magnitudes are kept as they are; the error is that of the direction's update."
    }
    if kept > 0 { summary += " Kept as they are, having no rank: \(kept) modules." }
    return Report(
      title: "The adapter \(adapter.url.lastPathComponent) at another rank", summary: summary,
      sections: [
        .init("By module", [.table(table)]),
        .byModule("Error by module", "module", [("", outcomes.map(\.relativeError))]),
      ],
      findings: adapter.findings, conclusion: .written(output, as: "adapter"),
      members: [
        .init("output", output.map { .string($0.path) } ?? .null), .init("relative_error", .number(total.error)),
        .init("bytes_before", .integer(adapter.byteCount)), .init("bytes_after", .integer(resized.byteCount)),
      ])
  }

  /// - Parameter output: `nil` where nothing was written.
  public static func combination(
    _ method: Combination.Method, of names: [String], combined: StoredAdapter, outcomes: [Combination.Outcome],
    output: URL?
  ) -> Report {
    let total = totalError(outcomes.map { ($0.norm, $0.relativeError) })
    let table = Table(
      key: "modules", of: outcomes,
      [
        .init("module", key: "path", total: "\(outcomes.count) modules") { .text($0.path) },
        .init("rank", key: "rank") { .count($0.rank) },
        .init("‖sum‖", key: "norm", total: .number(total.norm)) { .number($0.norm) },
        .init("error against the exact sum", key: "relative_error", total: .share(total.error)) {
          .share($0.relativeError)
        },
      ])
    return Report(
      title: "\(names.joined(separator: " + ")), combined",
      summary: "\(method.rawValue): \(byteText(combined.byteCount)); relative error \(percentText(total.error)).",
      sections: [
        .init("By module", [.table(table)]),
        .byModule("Error by module", "module", [("", outcomes.map(\.relativeError))]),
      ],
      conclusion: .written(output, as: "adapter"),
      members: [
        .init("output", output.map { .string($0.path) } ?? .null), .init("method", .string(method.rawValue)),
        .init("relative_error", .number(total.error)), .init("bytes", .integer(combined.byteCount)),
      ])
  }

  /// ‖Δ‖ over all modules, and the error relative to it.
  private static func totalError(_ modules: [(norm: Double, error: Double)]) -> (norm: Double, error: Double) {
    let norm = modules.reduce(0) { $0 + $1.norm * $1.norm }
    let error = modules.reduce(0) { $0 + $1.norm * $1.norm * $1.error * $1.error }
    return (norm.squareRoot(), norm > 0 ? (error / norm).squareRoot() : 0)
  }
}

extension Report.Conclusion {
  static func written(_ output: URL?, as name: String) -> Report.Conclusion {
    .init(output.map { "The \(name): \($0.path)" } ?? "Nothing was written (--dry-run).")
  }
}

extension Report.Section {
  /// Numbers of modules in their order; nothing where they are too few for a line.
  static func byModule(_ title: String, _ item: String, _ series: [(name: String, values: [Double])]) -> Self {
    guard (series.first?.values.count ?? 0) > 3 else { return .init(title, []) }
    return .init(
      title,
      [
        .figure(
          LineChart(
            title: title, series: series.map { .init($0.name, $0.values) }, xLabel: "\(item), in order",
            width: 480, height: 300))
      ])
  }
}
