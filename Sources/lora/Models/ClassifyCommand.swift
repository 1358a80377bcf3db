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

  func validate() throws {
    try check("top", top, atLeast: 1)
    if query != nil, input.columns.columns.count > 1 {
      throw ValidationError("Pairs come from --query or from --text-column, not from both.")
    }
  }

  func run() throws {
    try output.prepare()
    let classifier = try reading.classifier(model.folder, adapter: model.adapterFolder())
    let chosen = precision.apply(to: classifier.model, isQuiet: output.quiet)
    let (texts, origin) = try input.read(isQuiet: output.quiet)
    if query != nil, texts.isPaired {
      throw InputError(
        "\(input.file!.name): holds pairs of texts, and --query makes pairs too; name one column with --text-column")
    }
    let encoded = try origin.encode(texts, into: classifier.noTexts(), isQuiet: output.quiet, query: query)
    let problem = classifier.problem
    /// Of classes the likeliest, of labels those that a text has, likeliest first.
    func answers(_ prediction: TextClassifier.Prediction) -> [Int] {
      let probabilities = prediction.probabilities
      let order = probabilities.indices.sorted { probabilities[$0] > probabilities[$1] }
      return problem == .multiLabel && top == 1
        ? order.filter { probabilities[$0] > 0.5 } : Array(order.prefix(top))
    }
    var properties: [Table.Property<(String, TextClassifier.Prediction)>] = [.init("text", key: "text") { .text($0.0) }]
    switch problem {
    case .singleLabel, .regression:
      properties += [
        .init("class", key: "label") { .text(classifier.labels[$0.1.label]) },
        .init(problem == .regression ? "answer" : "probability", key: "probability") {
          let value = Double($0.1.probabilities[$0.1.label])
          return problem == .regression ? .number(value) : .share(value)
        },
      ]
    case .multiLabel:
      properties.append(
        .init("labels", key: "labels") { .texts(answers($0.1).map { classifier.labels[$0] }) })
    }
    properties.append(.init(key: "probabilities") { .list($0.1.probabilities.map { .number(Double($0)) }) })

    let bar = ProgressBar("classifying", total: texts.count, isQuiet: output.quiet || texts.count < 200)
    var onPage: [(String, TextClassifier.Prediction)] = []
    try output.writeJSON { json in
      try json.append("labels", .array(classifier.labels.map(JSON.string)))
      try json.append("results") { json in
        var shown = ShownTexts(texts)
        try classifier.forEachPrediction(of: encoded, progress: { bar.advance(by: $0) }) { prediction in
          let text = try shown.next()
          let found = answers(prediction).map {
            "\(classifier.labels[$0])\t\(String(format: "%.4f", prediction.probabilities[$0]))"
          }
          print((found.isEmpty ? "none" : found.joined(separator: "\t")) + (texts.count > 1 ? "\t\(text)" : ""))
          if output.report != nil, onPage.count < ShownTexts.mostOnPage { onPage.append((text, prediction)) }
          guard output.json != nil else { return }
          for row in Table(of: [(text, prediction)], properties).json.array ?? [] {
            try json.append(element: row.sorted)
          }
        }
      }
    }
    if texts.count >= 200 { bar.finish() }
    try output.show(
      Report(
        title: "Texts classified by \(model.name)",
        summary: "\(texts.count.counted("text"))"
          + (problem == .regression ? "." : problem == .multiLabel ? ", each with any of " : " in ")
          + (problem == .regression
            ? "" : "\(classifier.labels.count) \(problem == .multiLabel ? "labels" : "classes")."),
        sections: [
          .init("Texts", [.table(Table(of: onPage, properties), caption: ShownTexts.caption(texts.count))])
        ],
        settings: model.settings + [chosen]), printsText: false, writesJSON: false)
  }
}
