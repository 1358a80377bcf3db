import ArgumentParser
import Foundation
import LoRAKit

/// `lora classify`: the class of each text.
struct ClassifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "classify",
    abstract: "Print the class of each text and its probability.",
    discussion: """
      EXAMPLES
        lora classify --model all-MiniLM-L6-v2 --adapter sentiment "a moving film"
        lora classify --model all-MiniLM-L6-v2 --adapter sentiment --file reviews.txt --json classes.json
        lora classify --model ms-marco-MiniLM-L6-v2 --query "how tall are elms?" --file passages.txt
      """)

  @OptionGroup var model: AdaptedModelOptions

  @Option(help: "How many classes to show for each text, likeliest first.")
  var top = 1

  @Option(help: "A text that each of the others is read with as a pair, as cross-encoders take a question.")
  var query: String?

  @OptionGroup var reading: ReadingOptions
  @OptionGroup var input: TextInput
  @OptionGroup var precision: PrecisionOptions
  @OptionGroup var output: OutputOptions

  func validate() throws { try check("top", top, atLeast: 1) }

  func run() throws {
    try output.prepare()
    let (texts, origin) = try input.read()
    let classifier = try reading.classifier(model.folder, adapter: model.adapterFolder())
    let chosen = precision.apply(to: classifier.model, isQuiet: output.quiet)
    let encoded =
      try query.map { query in
        var pairs = try classifier.noTexts()
        try pairs.append(pairs: texts.map { (query, $0) })
        return pairs
      } ?? origin.encode(texts, into: classifier.noTexts(), isQuiet: output.quiet)
    let bar = ProgressBar("classifying", total: texts.count, isQuiet: output.quiet || texts.count < 200)
    let predictions = try classifier.predict(encoded) { bar.advance(by: $0) }
    if texts.count >= 200 { bar.finish() }
    for (text, prediction) in zip(texts, predictions) {
      let probabilities = prediction.probabilities
      let order = probabilities.indices.sorted { probabilities[$0] > probabilities[$1] }.prefix(top)
      print(
        order.map { "\(classifier.labels[$0])\t\(String(format: "%.4f", probabilities[$0]))" }.joined(separator: "\t")
          + (texts.count > 1 ? "\t\(text)" : ""))
    }
    let table = Table(
      key: "results", of: Array(zip(texts, predictions)),
      [
        .init("text", key: "text") { .text($0.0) },
        .init("class", key: "label") { .text(classifier.labels[$0.1.label]) },
        .init("probability", key: "probability") { .share(Double($0.1.probabilities[$0.1.label])) },
        .init(key: "probabilities") { .list($0.1.probabilities.map { .number(Double($0)) }) },
      ])
    try output.show(
      Report(
        title: "Texts classified by \(model.name)",
        summary: "\(grouped(texts.count)) texts in \(classifier.labels.count) classes.",
        sections: [.init("Texts", [.table(table)])],
        settings: model.settings + [chosen],
        members: [.init("labels", .array(classifier.labels.map(JSON.string)))]), printsText: false)
  }
}
