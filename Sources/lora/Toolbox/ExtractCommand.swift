import ArgumentParser
import Foundation
import LoRAKit

/// `lora extract`: tuned − base → an adapter.
struct ExtractCommand: RankedCommand {
  static let configuration = CommandConfiguration(
    commandName: "extract",
    abstract: "Make a LoRA adapter from a full fine-tune: the best low-rank approximation of what changed.",
    discussion: """
      Neither model is loaded whole. The rank may be the same everywhere (--rank), follow each module's spectrum \
      (--energy), or share out a size (--budget).

      EXAMPLES
        lora extract base/ tuned/ --rank 16 -o adapter/
        lora extract base/ tuned/ --energy 0.9 --keep-vectors
        lora extract base/ tuned/ --budget 20MB --dtype bf16
        mpirun -np 4 lora extract base/ tuned/ --rank 16 -o adapter/
      """)

  @Argument(help: "The base model: a directory, an index or a file.")
  var base: Path

  @Argument(help: "The fine-tuned model.")
  var tuned: Path

  @Option(help: "The rank of every module.")
  var rank: Int?

  @Option(help: "The share of each module's squared change to keep, above 0 and up to 1.")
  var energy: Double?

  @Option(help: ArgumentHelp("The size of all factors together, such as 20MB.", valueName: "bytes"))
  var budget: ByteCount?

  @Option(help: "The highest rank for --energy and --budget.")
  var maxRank = 128

  @Flag(help: "Keep changed biases and norms too.")
  var keepVectors = false

  @Option(help: "Format of the factors.")
  var dtype = FormatArgument.f32

  @Option(help: "Pairs of products that sharpen the randomised decomposition. (default: 2 to 4, by rank)")
  var powerIterations: Int?

  @Option(help: "Seed of the randomised decomposition.")
  var seed: UInt64 = 0

  @OptionGroup var writing: WritingOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    guard [rank != nil, energy != nil, budget != nil].filter(\.self).count == 1 else {
      throw ValidationError("Choose one of --rank, --energy and --budget.")
    }
    try check("rank", rank, atLeast: 1)
    try check("energy", share: energy)
    try check("max-rank", maxRank, atLeast: 1)
    try check("power-iterations", powerIterations, "a number from 0 to 20") { (0...20).contains($0) }
  }

  func run() throws {
    try output.prepare()
    let title = "\(tuned.lastComponent) − \(base.lastComponent) as an adapter"
    let (base, tuned) = (try base.checkpoint(), try tuned.checkpoint())
    let target = try writing.url(for: tuned.url, suffix: "lora")
    var options = Extraction.Options()
    options.format = dtype.format
    options.keepsVectors = keepVectors
    options.maximumRank = maxRank
    options.powerIterations = powerIterations
    options.seed = seed
    let choice: Extraction.Rank =
      rank.map { .fixed($0) } ?? energy.map { .energy($0) } ?? .budget(bytes: budget!.bytes)
    let extraction = try Extraction(base: base, tuned: tuned, rank: choice, options: options)
    guard !writing.dryRun else { return try output.show(extraction.planReport(title: title)) }
    let ranks = try Ranks.joined()
    let report = try withProgress("extracting", unit: "modules", isQuiet: output.quiet) {
      try extraction.run(to: target, among: ranks.sharing, progress: $0)
    }
    guard ranks.rank == 0 else { return }
    try output.show(report.report(title: title))
  }
}
