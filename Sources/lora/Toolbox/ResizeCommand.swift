import ArgumentParser
import Foundation
import LoRAKit

/// `lora resize`: the same adapter at another rank.
struct ResizeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "resize",
    abstract: "Change an adapter's rank, with the least possible error; the scale stays right.",
    discussion: """
      Down: the best approximation of the new rank. Up: the same update, with room to train on.

      EXAMPLES
        lora resize my-adapter/ --rank 8
        lora resize my-adapter/ --energy 0.99 -o small/
      """)

  @Argument(help: "The adapter.")
  var adapter: String

  @Option(help: "The new rank of every module.")
  var rank: Int?

  @Option(help: "Keep this share of each module's squared norm, above 0 and up to 1.")
  var energy: Double?

  @Option(help: "Keep singular values of at least this multiple of the module's largest, from 0 to 1.")
  var ratio: Double?

  @Option(help: "Keep this share of the sum of each module's singular values, above 0 and up to 1.")
  var cumulative: Double?

  @Option(help: "Seed of the new rows of A when the rank grows.")
  var seed: UInt64 = 0

  @OptionGroup var writing: WritingOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    guard [rank != nil, energy != nil, ratio != nil, cumulative != nil].filter(\.self).count == 1 else {
      throw ValidationError("Choose one of --rank, --energy, --ratio and --cumulative.")
    }
    if let rank, !(1...65_536).contains(rank) {
      throw ValidationError("--rank \(rank): a number from 1 to 65536 is needed.")
    }
    for (name, share) in [("energy", energy), ("ratio", ratio), ("cumulative", cumulative)] {
      if let share, !(share > 0 && share <= 1) {
        throw ValidationError("--\(name) \(share): a share above 0 and up to 1 is needed.")
      }
    }
  }

  func run() throws {
    try output.prepare()
    let adapter = try StoredAdapter(contentsOf: URL(fileURLWithPath: adapter))
    let target = try writing.url(beside: adapter.url, suffix: rank.map { "r\($0)" } ?? "resized")
    let selection: RankSelection =
      rank.map { .fixed($0) } ?? energy.map { .energy($0) } ?? ratio.map { .ratioToLargest($0) } ?? .sum(cumulative!)
    var resizing = Resizing(selection)
    resizing.seed = seed
    let (resized, outcomes) = try withProgress("resizing", unit: "modules", isQuiet: output.quiet) {
      try resizing.resize(adapter, progress: $0)
    }
    if !writing.dryRun { try resized.write(target) }

    var table = TextTable(head: ["module", "rank", "scale", "‖scale·BA‖", "error"])
    table.rows = outcomes.map {
      ["\($0.path)", "\($0.rank) → \($0.newRank)", short($0.scale), short($0.norm), percent($0.relativeError)]
    }
    let norm = outcomes.reduce(0) { $0 + $1.norm * $1.norm }
    let error = outcomes.reduce(0) { $0 + $1.norm * $1.norm * $1.relativeError * $1.relativeError }
    let total = norm > 0 ? (error / norm).squareRoot() : 0
    table.foot = ["\(outcomes.count) modules", "", "", short(norm.squareRoot()), percent(total)]
    print(table.text)
    print("\n\(byteText(adapter.byteCount)) → \(byteText(resized.byteCount)); relative error \(percent(total)).")
    if adapter.modules.contains(where: { $0.method is StoredDoRA }) {
      print("DoRA's magnitudes are kept as they are; the error above is that of the direction's update.")
    }
    let kept = adapter.modules.count - outcomes.count
    if kept > 0 { print("Kept as they are, having no rank: \(kept) modules.") }
    printFindings(adapter.findings)
    print(writing.dryRun ? "\nNothing was written (--dry-run)." : "\nThe adapter: \(target.path)")
    try output.write(
      json: [
        "output": writing.dryRun ? .null : .string(target.path), "relative_error": .number(total),
        "bytes_before": .integer(adapter.byteCount), "bytes_after": .integer(resized.byteCount),
        "modules": .array(
          outcomes.map {
            [
              "path": .string($0.path), "rank": .integer($0.rank), "new_rank": .integer($0.newRank),
              "scale": .number($0.scale), "norm": .number($0.norm), "relative_error": .number($0.relativeError),
            ]
          }),
      ] as JSON)
  }
}
