import ArgumentParser
import Foundation
import LoRAKit

/// `lora embed`: sentence embeddings.
struct EmbedCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "embed",
    abstract: "Print sentence embeddings, one JSON list a line: mean token vectors of length 1.",
    discussion: """
      The product of two embeddings is the cosine of their angle: near 1 for texts of like meaning.

      EXAMPLES
        lora embed --model all-MiniLM-L6-v2 "a moving film" "a film that moves"
        lora embed --model all-MiniLM-L6-v2 --file sentences.txt > embeddings.jsonl
      """)

  @OptionGroup var model: ModelOptions

  @Option(help: ArgumentHelp("A PEFT folder.", valueName: "folder"))
  var adapter: String?

  @Flag(help: "Print the cosines between all texts instead.")
  var cosines = false

  @OptionGroup var reading: ReadingOptions
  @OptionGroup var input: TextInput
  @OptionGroup var output: OutputOptions

  struct Result: Encodable {
    var texts: [String]
    var embeddings: [[Float]]
  }

  func run() throws {
    try output.prepare()
    let (texts, origin) = try input.read()
    let embedder = try SentenceEmbedder(
      model: model.folder, adapter: adapter.map { URL(fileURLWithPath: $0) }, maximumLength: reading.length,
      longTexts: reading.long.longTexts)
    let encoded = try origin.encode(texts, into: embedder.noTexts(), isQuiet: output.quiet)
    let bar = ProgressBar("embedding", total: texts.count, isQuiet: output.quiet || texts.count < 200)
    let vectors = try embedder.embed(encoded) { bar.advance(by: $0) }
    if texts.count >= 200 { bar.finish() }
    for vector in vectors {
      let row =
        cosines
        ? vectors.map { other in zip(vector, other).reduce(0) { $0 + $1.0 * $1.1 }.text() }
        : vector.map { "\($0)" }
      print(cosines ? row.joined(separator: "\t") : "[\(row.joined(separator: ","))]")
    }
    try output.write(json: Result(texts: texts, embeddings: vectors))
  }
}
