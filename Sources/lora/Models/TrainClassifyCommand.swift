import ArgumentParser
import Foundation
import LoRAKit

/// `lora train classify`: from a labelled file to a classifier.
struct TrainClassifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "classify",
    abstract: "Train a classifier of texts on a labelled file.",
    discussion: """
      The file is tsv, csv or jsonl with a text and a label in each row. The best adapter by accuracy on --eval is kept.

      EXAMPLES
        lora train classify --model all-MiniLM-L6-v2 --data train.tsv --eval dev.tsv -o sentiment
        lora classify --model all-MiniLM-L6-v2 --adapter sentiment "a moving film"
      """)

  @OptionGroup var model: ModelOptions

  @Option(help: ArgumentHelp("Labelled texts; - for standard input.", valueName: "path"))
  var data: Path

  @Option(help: ArgumentHelp("Labelled texts to choose the best adapter by. (default: none)", valueName: "path"))
  var eval: Path?

  @OptionGroup var columns: ColumnOptions

  @Option(name: [.long, .customLong("max-seq-length")], help: "The most tokens of a text that are read at once.")
  var length = 128

  @OptionGroup var long: LongTextOptions

  @OptionGroup var training: TrainingOptions
  @OptionGroup var output: OutputOptions

  func validate() throws { try check("length", length, "at least 3") { $0 >= 3 } }

  func run() throws {
    try training.prepare(output, model: model.folder)
    let examples = try columns.read(data, labels: nil)
    guard examples.labelNames.count > 1 else {
      throw InputError(
        "\(data.name): every text has the label “\(examples.labelNames.first ?? "")”; at least two are needed")
    }
    let evaluation = try eval.map { try columns.read($0, labels: examples.labelNames) }
    let classifier = try TextClassifier(
      model: model.folder, labels: examples.labelNames, maximumLength: length, longTexts: long.longTexts,
      seed: training.seed)
    func encode(_ texts: LabelledText, _ file: Path) throws -> TextClassificationTask.Examples {
      let encoded = try TextOrigin(file: file.name, line: texts.line).encode(
        texts, into: classifier.noTexts(), isQuiet: output.quiet)
      return TextClassificationTask.Examples(encoded, labels: texts.labels)
    }
    let task = try TextClassificationTask(
      classifier, examples: try encode(examples, data), evaluation: try evaluation.map { try encode($0, eval!) })

    let recipe = training.recipe(
      defaultTargets: classifier.model.body.attentionTargets, wholeModules: classifier.model.headModules)
    let before = try task.evaluation.map { try answersBefore(classifier, examples, evaluation!, $0.texts) }
    var generator = SeededGenerator(seed: training.seed &+ 1)
    try recipe.prepare(classifier.model, using: &generator)
    classifier.model.body.recomputes = training.recompute
    let run = TrainingRun(
      model: classifier.model, base: model.folder, options: training, recipe: recipe,
      plan: training.plan(defaultBatchSize: 32),
      precision: training.precision.apply(to: classifier.model, trains: true, isQuiet: output.quiet),
      isQuiet: output.quiet)
    let shape = classifier.model.body.description
    let longest = task.examples.texts.mostTokens(of: run.plan.batchSize / run.plan.accumulation)
    try run.announce(
      rows: longest, layers: shape.layers, hidden: shape.hidden, intermediate: shape.intermediate,
      outputs: classifier.labels.count)
    let trained = classifier.model.trainableCount

    let (outcome, metrics) = try run.train(
      task,
      keeping: try training.keeping(
        model: "\(model.model)", length: length, longTexts: long.longTexts == .cut ? nil : long.longTexts
      ) { digest in
        try task.examples.texts.forEachSequence {
          digest.add($0.ids)
          digest.endSequence()
        }
        for label in examples.labels { digest.add([Int32(label)]) }
        digest.endSequence()
      }, scoreName: "accuracy")
    let account = try evaluation.map { evaluation in
      ClassificationReport(
        labels: classifier.labels,
        result: ClassificationResult(
          labels: evaluation.labels, predictions: try answers(of: classifier, task.evaluation!.texts),
          classCount: classifier.labels.count),
        loss: outcome.best?.loss ?? .nan, before: before)
    }
    if let before, let account, account.result.accuracy < before.result.accuracy {
      comment(
        "The training has not reached what the base answers without it: train for more steps, or at another rate.",
        isQuiet: output.quiet)
    }
    let report = run.report(
      outcome, trained: trained, on: "\(grouped(examples.count)) texts in \(classifier.labels.count) classes",
      fields: account?.fields ?? [], curves: outcome.curves(unit: "loss", accuracy: true),
      sections: try account?.sections(evaluation!.text) ?? [],
      data: data, eval: eval)
    try run.write(
      report,
      configuration: try training.configuration(
        model: "\(model.model)", task: "SEQ_CLS", modulesToSave: classifier.savedModules),
      labels: classifier.labels, metrics: metrics)
    try output.show(report)
  }

  private func answers(of classifier: TextClassifier, _ texts: EncodedTexts) throws -> SmallIntegers {
    var answers = SmallIntegers()
    try classifier.forEachPrediction(of: texts) { answers.append($0.label) }
    return answers
  }

  /// How the base answers the evaluation texts, before anything is trained: by its own classifier for these classes, or
  /// else by the class whose mean embedding is nearest, for a random classifier would say nothing about the base.
  private func answersBefore(
    _ classifier: TextClassifier, _ examples: LabelledText, _ evaluation: LabelledText, _ texts: EncodedTexts
  ) throws -> ClassificationReport.Before {
    var answers = SmallIntegers()
    let description: String
    if classifier.hasOwnClassifier {
      answers = try self.answers(of: classifier, texts)
      description = "The same texts, answered by the model's own classifier before the training."
    } else {
      let perClass = 64
      let body = classifier.model.body
      let chosen = NearestClassMean.examples(of: examples.labels, perClass: perClass)
      let nearest = NearestClassMean(
        embeddings: try body.sentenceEmbeddings(of: try classifier.encode(try examples.texts(at: chosen))),
        labels: chosen.map { examples.labels[$0] }, classCount: classifier.labels.count)
      try body.forEachSentenceEmbedding(of: texts) { answers.append(nearest.label(of: $0)) }
      description = """
        The model has no classifier of its own for these classes. So the answers before are what its sentence embeddings \
        tell apart without training: the class whose mean over at most \(perClass) training texts is nearest by cosine.
        """
    }
    return ClassificationReport.Before(
      name: "the base", key: "base_accuracy", description: description,
      result: ClassificationResult(
        labels: evaluation.labels, predictions: answers, classCount: classifier.labels.count))
  }
}
