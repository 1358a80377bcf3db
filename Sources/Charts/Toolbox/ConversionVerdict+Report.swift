// What lora convert says: what the other format keeps, and what it loses.

import Foundation
import LoRAFiles
import LoRAFormats
import LoRAToolbox

extension Conversion.Verdict {
  /// - `output`: `nil` where nothing was written.
  public func report(of adapter: StoredAdapter, to target: Conversion.Target, output: URL?) -> Report {
    let worst = residuals.max { $0.relative < $1.relative }
    let outcome = isLossless ? "lossless" : lost.isEmpty ? "an approximation" : "LOSSY"
    return Report(
      title: "The adapter \(adapter.url.lastPathComponent) for \(target.rawValue)",
      summary: "\(adapter.format.rawValue) → \(target.rawValue): \(outcome)"
        + (worst.map { ", of which at most \(percentText($0.relative)) of a module's change remains" } ?? ""),
      sections: [
        .init(
          "What that keeps",
          [
            .fields(
              lost.map { .init("lost", .text($0)) }
                + changed.map { .init("in another form, with the same effect", .text($0)) }
                + approximated.map { .init("approximated", .text($0)) })
          ]),
        .init(
          "What remains",
          [
            .table(
              Table(of: residuals, [.init("module") { .text($0.path) }, .init("residual") { .share($0.relative) }]),
              caption: "What the approximation leaves of the change, relative to it.")
          ]),
      ],
      conclusion: .written(output),
      members: [
        .output(output), .init("lossless", .bool(isLossless)),
        .init("lost", .array(lost.map(JSON.string))), .init("changed", .array(changed.map(JSON.string))),
        .init("approximated", .array(approximated.map(JSON.string))),
        .init("residuals", .object(residuals.map { JSON.Member($0.path, .number($0.relative)) })),
      ])
  }
}
