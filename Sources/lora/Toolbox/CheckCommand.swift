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
      targets without weights, wrong prefixes, what Python peft ignores in silence.

      EXAMPLE
        lora check my-adapter/ --base my-model/
      """)

  @Argument(help: "The adapter.")
  var adapter: String

  @Option(help: ArgumentHelp("The model that it is for: a directory, an index or a file.", valueName: "model"))
  var base: String

  @OptionGroup var output: OutputOptions

  func run() throws {
    try output.prepare()
    let adapter = try StoredAdapter(contentsOf: URL(fileURLWithPath: adapter))
    let base = try Checkpoint(URL(fileURLWithPath: base))
    let attachment = try Attachment(adapter, base: base)
    let formats = Dictionary(grouping: attachment.placements) {
      "\($0.module.a.format.rawValue) on \($0.weight.format.rawValue)"
    }
    print("\(attachment.placements.count) of \(adapter.modules.count) modules have their place in the base.")
    if !adapter.replacements.isEmpty {
      print(
        "\(attachment.replacements.count) of \(adapter.replacements.count) weights that are saved whole have theirs.")
    }
    for (pair, placements) in formats.sorted(by: { $0.key < $1.key }) {
      print("formats: \(pair), \(placements.count) modules")
    }
    let transposed = attachment.placements.filter { $0.isTransposed && $0.module.kind == .linear }.count
    if transposed > 0 { print("\(transposed) weights are stored as [in, out] (Conv1D).") }
    printFindings(attachment.findings)
    try output.write(
      json: [
        "complete": .bool(attachment.isComplete), "modules": .integer(adapter.modules.count),
        "placed": .array(
          attachment.placements.map { ["module": .string($0.module.path), "weight": .string($0.weight.name)] }),
        "findings": json(attachment.findings),
      ] as JSON)
    print(
      attachment.isComplete
        ? "\nThe adapter fits." : "\nThe adapter does not fit: it would act in part, wrongly or not at all.")
    if !attachment.isComplete { throw ExitCode.failure }
  }
}
