import ArgumentParser
import Foundation
import LoRAKit

/// `lora merge`: base + adapters → a checkpoint.
struct MergeCommand: RankedCommand {
  static let configuration = CommandConfiguration(
    commandName: "merge",
    abstract: "Add adapters to a model's weights, shard by shard, in little memory.",
    discussion: """
      Arithmetic is in float32, rounded once to the output's format. A model's directory is written with its other \
      files; an output that ends in .gguf is a GGUF file, by default in the base's own quantisation. Weights that \
      bitsandbytes, mlx, GPTQ or AWQ quantised are written as numbers again. An adapter that would act only in part is \
      refused.

      EXAMPLES
        lora merge my-model/ my-adapter/ -o merged/
        lora merge my-model/ style/:0.7 facts/:0.3 -o merged/ --dtype bf16
        lora merge model-q4_k_m.gguf my-adapter/ -o merged.gguf
        mpirun -np 4 lora merge sharded-model/ my-adapter/ -o /shared/merged/
      """)

  @Argument(help: ArgumentHelp("The model: a directory, an index or a file.", valueName: "base"))
  var base: Path

  @Argument(help: ArgumentHelp("Adapters, each with a weight if it is not 1: path:0.7.", valueName: "adapter"))
  var adapters: [WeightedAdapter]

  @Option(name: [.customLong("dtype"), .customLong("to")], help: "Format of the output. (default: each tensor's own)")
  var dtype: WeightFormatArgument?

  @Flag(help: "Store tied embeddings apart, so that one of the two can change.")
  var untie = false

  @OptionGroup var writing: WritingOptions
  @OptionGroup var output: OutputOptions

  func run() throws {
    try output.prepare()
    let base = try base.checkpoint()
    try Merge(base: base, adapters: adapters.map { try $0.open() }, format: dtype?.format, unties: untie)
      .run(on: base, adapters, sign: "+", as: "merged", writing, output)
  }
}

extension Merge {
  /// What both directions do once it is known what changes.
  fileprivate func run(
    on base: Checkpoint, _ adapters: [WeightedAdapter], sign: String, as result: String, _ writing: WritingOptions,
    _ output: OutputOptions
  ) throws {
    let target = try writing.url(for: base.url, suffix: result)
    let ranks = try Ranks.joined()
    let report =
      writing.dryRun
      ? try plan(output: target)
      : try withProgress(sign == "+" ? "merging" : "unmerging", unit: "bytes", isQuiet: output.quiet) {
        try run(to: target, among: ranks.sharing, progress: $0)
      }
    guard ranks.rank == 0 else { return }
    let names = ([base.url] + adapters.map(\.path.url)).map(\.lastPathComponent)
    try output.show(report.report(title: "\(names.joined(separator: " \(sign) ")), \(result)"))
  }
}

/// `lora unmerge`: a merged checkpoint − adapters → the base again.
struct UnmergeCommand: RankedCommand {
  static let configuration = CommandConfiguration(
    commandName: "unmerge",
    abstract: "Subtract adapters from weights that they were merged into.",
    discussion: """
      What rounding lost in the merge stays lost. DoRA's normalisation and weights that were replaced whole can't be \
      undone: they are listed, and refused unless --allow-partial leaves them as they are.

      EXAMPLE
        lora unmerge merged/ my-adapter/ -o restored/
      """)

  @Argument(help: ArgumentHelp("The merged model: a directory, an index or a file.", valueName: "merged"))
  var merged: Path

  @Argument(help: ArgumentHelp("The adapters, with the weights of the merge.", valueName: "adapter"))
  var adapters: [WeightedAdapter]

  @Flag(help: "Leave what can't be subtracted as it is.")
  var allowPartial = false

  @OptionGroup var writing: WritingOptions
  @OptionGroup var output: OutputOptions

  func run() throws {
    try output.prepare()
    let merged = try merged.checkpoint()
    try Merge(undoing: adapters.map { try $0.open() }, in: merged, allowsPartial: allowPartial)
      .run(on: merged, adapters, sign: "−", as: "unmerged", writing, output)
  }
}
