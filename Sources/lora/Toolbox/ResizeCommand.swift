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
  var adapter: Path

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
    try check("rank", rank, "a number from 1 to 65536") { (1...65_536).contains($0) }
    try check("energy", share: energy)
    try check("ratio", share: ratio)
    try check("cumulative", share: cumulative)
  }

  func run() throws {
    try output.prepare()
    let adapter = try adapter.adapter()
    let target = try writing.url(for: adapter.url, suffix: rank.map { "r\($0)" } ?? "resized")
    let selection: RankSelection =
      rank.map { .fixed($0) } ?? energy.map { .energy($0) } ?? ratio.map { .ratioToLargest($0) } ?? .sum(cumulative!)
    var resizing = Resizing(selection)
    resizing.seed = seed
    let (resized, outcomes) = try withProgress("resizing", unit: "modules", isQuiet: output.quiet) {
      try resizing.resize(adapter, progress: $0)
    }
    if !writing.dryRun { try resized.write(target) }
    try output.show(.resizing(adapter, to: resized, outcomes: outcomes, output: writing.dryRun ? nil : target))
  }
}
