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
  var adapter: String

  @Option(help: ArgumentHelp("The model that it is for: a directory, an index or a file.", valueName: "model"))
  var base: String

  @Flag(help: "Leave out of account what Python peft would make of it.")
  var withoutPeft = false

  @OptionGroup var output: OutputOptions

  func run() throws {
    try output.prepare()
    let adapter = try StoredAdapter(contentsOf: URL(fileURLWithPath: adapter))
    let base = try Checkpoint(URL(fileURLWithPath: base))
    try base.requirePlain()
    let placement = try Placement(adapter, on: WeightCatalog(base))
    let findings = placement.findings.filter { !withoutPeft || $0.audience == .everyone }
    let formats = Dictionary(grouping: placement.items) { item in
      let adapter = item.module.tensors.first?.format.rawValue ?? ""
      return "\(adapter) on \(base[item.places[0].tensor]?.format.rawValue ?? "the tied embedding")"
    }
    print("\(placement.items.count) of \(adapter.modules.count) modules have their place in the base.")
    if !adapter.replacements.isEmpty {
      print(
        "\(placement.replacements.count) of \(adapter.replacements.count) weights that are saved whole have theirs.")
    }
    for (pair, items) in formats.sorted(by: { $0.key < $1.key }) {
      print("formats: \(pair), \(items.count) modules")
    }
    let transposed = placement.items.filter { $0.isTransposed && !$0.module.isEmbedding }.count
    if transposed > 0 { print("\(transposed) weights are stored as [in, out] (Conv1D).") }
    printFindings(findings)
    let isWell = placement.isComplete && (withoutPeft || placement.isCompleteForPEFT)
    try output.write(
      json: [
        "complete": .bool(isWell), "complete_for_peft": .bool(placement.isCompleteForPEFT),
        "modules": .integer(adapter.modules.count),
        "placed": .array(
          placement.items.flatMap { item in
            item.places.map { ["module": .string(item.module.path), "weight": .string($0.tensor)] }
          }),
        "findings": json(findings),
      ] as JSON)
    print(
      isWell
        ? "\nThe adapter fits."
        : placement.isComplete
          ? "\nThe adapter fits here, but Python peft would ignore it, in whole or in part (--without-peft if that does not "
            + "matter)."
          : "\nThe adapter does not fit: it would act in part, wrongly or not at all.")
    if !isWell { throw ExitCode.failure }
  }
}
