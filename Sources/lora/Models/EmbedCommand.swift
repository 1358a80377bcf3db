import ArgumentParser
import Foundation
import LoRAKit

/// `lora embed`: sentence embeddings.
struct EmbedCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "embed",
    abstract: "Print sentence embeddings, one JSON list a line.",
    discussion: """
      A folder of sentence-transformers says how token vectors become one (modules.json: pooling, Dense, Normalize), how
      much of a text is read, and which prompts there are. Of any other it is their mean, scaled to length 1. The cosine of
      the angle between two embeddings is near 1 for texts of like meaning.

      EXAMPLES
        lora embed --model all-MiniLM-L6-v2 "a moving film" "a film that moves"
        lora embed --model all-MiniLM-L6-v2 --file sentences.txt > embeddings.jsonl
        lora embed --model embeddinggemma-300m --prompt query "how tall are elms?"
      """)

  @OptionGroup var model: AdaptedModelOptions

  @Option(help: "The name of a prompt of the model's, which is put before each text. (default: the model's own)")
  var prompt: String?

  @Flag(help: "Print the cosines between all texts instead.")
  var cosines = false

  @OptionGroup var reading: ReadingOptions
  @OptionGroup var input: TextInput
  @OptionGroup var precision: PrecisionOptions
  @OptionGroup var output: OutputOptions

  func run() throws {
    try output.prepare()
    let (texts, origin) = try input.read()
    let embedder = try SentenceEmbedder(
      model: model.folder, adapter: model.adapterFolder(), prompt: prompt, maximumLength: reading.length,
      longTexts: reading.long.longTexts)
    if !embedder.modules.isDescribed {
      comment(
        "\(model.name) has no modules.json: its token vectors are averaged, and the mean is scaled to length 1.",
        isQuiet: output.quiet)
    }
    let chosen = precision.apply(to: embedder.model, isQuiet: output.quiet)
    let encoded = try origin.encode(texts.map(embedder.prepared), into: embedder.noTexts(), isQuiet: output.quiet)
    let bar = ProgressBar("embedding", total: texts.count, isQuiet: output.quiet || texts.count < 200)
    let vectors = try embedder.embed(encoded) { bar.advance(by: $0) }
    if texts.count >= 200 { bar.finish() }
    func product(_ one: [Float], _ other: [Float]) -> Float { zip(one, other).reduce(0) { $0 + $1.0 * $1.1 } }
    func cosine(_ one: [Float], _ other: [Float]) -> Float {
      product(one, other) / max((product(one, one) * product(other, other)).squareRoot(), 1e-12)
    }
    for vector in vectors {
      let row = cosines ? vectors.map { String(format: "%.4f", cosine(vector, $0)) } : vector.map { "\($0)" }
      print(cosines ? row.joined(separator: "\t") : "[\(row.joined(separator: ","))]")
    }
    // A picture of more can't be read.
    let shown = vectors.prefix(60)
    try output.show(
      Report(
        title: "Texts embedded by \(model.name)",
        summary: "\(texts.count.counted("text")) as vectors of \((vectors.first?.count ?? 0).grouped) numbers.",
        sections: [
          .init(
            "Cosines",
            [
              .figure(
                Heatmap(
                  title: "Cosines of texts", rows: shown.count, columns: shown.count,
                  values: shown.flatMap { one in shown.map { min(1, cosine(one, $0)) } }, limit: 1, rowLabel: "text",
                  columnLabel: "text", width: 480),
                caption: "Near 1 for texts of like meaning." + (texts.count > 60 ? " The first 60 texts." : ""))
            ]),
          .init(
            "Texts",
            [
              .table(
                Table(
                  of: Array(texts.enumerated()), [.init("") { .count($0.offset) }, .init("text") { .text($0.element) }])
              )
            ]),
        ],
        settings: model.settings + [chosen],
        members: [
          .init("texts", .array(texts.map(JSON.string))),
          .init("embeddings", .array(vectors.map { .array($0.map { JSON($0) }) })),
        ]), printsText: false)
  }
}
