import ArgumentParser
import Foundation
import LoRAKit

/// `lora evaluate`: how good a model is on data that it has not seen.
struct EvaluateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "evaluate",
    abstract: "Measure a classifier on labelled texts, or a decoder on a text.",
    discussion: """
      EXAMPLES
        lora evaluate --model all-MiniLM-L6-v2 --adapter sentiment --data test.tsv
        lora evaluate --model stories260K --adapter shakespeare --data play.txt --length 128
      """)

  @OptionGroup var model: ModelOptions

  @Option(help: ArgumentHelp("A PEFT folder.", valueName: "folder"))
  var adapter: String?

  @Option(
    help: ArgumentHelp("Labelled texts (tsv, csv, jsonl) for a classifier, any text for a decoder.", valueName: "path"))
  var data: String

  @OptionGroup var columns: ColumnOptions

  @Option(help: "The most tokens of a text that are read at once. Default: as many as the model can.")
  var length: Int?

  @Option(help: ArgumentHelp("Write a report with a confusion matrix, one HTML file.", valueName: "path"))
  var report: String?

  @OptionGroup var output: OutputOptions

  struct ClassifierResult: Encodable {
    var accuracy: Double
    var loss: Double
    var count: Int
    var confusion: [[Int]]
    var labels: [String]
  }

  struct DecoderResult: Encodable {
    var loss: Double
    var perplexity: Double
    var accuracy: Double
    var count: Int
  }

  func validate() throws {
    if let length, length < 3 { throw ValidationError("--length \(length): at least 3 is needed.") }
  }

  func run() throws {
    try output.prepare(alsoWriting: report)
    if try modelKind(of: model.folder) == .encoder { try evaluateClassifier() } else { try evaluateDecoder() }
  }

  private func evaluateClassifier() throws {
    let classifier = try TextClassifier(
      model: model.folder, adapter: adapter.map { URL(fileURLWithPath: $0) }, maximumLength: length)
    let examples = try columns.read(URL(fileURLWithPath: data), labels: classifier.labels)
    let bar = ProgressBar("evaluating", total: examples.count, isQuiet: output.quiet)
    let predictions = classifier.predict(examples.texts) { bar.advance(by: $0) }
    bar.finish()
    reportCut(
      predictions.count { $0.removedCount > 0 }, of: examples.count, to: classifier.maximumLength, isQuiet: output.quiet
    )
    let result = ClassificationResult(
      labels: examples.labels, predictions: predictions.map(\.label), classCount: classifier.labels.count)
    let loss = zip(predictions, examples.labels).reduce(0) { $0 + Double($1.0.loss(of: $1.1)) } / Double(examples.count)
    print("accuracy  \(result.accuracy.text())")
    print("loss      \(loss.text())")
    print("count     \(examples.count)")
    try output.write(
      json: ClassifierResult(
        accuracy: result.accuracy, loss: loss, count: examples.count, confusion: result.confusion,
        labels: classifier.labels))
    if let report {
      let page = ClassifierReport(title: "Evaluation", labels: classifier.labels)
      try OutputFile.write(page.html(result: result, texts: examples.texts), to: URL(fileURLWithPath: report))
      comment("The report: \(report)", isQuiet: output.quiet)
    }
  }

  private func evaluateDecoder() throws {
    let generator = try TextGenerator(model: model.folder, adapters: adapter.map { [URL(fileURLWithPath: $0)] } ?? [])
    let windows = try TokenWindows(
      contentsOf: URL(fileURLWithPath: data), tokenizer: generator.tokenizer,
      length: min(length ?? .max, generator.model.positions))
    guard windows.predictions > 0 else { throw InputError("\(data): too short, a text of at least 2 tokens is needed") }
    let bar = ProgressBar("evaluating", total: windows.predictions, unit: " tokens", isQuiet: output.quiet)
    let score = windows.score(by: generator.model) { bar.advance(by: $0) }
    bar.finish()
    print("loss        \(score.loss.text())   nats a token")
    print("perplexity  \(exp(score.loss).text(2))")
    print("accuracy    \(score.accuracy.text())   of next tokens")
    print("count       \(windows.predictions)   tokens predicted")
    try output.write(
      json: DecoderResult(
        loss: score.loss, perplexity: exp(score.loss), accuracy: score.accuracy, count: windows.predictions))
  }
}

/// Which columns of a labelled file hold text and label.
struct ColumnOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("The text's column: a name, or a position counted from 0. Default: found.", valueName: "column"))
  var textColumn: String?

  @Option(help: ArgumentHelp("The label's column, likewise.", valueName: "column"))
  var labelColumn: String?

  @Flag(help: "The first line is an example, not a header.")
  var noHeader = false

  /// - Parameter labels: the classes that are known; nil finds them.
  func read(_ file: URL, labels: [String]?) throws -> LabelledText {
    let found = textColumn == nil || labelColumn == nil ? try LabelledColumns.find(in: file, hasHeader: !noHeader) : nil
    func column(_ given: String?, _ found: LabelledText.Column?) -> LabelledText.Column {
      given.map { name in Int(name).map { .position($0) } ?? .named(name) } ?? found!
    }
    return try LabelledText(
      contentsOf: file, text: column(textColumn, found?.text), label: column(labelColumn, found?.label),
      hasHeader: !noHeader, labelNames: labels)
  }
}
