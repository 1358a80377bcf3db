import ArgumentParser
import Foundation
import LoRAKit

extension Combination.Method: ExpressibleByArgument {}

/// `lora combine`: several adapters as one.
struct CombineCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "combine",
    abstract: "Make one adapter of several, by default exactly: the weighted sum of their updates.",
    discussion: """
      exact concatenates factors, at the sum of the ranks; svd brings the exact sum to a smaller rank. linear, ties, \
      dare_ties, dare_linear and magnitude_prune are peft's methods, which work on A and B apart; the error against \
      the exact sum is reported.

      EXAMPLES
        lora combine style/:0.7 facts/:0.3 -o both/
        lora combine style/:0.7 facts/:0.3 --method svd --rank 16 -o both/
      """)

  @Argument(help: ArgumentHelp("Adapters, each with a weight if it is not 1: path:0.7.", valueName: "adapter"))
  var adapters: [WeightedAdapter]

  @Option(help: "How to combine.")
  var method = Combination.Method.exact

  @Option(help: "The rank for svd. (default: the largest of the adapters')")
  var rank: Int?

  @Option(help: "The share of numbers that ties, dare and pruning keep.")
  var density = 0.5

  @Option(help: "Seed of the random dropping of dare_ties and dare_linear.")
  var seed: UInt64 = 0

  @OptionGroup var writing: WritingOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    try check("rank", rank, atLeast: 1)
    if rank != nil, method != .svd { throw ValidationError("--rank is for --method svd only.") }
    try check("density", share: density)
  }

  func run() throws {
    try output.prepare()
    let members = try adapters.map { try $0.open() }
    let target = try writing.url(for: members[0].adapter.url, suffix: "combined")
    var combination = Combination()
    combination.method = method
    combination.rank = rank
    combination.density = density
    combination.seed = seed
    let (combined, outcomes) = try withProgress("combining", unit: "modules", isQuiet: output.quiet) {
      try combination.combine(members, progress: $0)
    }
    if !writing.dryRun { try combined.write(target) }
    try output.show(
      .combination(
        method, of: adapters.map(\.title), combined: combined, outcomes: outcomes,
        output: writing.dryRun ? nil : target))
  }
}
