import ArgumentParser
import Foundation
import LoRAKit

/// `lora check`: whether an adapter fits a base, before anything is silently ignored.
struct CheckCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "Account for an adapter's names and shapes against a base model, both ways.",
    discussion: """
      Exits with 1 where the adapter would act in part, wrongly or not at all: modules without a place in the base, \
      targets without weights, wrong prefixes, what Python peft ignores in silence. With --without-peft only what this \
      program itself would make of it counts.

      EXAMPLE
        lora check my-adapter/ --base my-model/
      """)

  @Argument(help: "The adapter.")
  var adapter: Path

  @Option(
    name: [.long, .customLong("model")],
    help: ArgumentHelp("The model that it is for: a directory, an index or a file.", valueName: "model"))
  var base: Path

  @Flag(help: "Leave out of account what Python peft would make of it.")
  var withoutPeft = false

  @OptionGroup var output: OutputOptions

  func run() throws {
    try output.prepare()
    let adapter = try adapter.adapter()
    let base = try base.checkpoint()
    try base.requirePlain()
    let report = try Placement(adapter, on: WeightCatalog(base)).report(of: adapter, on: base, countsPEFT: !withoutPeft)
    try output.show(report)
    if report.conclusion?.tone == .bad { throw ExitCode.failure }
  }
}
