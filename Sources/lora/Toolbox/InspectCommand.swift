import ArgumentParser
import Foundation
import LoRAKit

/// `lora inspect`: what a file or a directory is, and what is odd about it.
struct InspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Show an adapter's or a checkpoint's format, modules, ranks, scales, norms, and what is odd.",
    discussion: """
      An adapter may be a PEFT directory, an mlx-lm directory or a kohya file; a checkpoint a safetensors file, an \
      index of shards, or a model's directory.

      EXAMPLES
        lora inspect my-adapter/
        lora inspect my-adapter/ --report adapter.html
        lora inspect model.safetensors --values
      """)

  @Argument(help: "An adapter, a checkpoint, or a directory of either.")
  var path: Path

  @Flag(help: "Read all numbers of a checkpoint too, to find NaN and infinity.")
  var values = false

  @OptionGroup var output: OutputOptions

  func run() throws {
    try output.prepare()
    let url = try path.input()
    var reports: [(key: String, report: Report)] = []
    let isAdapter =
      StoredAdapter.recognises(url)
      || FileManager.default.fileExists(atPath: url.appendingPathComponent("adapter_config.json").path)
    if isAdapter {
      let inspection = try withProgress("inspecting", isQuiet: output.quiet) {
        try AdapterInspection(StoredAdapter(contentsOf: url), progress: $0)
      }
      reports.append(("adapter", inspection.report))
    }
    // A directory may hold a base model beside an adapter.
    if let checkpoint = isAdapter ? try? Checkpoint(url) : try Checkpoint(url),
      !isAdapter || checkpoint.directory != nil
    {
      let inspection = try withProgress("reading", unit: "bytes", isQuiet: output.quiet || !values) {
        try CheckpointInspection(checkpoint, readsValues: values, progress: $0)
      }
      reports.append(("checkpoint", inspection.report))
    }
    try output.show(Report(joining: reports))
  }
}
