import ArgumentParser
import Foundation
import LoRAKit

/// `lora diff`: how much two adapters, or two checkpoints, differ.
struct DiffCommand: RankedCommand {
  static let configuration = CommandConfiguration(
    commandName: "diff",
    abstract: "Compare two adapters (updates and the spaces that they work in) or two checkpoints.",
    discussion: """
      For adapters: the relative difference and the cosine of the updates, and the overlap of their column and row \
      spaces (the mean of cos² of the principal angles; 1: the same space).

      EXAMPLES
        lora diff one-adapter/ another-adapter/
        lora diff model.safetensors tuned.safetensors
      """)

  @Argument(help: "An adapter or a checkpoint.")
  var first: Path

  @Argument(help: "Another one of the same kind.")
  var second: Path

  @OptionGroup var output: OutputOptions

  func run() throws {
    try output.prepare()
    let urls = (try first.input(), try second.input())
    for url in [urls.0, urls.1] where !FileManager.default.fileExists(atPath: url.path) {
      throw CheckpointError(.inputOutput, file: url.path, "does not exist", advice: "Check the path")
    }
    let names = (first.lastComponent, second.lastComponent)
    switch (StoredAdapter.recognises(urls.0), StoredAdapter.recognises(urls.1)) {
    case (true, true):
      guard Ranks.isFirst else { return }
      let adapters = (try StoredAdapter(contentsOf: urls.0), try StoredAdapter(contentsOf: urls.1))
      let comparison = try withProgress("comparing", unit: "modules", isQuiet: output.quiet) {
        try AdapterComparison(adapters.0, adapters.1, progress: $0)
      }
      try output.show(comparison.report(names: names))
    case (false, false):
      let checkpoints = (try Checkpoint(urls.0), try Checkpoint(urls.1))
      let ranks = try Ranks.joined()
      let comparison = try withProgress("comparing", unit: "bytes", isQuiet: output.quiet) {
        try CheckpointComparison(checkpoints.0, checkpoints.1, among: ranks.sharing, progress: $0)
      }
      guard ranks.rank == 0 else { return }
      try output.show(comparison.report(names: names))
    default:
      throw CheckpointError(
        .mismatch, file: second.name, "one of the two is an adapter, the other is not",
        expected: "two adapters, or two models", advice: "Compare like with like")
    }
  }
}
