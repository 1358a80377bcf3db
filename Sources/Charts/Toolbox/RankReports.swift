// Resizing and combining: what each module's new rank costs.
import Foundation
import LoRAAdapters
import LoRAFiles
import LoRAFormats
import LoRAToolbox

extension Report {
  /// - `output`: `nil` where nothing was written.
  public static func resizing(
    _ adapter: StoredAdapter, to resized: StoredAdapter, outcomes: [Resizing.Outcome], output: URL?
  ) -> Report {
    let total = totalError(outcomes.map { ($0.norm, $0.relativeError) })
    let table = Table(
      key: "modules", of: outcomes,
      [
        .init("module", key: "path", total: .text(outcomes.count.counted("module"))) { .text($0.path) },
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
    return .operation(
      title: "The adapter \(adapter.url.lastPathComponent) at another rank", summary: summary, table,
      chart: ("Error by module", [("", outcomes.map(\.relativeError))]), findings: adapter.findings, output: output,
      members: [
        .init("relative_error", .number(total.error)), .init("bytes_before", .integer(adapter.byteCount)),
        .init("bytes_after", .integer(resized.byteCount)),
      ])
  }

  /// - `output`: `nil` where nothing was written.
  public static func combination(
    _ method: Combination.Method, of names: [String], as verb: String = "combined", combined: StoredAdapter,
    outcomes: [Combination.Outcome], output: URL?
  ) -> Report {
    let total = totalError(outcomes.map { ($0.norm, $0.relativeError) })
    let table = Table(
      key: "modules", of: outcomes,
      [
        .init("module", key: "path", total: .text(outcomes.count.counted("module"))) { .text($0.path) },
        .init("rank", key: "rank") { .count($0.rank) },
        .init("‖sum‖", key: "norm", total: .number(total.norm)) { .number($0.norm) },
        .init("error against the exact sum", key: "relative_error", total: .share(total.error)) {
          .share($0.relativeError)
        },
      ])
    return .operation(
      title: "\(names.joined(separator: " + ")), \(verb)",
      summary:
        "By \(method.rawValue), \(byteText(combined.byteCount)); error against the exact sum \(percentText(total.error)).",
      table,
      chart: ("Error by module", [("", outcomes.map(\.relativeError))]), output: output,
      members: [
        .init("method", .string(method.rawValue)), .init("relative_error", .number(total.error)),
        .init("bytes", .integer(combined.byteCount)),
      ])
  }

  /// ‖Δ‖ over all modules, and the error relative to it.
  private static func totalError(_ modules: [(norm: Double, error: Double)]) -> (norm: Double, error: Double) {
    let norm = modules.reduce(0) { $0 + $1.norm * $1.norm }
    let error = modules.reduce(0) { $0 + $1.norm * $1.norm * $1.error * $1.error }
    return (norm.squareRoot(), norm > 0 ? (error / norm).squareRoot() : 0)
  }
}
