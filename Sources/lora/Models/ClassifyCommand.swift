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
      """)

  @OptionGroup var model: ModelOptions

  @Option(
    help: ArgumentHelp("A PEFT folder with a classifier, as `lora train classify` writes it.", valueName: "folder"),
    completion: .file())
  var adapter: String?

  @Option(help: "How many classes to show for each text, likeliest first.")
  var top = 1

  @OptionGroup var reading: ReadingOptions
  @OptionGroup var input: TextInput
  @OptionGroup var precision: PrecisionOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    if top < 1 { throw ValidationError("--top \(top): a number of at least 1 is needed.") }
  }

  func run() throws {
    try output.prepare()
    let (texts, origin) = try input.read()
    let classifier = try TextClassifier(
      model: model.folder, adapter: adapter.map { URL(fileURLWithPath: $0) }, maximumLength: reading.length,
      longTexts: reading.long.longTexts)
    let chosen = precision.apply(to: classifier.model, isQuiet: output.quiet)
    let encoded = try origin.encode(texts, into: classifier.noTexts(), isQuiet: output.quiet)
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
        title: "Texts classified by \(model.folder.lastPathComponent)",
        summary: "\(grouped(texts.count)) texts in \(classifier.labels.count) classes.",
        sections: [.init("Texts", [.table(table)])],
        settings: [.init("model", .text(model.model)), .adapter(adapter), chosen],
        members: [.init("labels", .array(classifier.labels.map(JSON.string)))]), printsText: false)
  }
}
