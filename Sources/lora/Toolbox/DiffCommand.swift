import ArgumentParser
import Foundation
import LoRAKit

/// `lora diff`: how much two adapters, or two checkpoints, differ.
struct DiffCommand: ParsableCommand {
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
  var first: String

  @Argument(help: "Another one of the same kind.")
  var second: String

  @OptionGroup var output: OutputOptions

  func run() throws {
    try output.prepare()
    let urls = (URL(fileURLWithPath: first), URL(fileURLWithPath: second))
    for url in [urls.0, urls.1] where !FileManager.default.fileExists(atPath: url.path) {
      throw CheckpointError(.inputOutput, file: url.path, "does not exist", advice: "Check the path")
    }
    switch (StoredAdapter.recognises(urls.0), StoredAdapter.recognises(urls.1)) {
    case (true, true): try compareAdapters(urls.0, urls.1)
    case (false, false): try compareCheckpoints(urls.0, urls.1)
    default:
      throw CheckpointError(
        .mismatch, file: second, "one of the two is an adapter, the other is not", advice: "Compare like with like")
    }
  }

  private func compareAdapters(_ first: URL, _ second: URL) throws {
    let (one, two) = (try StoredAdapter(contentsOf: first), try StoredAdapter(contentsOf: second))
    let comparison = try withProgress("comparing", unit: "modules", isQuiet: output.quiet) {
      try AdapterComparison(one, two, progress: $0)
    }
    var table = TextTable(head: [
      "module", "ranks", "‖Δ₁‖", "‖Δ₂‖", "‖Δ₁−Δ₂‖/‖Δ₁‖", "cosine", "overlap of outputs", "of inputs", "smallest angle",
    ])
    table.rows = comparison.modules.map { module in
      [
        module.path, "\(module.ranks.first), \(module.ranks.second)", short(module.norms.first),
        short(module.norms.second), short(module.relativeDifference), fixed(module.cosine, 4),
        fixed(module.outputOverlap, 4), fixed(module.inputOverlap, 4),
        module.outputAngles.first.map { "\(fixed($0 * 180 / .pi, 1))°" } ?? "–",
      ]
    }
    print(table.text)
    let lists = [
      ("only in the first", comparison.onlyInFirst), ("only in the second", comparison.onlyInSecond),
      ("saved whole, and different", comparison.differingReplacements),
      ("beside the updates, and different", comparison.differingParts),
    ]
    for (label, names) in lists where !names.isEmpty { print("\n\(label): \(names.joined(separator: ", "))") }
    try output.write(
      json: [
        "modules": .array(
          comparison.modules.map {
            [
              "path": .string($0.path), "ranks": [.integer($0.ranks.first), .integer($0.ranks.second)],
              "norms": [.number($0.norms.first), .number($0.norms.second)],
              "relative_difference": .number($0.relativeDifference), "cosine": .number($0.cosine),
              "output_overlap": .number($0.outputOverlap), "input_overlap": .number($0.inputOverlap),
              "output_angles": .array($0.outputAngles.map(JSON.number)),
              "input_angles": .array($0.inputAngles.map(JSON.number)),
            ]
          }),
        "only_in_first": .array(comparison.onlyInFirst.map(JSON.string)),
        "only_in_second": .array(comparison.onlyInSecond.map(JSON.string)),
        "different_saved_whole": .array(comparison.differingReplacements.map(JSON.string)),
        "different_beside": .array(comparison.differingParts.map(JSON.string)),
      ] as JSON)
  }

  private func compareCheckpoints(_ first: URL, _ second: URL) throws {
    let (one, two) = (try Checkpoint(first), try Checkpoint(second))
    let comparison = try withProgress("comparing", unit: "bytes", isQuiet: output.quiet) {
      try CheckpointComparison(one, two, progress: $0)
    }
    let differing = comparison.tensors.filter { !$0.isIdentical }
    var table = TextTable(head: ["tensor", "formats", "‖y−x‖/‖x‖", "largest difference"])
    table.rows = differing.map { tensor in
      [
        tensor.name,
        tensor.formats.first == tensor.formats.second
          ? tensor.formats.first.rawValue : "\(tensor.formats.first.rawValue), \(tensor.formats.second.rawValue)",
        tensor.relativeDifference.map(short) ?? "\(tensor.shapes.first), \(tensor.shapes.second)",
        short(tensor.largestDifference),
      ]
    }
    if !differing.isEmpty { print(table.text + "\n") }
    print(
      "\(comparison.tensors.count - differing.count) tensors are the same bit for bit, \(differing.count) differ; "
        + "relative difference in all \(short(comparison.relativeDifference)).")
    for (label, names) in [
      ("only in the first", comparison.onlyInFirst), ("only in the second", comparison.onlyInSecond),
    ]
    where !names.isEmpty { print("\n\(label): \(names.joined(separator: ", "))") }
    try output.write(
      json: [
        "identical": .integer(comparison.tensors.count - differing.count),
        "relative_difference": .number(comparison.relativeDifference),
        "tensors": .array(
          differing.map {
            [
              "name": .string($0.name), "relative_difference": $0.relativeDifference.map(JSON.number) ?? .null,
              "largest_difference": .number($0.largestDifference),
            ]
          }),
        "only_in_first": .array(comparison.onlyInFirst.map(JSON.string)),
        "only_in_second": .array(comparison.onlyInSecond.map(JSON.string)),
      ] as JSON)
  }
}
