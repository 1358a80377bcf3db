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
    let (texts, origin) = try input.read(isQuiet: output.quiet)
    guard !texts.isPaired else {
      throw InputError("\(input.file!.name): holds pairs of texts; name one column with --text-column")
    }
    guard !cosines || texts.count <= 20_000 else {
      throw InputError(
        "--cosines: of \(texts.count.grouped) texts there are \((texts.count * texts.count).grouped); give at most 20,000 texts"
      )
    }
    let embedder = try SentenceEmbedder(
      model: model.folder, adapter: model.adapterFolder(), prompt: prompt, maximumLength: reading.length,
      longTexts: reading.long.longTexts)
    if !embedder.modules.isDescribed {
      comment(
        "\(model.name) has no modules.json: its token vectors are averaged, and the mean is scaled to length 1.",
        isQuiet: output.quiet)
    }
    let chosen = precision.apply(to: embedder.model, isQuiet: output.quiet)
    let encoded = try origin.encode(
      texts, into: embedder.noTexts(), isQuiet: output.quiet, preparing: embedder.prepared)
    let bar = ProgressBar("embedding", total: texts.count, isQuiet: output.quiet || texts.count < 200)
    // A picture of more can't be read.
    let mostInPicture = 60
    var vectors: [[Float]] = []
    try output.writeJSON { json in
      try json.append("embeddings") { json in
        var count = 0
        try embedder.forEachEmbedding(of: encoded, progress: { bar.advance(by: $0) }) { vector in
          if cosines || vectors.count < mostInPicture { vectors.append(vector) }
          if !cosines { print("[\(vector.map { "\($0)" }.joined(separator: ","))]") }
          count += 1
          if count % 1000 == 0, !StandardOutput.isFlushed() { throw StandardOutput.failure }
          if output.json != nil { try json.append(element: .array(vector.map { JSON($0) })) }
        }
      }
      guard output.json != nil else { return }
      try json.append("texts") { json in
        try texts.forEachPart { part, _ in for text in part { try json.append(element: .string(text)) } }
      }
    }
    if texts.count >= 200 { bar.finish() }
    func product(_ one: [Float], _ other: [Float]) -> Float { zip(one, other).reduce(0) { $0 + $1.0 * $1.1 } }
    func cosine(_ one: [Float], _ other: [Float]) -> Float {
      product(one, other) / max((product(one, one) * product(other, other)).squareRoot(), 1e-12)
    }
    if cosines {
      for vector in vectors {
        print(vectors.map { String(format: "%.4f", cosine(vector, $0)) }.joined(separator: "\t"))
      }
    }
    let pictured = vectors.prefix(mostInPicture)
    let onPage = output.report == nil ? [] : try texts.part(from: 0).first.prefix(ShownTexts.mostOnPage)
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
                  title: "Cosines of texts", rows: pictured.count, columns: pictured.count,
                  values: pictured.flatMap { one in pictured.map { min(1, cosine(one, $0)) } }, limit: 1,
                  rowLabel: "text",
                  columnLabel: "text", width: 480),
                caption: "Near 1 for texts of like meaning."
                  + (texts.count > mostInPicture ? " The first \(mostInPicture) texts." : ""))
            ]),
          .init(
            "Texts",
            [
              .table(
                Table(
                  of: Array(onPage.enumerated()),
                  [.init("") { .count($0.offset) }, .init("text") { .text($0.element) }]),
                caption: ShownTexts.caption(texts.count))
            ]),
        ],
        settings: model.settings + [chosen]), printsText: false, writesJSON: false)
  }
}
