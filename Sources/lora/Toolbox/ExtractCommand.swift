import ArgumentParser
import Foundation
import LoRAKit

/// `lora extract`: tuned − base → an adapter.
struct ExtractCommand: ParsableCommand {
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
      """)

  @Argument(help: "The base model: a directory, an index or a file.")
  var base: String

  @Argument(help: "The fine-tuned model.")
  var tuned: String

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

  @Option(help: "Pairs of products that sharpen the randomised decomposition. Default: 2 to 4, by rank.")
  var powerIterations: Int?

  @Option(help: "Seed of the randomised decomposition.")
  var seed: UInt64 = 0

  @OptionGroup var writing: WritingOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    guard [rank != nil, energy != nil, budget != nil].filter(\.self).count == 1 else {
      throw ValidationError("Choose one of --rank, --energy and --budget.")
    }
    if let rank, rank < 1 { throw ValidationError("--rank \(rank): a number of at least 1 is needed.") }
    if let energy, !(energy > 0 && energy <= 1) {
      throw ValidationError("--energy \(energy): a share above 0 and up to 1 is needed.")
    }
    if maxRank < 1 { throw ValidationError("--max-rank \(maxRank): a number of at least 1 is needed.") }
    if let powerIterations, !(0...20).contains(powerIterations) {
      throw ValidationError("--power-iterations \(powerIterations): a number from 0 to 20 is needed.")
    }
  }

  func run() throws {
    try output.prepare()
    let base = try Checkpoint(URL(fileURLWithPath: base))
    let tuned = try Checkpoint(URL(fileURLWithPath: tuned))
    let target = try writing.url(beside: tuned.url, suffix: "lora")
    var options = Extraction.Options()
    options.format = dtype.format
    options.keepsVectors = keepVectors
    options.maximumRank = maxRank
    options.powerIterations = powerIterations
    options.seed = seed
    let choice: Extraction.Rank =
      rank.map { .fixed($0) } ?? energy.map { .energy($0) } ?? .budget(bytes: budget!.bytes)
    let extraction = try Extraction(base: base, tuned: tuned, rank: choice, options: options)
    guard !writing.dryRun else {
      print("\(extraction.moduleCount) modules changed and would get factors.")
      printFindings(extraction.findings)
      print("\nNothing was written (--dry-run).")
      try output.write(
        json: [
          "output": .null, "modules": .integer(extraction.moduleCount), "findings": json(extraction.findings),
        ] as JSON)
      return
    }
    let report = try withProgress("extracting", unit: "modules", isQuiet: output.quiet) {
      try extraction.run(to: target, progress: $0)
    }
    try show(report)
  }

  private func show(_ report: ExtractionReport) throws {
    var table = TextTable(head: ["module", "rank", "‖ΔW‖/‖W‖", "residual", "parameters"])
    table.rows = report.modules.map {
      ["\($0.path)", "\($0.rank)", short($0.relativeChange), percent($0.relativeResidual), grouped($0.parameterCount)]
    }
    table.foot = [
      "\(report.modules.count) modules", "", "", percent(report.relativeResidual),
      grouped(report.modules.reduce(0) { $0 + $1.parameterCount }),
    ]
    print(table.text)
    print("\nThe adapter holds \(percent(report.shareOfChange)) of the squared change.")
    if !report.replaced.isEmpty { print("Kept whole: \(report.replaced.count) tensors.") }
    printFindings(report.findings)
    print("\nThe adapter: \(report.output.path)")
    try output.write(
      json: [
        "output": .string(report.output.path), "share_of_change": .number(report.shareOfChange),
        "relative_residual": .number(report.relativeResidual),
        "kept_whole": .array(report.replaced.map(JSON.string)),
        "left_out": .array(report.unexplained.map { ["name": .string($0.name), "norm": .number($0.norm)] }),
        "modules": .array(
          report.modules.map {
            [
              "path": .string($0.path), "rank": .integer($0.rank), "norm": .number($0.norm),
              "relative_change": .number($0.relativeChange), "relative_residual": .number($0.relativeResidual),
              "parameters": .integer($0.parameterCount),
            ]
          }),
        "findings": json(report.findings),
      ] as JSON)
  }
}
