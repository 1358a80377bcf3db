import ArgumentParser
import Foundation
import LoRAKit

/// `lora average`: the mean of adapters that were trained apart.
struct AverageCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "average",
    abstract: "Make the mean of adapters that were trained apart, as in federated learning.",
    discussion: """
      The mean is that of the updates B A, not of the factors: those are stacked, and brought to --rank by the best \
      approximation, whose error is reported. It is 0 where --rank is the sum of the adapters' ranks. Weights are \
      relative: numbers of examples, for instance. What adapters hold whole (a classifier) is averaged as it is.

      EXAMPLES
        lora average clinic-a/ clinic-b/ clinic-c/ -o round-1/
        lora average clinic-a/:1200 clinic-b/:300 --rank 16 -o round-1/
      """)

  @Argument(
    help: ArgumentHelp("Adapters of one base, each with a weight if it is not 1: path:1200.", valueName: "adapter"))
  var adapters: [WeightedAdapter]

  @Option(help: "The rank of the mean. (default: the largest of the adapters')")
  var rank: Int?

  @OptionGroup var writing: WritingOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    try check("rank", rank, atLeast: 1)
    guard adapters.allSatisfy({ $0.weight > 0 }) else {
      throw ValidationError("Weights of a mean are numbers above 0.")
    }
  }

  func run() throws {
    try output.prepare()
    let members = try adapters.map { try $0.open() }
    let target = try writing.url(for: members[0].adapter.url, suffix: "average")
    var combination = Combination()
    (combination.method, combination.rank) = (.svd, rank)
    let (mean, outcomes) = try withProgress("averaging", unit: "modules", isQuiet: output.quiet) {
      try combination.average(members, progress: $0)
    }
    if !writing.dryRun { try mean.write(target) }
    try output.show(
      .combination(
        .svd, of: adapters.map(\.title), as: "averaged", combined: mean, outcomes: outcomes,
        output: writing.dryRun ? nil : target))
  }
}
