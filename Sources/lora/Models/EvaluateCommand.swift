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
        lora evaluate --model all-MiniLM-L6-v2 --adapter new --against old --data test.tsv --report changes.html
        lora evaluate --model stories260K --adapter shakespeare --data play.txt --length 128
      """)

  @OptionGroup var model: ModelOptions

  @Option(help: ArgumentHelp("A PEFT folder.", valueName: "folder"))
  var adapter: String?

  @Option(
    help: ArgumentHelp("Labelled texts (tsv, csv, jsonl) for a classifier, any text for a decoder.", valueName: "path"))
  var data: String

  @OptionGroup var columns: ColumnOptions

  @OptionGroup var reading: ReadingOptions

  @Option(
    help: ArgumentHelp(
      "Another adapter of the model, to compare with. Default: the model's own classifier, where it has one.",
      valueName: "folder"))
  var against: String?

  @Option(
    help: ArgumentHelp(
      "Write a report on a classifier: its confusions, its errors, what changed. One HTML file.", valueName: "path"))
  var report: String?

  @OptionGroup var output: OutputOptions

  struct ClassifierResult: Encodable {
    var accuracy: Double
    var loss: Double
    var count: Int
    var confusion: [[Int]]
    var labels: [String]
    /// Of the model's own classifier, without the adapter.
    var baseAccuracy: Double?
    /// Of the adapter given by `--against`.
    var againstAccuracy: Double?
    var mendedErrors: Int?
    var newErrors: Int?

    enum CodingKeys: String, CodingKey {
      case accuracy, loss, count, confusion, labels
      case baseAccuracy = "base_accuracy"
      case againstAccuracy = "against_accuracy"
      case mendedErrors = "mended_errors"
      case newErrors = "new_errors"
    }
  }

  struct DecoderResult: Encodable {
    var loss: Double
    var perplexity: Double
    var accuracy: Double
    var count: Int
  }

  func run() throws {
    try output.prepare(alsoWriting: report)
    if try modelKind(of: model.folder) == .encoder { try evaluateClassifier() } else { try evaluateDecoder() }
  }

  private func classifier(adapter: String?) throws -> TextClassifier {
    try TextClassifier(
      model: model.folder, adapter: adapter.map { URL(fileURLWithPath: $0) }, maximumLength: reading.length,
      longTexts: reading.long.longTexts)
  }

  private func evaluateClassifier() throws {
    let classifier = try classifier(adapter: adapter)
    let other = try against.map { try self.classifier(adapter: $0) }
    if let other, Set<ExactString>(names: other.labels) != Set<ExactString>(names: classifier.labels) {
      throw InputError(
        "\(against!): knows the classes \(other.labels.prefix(8).joined(separator: ", ")); to be compared, it should know "
          + classifier.labels.prefix(8).joined(separator: ", "))
    }
    let examples = try columns.read(URL(fileURLWithPath: data), labels: classifier.labels)
    let texts = try TextOrigin(file: data, line: examples.line).encode(
      examples, into: classifier.noTexts(), isQuiet: output.quiet)
    let isCompared = other != nil || adapter != nil && classifier.hasOwnClassifier
    let bar = ProgressBar("evaluating", total: (isCompared ? 2 : 1) * examples.count, isQuiet: output.quiet)
    /// What a classifier answers, each of its classes under the number that the first one has for it; and the mean
    /// loss.
    func answers(
      of answering: TextClassifier, numbers: [Int]? = nil
    ) throws -> (result: ClassificationResult, loss: Double) {
      var (answers, loss) = (SmallIntegers(), 0.0)
      func advance(_ done: Int) { bar.advance(by: done) }
      try answering.forEachPrediction(of: texts, progress: advance) { prediction in
        if numbers == nil { loss += Double(prediction.loss(of: examples.labels[answers.count])) }
        answers.append(numbers?[prediction.label] ?? prediction.label)
      }
      return (
        ClassificationResult(labels: examples.labels, predictions: answers, classCount: classifier.labels.count),
        loss / Double(examples.count)
      )
    }
    let (found, loss) = try answers(of: classifier)
    var before: ClassifierReport.Before?
    if let other, let against {
      before = ClassifierReport.Before(
        name: "the adapter \(against)", description: "The same texts, answered with the adapter `\(against)`.",
        result: try answers(
          of: other, numbers: other.labels.map { name in classifier.labels.firstIndex(where: name.isExactly)! }
        ).result)
    } else if isCompared {
      before = ClassifierReport.Before(
        name: "the base", description: "The same texts, answered by the model's own classifier without the adapter.",
        result: try classifier.model.withAdaptersDisabled { try answers(of: classifier).result })
    }
    bar.finish()
    let changes = before.map { found.changes(since: $0.result) }
    if let before {
      print("\(against == nil ? "base accuracy   " : "against         ")\(before.result.accuracy.text())")
    }
    print("accuracy        \(found.accuracy.text())")
    if let changes { print("errors          \(changes.mended.count) mended, \(changes.broken.count) new") }
    print("loss            \(loss.text())")
    print("count           \(examples.count)")
    try output.write(
      json: ClassifierResult(
        accuracy: found.accuracy, loss: loss, count: examples.count, confusion: found.confusion,
        labels: classifier.labels, baseAccuracy: against == nil ? before?.result.accuracy : nil,
        againstAccuracy: against == nil ? nil : before?.result.accuracy, mendedErrors: changes?.mended.count,
        newErrors: changes?.broken.count))
    if let report {
      var page = ClassifierReport(title: "Evaluation", labels: classifier.labels)
      page.before = before
      page.footer = "Made by lora evaluate, \(grouped(examples.count)) texts from \(data)."
      try OutputFile.write(try page.html(result: found, text: examples.text), to: URL(fileURLWithPath: report))
      comment("The report: \(report)", isQuiet: output.quiet)
    }
  }

  private func evaluateDecoder() throws {
    for (name, value) in [("against", against), ("report", report)] where value != nil {
      throw InputError("--\(name) is about a classifier, and \(model.model) is a decoder")
    }
    let generator = try TextGenerator(model: model.folder, adapters: adapter.map { [URL(fileURLWithPath: $0)] } ?? [])
    let windows = try TokenWindows(
      contentsOf: URL(fileURLWithPath: data), tokenizer: generator.tokenizer,
      length: min(reading.length ?? .max, generator.model.positions))
    try generator.model.requireKnown([windows.largestID], of: generator.tokenizer)
    guard windows.predictions > 0 else { throw InputError("\(data): too short, a text of at least 2 tokens is needed") }
    let bar = ProgressBar("evaluating", total: windows.predictions, unit: " tokens", isQuiet: output.quiet)
    let score = try windows.score(by: generator.model) { bar.advance(by: $0) }
    bar.finish()
    guard score.loss.isFinite else {
      throw InputError("\(data): the loss is no number: the model's weights, or the adapter's, are broken")
    }
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
    func column(_ given: String?) -> LabelledText.Column? {
      given.map { name in Int(name).flatMap { $0 >= 0 ? .position($0) : nil } ?? .named(name) }
    }
    return try LabelledText(
      contentsOf: file, text: column(textColumn), label: column(labelColumn), hasHeader: !noHeader, labelNames: labels)
  }
}
