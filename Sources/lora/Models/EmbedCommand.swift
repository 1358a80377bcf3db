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

  @OptionGroup var model: AdaptedModelOptions

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
      model: model.folder, adapter: model.adapterFolder(), maximumLength: reading.length,
      longTexts: reading.long.longTexts)
    let chosen = precision.apply(to: embedder.model, isQuiet: output.quiet)
    let encoded = try origin.encode(texts, into: embedder.noTexts(), isQuiet: output.quiet)
    let bar = ProgressBar("embedding", total: texts.count, isQuiet: output.quiet || texts.count < 200)
    let vectors = try embedder.embed(encoded) { bar.advance(by: $0) }
    if texts.count >= 200 { bar.finish() }
    func cosine(_ one: [Float], _ other: [Float]) -> Float { zip(one, other).reduce(0) { $0 + $1.0 * $1.1 } }
    for vector in vectors {
      let row = cosines ? vectors.map { String(format: "%.4f", cosine(vector, $0)) } : vector.map { "\($0)" }
      print(cosines ? row.joined(separator: "\t") : "[\(row.joined(separator: ","))]")
    }
    // A picture of more can't be read.
    let shown = vectors.prefix(60)
    try output.show(
      Report(
        title: "Texts embedded by \(model.name)",
        summary: "\(grouped(texts.count)) texts as vectors of \(grouped(vectors.first?.count ?? 0)) numbers.",
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
