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
      "Labelled texts (tsv, csv, jsonl, json) for a classifier, any text for a decoder; - for standard input.",
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
    if let other, classifier.problem != .regression || other.problem != .regression,
      Set<ExactString>(names: other.labels) != Set<ExactString>(names: classifier.labels)
    {
      throw InputError(
        "\(against!): knows the classes \(other.labels.prefix(8).joined(separator: ", ")); to be compared, it should know "
          + classifier.labels.prefix(8).joined(separator: ", "))
    }
    let examples = try columns.read(
      data, labels: classifier.problem == .regression ? nil : classifier.labels, problem: classifier.problem,
      isQuiet: output.quiet)
    let texts = try TextOrigin(file: data.name, line: examples.line, rowName: examples.rowName).encode(
      examples, into: classifier.noTexts(), isQuiet: output.quiet)
    let isCompared = other != nil || model.adapter != nil && classifier.hasOwnClassifier
    let bar = ProgressBar("evaluating", total: (isCompared ? 2 : 1) * examples.count, isQuiet: output.quiet)
    func result(of answering: TextClassifier, places: [Int]? = nil) throws -> TextResult {
      try TextResult(of: answering, on: texts, targets: examples.targets, places: places) { bar.advance(by: $0) }
    }
    let found = try result(of: classifier)
    var before: TextResult.Before?
    if let other, let against {
      let places = other.labels.map { name in classifier.labels.firstIndex(where: name.isExactly)! }
      before = .init(
        name: "the adapter \(against.lastComponent)", key: "against",
        description: "The same texts, answered with the adapter `\(against)`.",
        result: try result(of: other, places: places))
    } else if isCompared {
      before = .init(
        name: "the base", key: "base",
        description: "The same texts, answered by the model's own classifier without the adapter.",
        result: try classifier.model.withAdaptersDisabled { try result(of: classifier) })
    }
    bar.finish()
    let account = try found.account(labels: classifier.labels, before: before, examples.text)
    var members: [JSON.Member] = [
      .init("count", .integer(examples.count)), .init("labels", .array(classifier.labels.map(JSON.string))),
    ]
    if case .classes(let result) = found.answers {
      members.append(.init("confusion", .array(result.confusion.map { .array($0.map(JSON.integer)) })))
    }
    try output.show(
      Report(
        title: "\(model.name) on \(data.lastComponent)", summary: "\(examples.account).",
        sections: [.init("Result", [.fields(account.fields)])] + account.sections
          + [examples.columnsSection(data.lastComponent)].compactMap(\.self),
        settings: settings + [chosen], members: members))
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
      guard !source.columns.isEmpty else { continue }
      let columns = source.columns.map(\.description).joined(separator: ", and ")
      comment("\(source.file.relativePath): \(source.count.counted("row")), \(columns).", isQuiet: output.quiet)
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
        title: "\(model.name) on \(data.lastComponent)", summary: "\(windows.predictions.counted("token")) predicted.",
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
