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

  @OptionGroup var model: AdaptedModelOptions

  @Option(
    help: ArgumentHelp(
      "Labelled texts (tsv, csv, jsonl) for a classifier, any text for a decoder; - for standard input.",
      valueName: "path"))
  var data: Path

  @OptionGroup var columns: ColumnOptions

  @OptionGroup var reading: ReadingOptions

  @Option(
    help: ArgumentHelp(
      "Another adapter of the model, to compare with. (default: the model's own classifier, where it has one)",
      valueName: "folder"))
  var against: Path?

  @Option(help: "What counts of conversations, and of prompts with completions: assistant, last or all. (decoders)")
  var learn = LearntTurns.assistant

  @OptionGroup var template: TemplateOptions

  @OptionGroup var precision: PrecisionOptions
  @OptionGroup var output: OutputOptions

  func run() throws {
    try output.prepare()
    if try isClassifier(model.folder, adapter: model.adapterFolder()) {
      try evaluateClassifier()
    } else {
      try evaluateDecoder()
    }
  }

  private func evaluateClassifier() throws {
    let classifier = try reading.classifier(model.folder, adapter: model.adapterFolder())
    let other = try against.map { try reading.classifier(model.folder, adapter: $0.place(of: "an adapter's folder")) }
    let chosen = precision.apply(to: classifier.model, isQuiet: output.quiet)
    if let other { precision.apply(to: other.model, isQuiet: true) }
    if let other, Set<ExactString>(names: other.labels) != Set<ExactString>(names: classifier.labels) {
      throw InputError(
        "\(against!): knows the classes \(other.labels.prefix(8).joined(separator: ", ")); to be compared, it should know "
          + classifier.labels.prefix(8).joined(separator: ", "))
    }
    let examples = try columns.read(data, labels: classifier.labels)
    let texts = try TextOrigin(file: data.name, line: examples.line).encode(
      examples, into: classifier.noTexts(), isQuiet: output.quiet)
    let isCompared = other != nil || model.adapter != nil && classifier.hasOwnClassifier
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
    var before: ClassificationReport.Before?
    if let other, let against {
      let numbers = other.labels.map { name in classifier.labels.firstIndex(where: name.isExactly)! }
      before = ClassificationReport.Before(
        name: "the adapter \(against.lastComponent)", key: "against_accuracy",
        description: "The same texts, answered with the adapter `\(against)`.",
        result: try answers(of: other, numbers: numbers).result)
    } else if isCompared {
      before = ClassificationReport.Before(
        name: "the base", key: "base_accuracy",
        description: "The same texts, answered by the model's own classifier without the adapter.",
        result: try classifier.model.withAdaptersDisabled { try answers(of: classifier).result })
    }
    bar.finish()
    let account = ClassificationReport(labels: classifier.labels, result: found, loss: loss, before: before)
    try output.show(
      Report(
        title: "\(model.name) on \(data.name)",
        summary: "\(grouped(examples.count)) texts in \(classifier.labels.count) classes.",
        sections: [.init("Result", [.fields(account.fields)])] + (try account.sections(examples.text)),
        settings: settings + [chosen],
        members: [
          .init("count", .integer(examples.count)), .init("labels", .array(classifier.labels.map(JSON.string))),
          .init("confusion", .array(found.confusion.map { .array($0.map(JSON.integer)) })),
        ]))
  }

  private var settings: [Report.Field] {
    model.settings + [.init("data", .text(data.name))]
      + (against.map { [.init("compared with", .text("\($0)"))] } ?? [])
  }

  private func evaluateDecoder() throws {
    if against != nil {
      throw InputError("--against is about a classifier, and \(model.base.model) is a decoder; leave it out")
    }
    let generator = try TextGenerator(model: model.folder, adapters: model.adapterFolder().map { [$0] } ?? [])
    let chosen = precision.apply(to: generator.model, isQuiet: output.quiet)
    let windows = try TokenWindows(
      contentsOf: data.input(), tokenizer: generator.tokenizer,
      length: min(reading.length ?? .max, generator.model.positions),
      template: try ChatTemplate(named: template.chatTemplate, of: model.folder), turns: learn)
    for source in windows.sources {
      guard let columns = source.columns else { continue }
      comment("\(source.file.relativePath): \(grouped(source.count)) rows, \(columns).", isQuiet: output.quiet)
    }
    try generator.model.requireKnown([windows.largestID], of: generator.tokenizer)
    guard windows.predictions > 0 else {
      throw InputError("\(data.name): too short, a text of at least 2 tokens is needed")
    }
    let bar = ProgressBar("evaluating", total: windows.predictions, unit: " tokens", isQuiet: output.quiet)
    let score = try windows.score(by: generator.model) { bar.advance(by: $0) }
    bar.finish()
    guard score.loss.isFinite else {
      throw InputError("\(data.name): the loss is no number: the model's weights, or the adapter's, are broken")
    }
    try output.show(
      Report(
        title: "\(model.name) on \(data.name)", summary: "\(grouped(windows.predictions)) tokens predicted.",
        sections: [
          .init(
            "Result",
            [
              .fields([
                .init("loss, nats a token", key: "loss", .decimal(score.loss, 4)),
                .init("perplexity", key: "perplexity", .decimal(exp(score.loss), 2)),
                .init("accuracy of next tokens", key: "accuracy", .share(score.accuracy)),
                .init(key: "count", .count(windows.predictions)),
              ])
            ])
        ], settings: settings + [chosen]))
  }
}

/// Which columns of a labelled file hold text and label.
struct ColumnOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("The text's column: a name, or a position counted from 0. (default: found)", valueName: "column")
  )
  var textColumn: String?

  @Option(help: ArgumentHelp("The label's column, likewise.", valueName: "column"))
  var labelColumn: String?

  @Flag(help: "The first line is an example, not a header.")
  var noHeader = false

  /// - Parameter labels: the classes that are known; nil finds them.
  func read(_ file: Path, labels: [String]?) throws -> LabelledText {
    func column(_ given: String?) -> LabelledText.Column? {
      given.map { name in Int(name).flatMap { $0 >= 0 ? .position($0) : nil } ?? .named(name) }
    }
    return try LabelledText(
      contentsOf: file.input(), text: column(textColumn), label: column(labelColumn), hasHeader: !noHeader,
      labelNames: labels)
  }
}
