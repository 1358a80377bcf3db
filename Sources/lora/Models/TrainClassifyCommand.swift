import ArgumentParser
import Foundation
import LoRAKit

/// `lora train classify`: from a labelled file to a classifier.
struct TrainClassifyCommand: RankedCommand {
  static let configuration = CommandConfiguration(
    commandName: "classify",
    abstract: "Train a classifier of texts on a labelled file.",
    discussion: """
      The file is tsv, csv, jsonl or json with a text, or a pair of texts, and a label in each row: one of some classes, \
      several labels (a list, or a column each), or a number. The best adapter on --eval is kept, by accuracy, micro F1 or \
      Pearson's correlation.

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

  @Option(
    help: """
      What is learnt, as transformers calls it: single_label_classification, multi_label_classification or regression. \
      (default: found from the labels)
      """)
  var problemType: ProblemType?

  @Option(
    help: ArgumentHelp(
      """
      How much each class counts in the loss: balanced (all the same in all), or a number for each, in their order, \
      between commas. (default: as often as it occurs)
      """, valueName: "weights"))
  var classWeights: String?

  @Option(name: [.long, .customLong("max-seq-length")], help: "The most tokens of a text that are read at once.")
  var length = 128

  @OptionGroup var long: LongTextOptions

  @OptionGroup var training: TrainingOptions
  @OptionGroup var output: OutputOptions

  func validate() throws { try check("length", length, "at least 3") { $0 >= 3 } }

  func run() throws {
    try training.prepare(output, model: model.folder)
    let examples = try columns.read(data, labels: nil, problem: problemType, isQuiet: output.quiet)
    let problem = examples.targets.problem
    guard problem == .regression || examples.labelNames.count > 1 else {
      throw InputError(
        "\(data.name): found the label “\(examples.labelNames.first ?? "")” on every text, expected at least two labels; "
          + "name another column with --label-column, or give texts of another class")
    }
    let evaluation = try eval.map {
      try columns.read(
        $0, labels: problem == .regression ? nil : examples.labelNames, problem: problem, isQuiet: output.quiet)
    }
    if let evaluation, evaluation.isPaired != examples.isPaired {
      throw InputError(
        "\(eval!.name): holds \(evaluation.isPaired ? "pairs of texts" : "single texts"), and \(data.name) "
          + "\(examples.isPaired ? "pairs" : "single texts"); name the columns with --text-column")
    }
    let classifier = try TextClassifier(
      model: model.folder, labels: examples.labelNames, problem: problem, maximumLength: length,
      longTexts: long.longTexts, seed: training.seed)
    func encode(_ texts: LabelledText, _ file: Path) throws -> TextClassificationTask.Examples {
      let encoded = try TextOrigin(file: file.name, line: texts.line, rowName: texts.rowName).encode(
        texts, into: classifier.noTexts(), isQuiet: output.quiet)
      return TextClassificationTask.Examples(encoded, targets: texts.targets)
    }
    let task = try TextClassificationTask(
      classifier, examples: try encode(examples, data), evaluation: try evaluation.map { try encode($0, eval!) },
      classWeights: try weights(for: examples))

    let choice = training.choice(for: task.sizes)
    let recipe = training.recipe(
      defaultTargets: classifier.model.body.attentionTargets, wholeModules: classifier.model.headModules,
      advice: choice?.advice)
    let before =
      try Ranks.joined().rank > 0 ? nil : task.evaluation.flatMap { try resultBefore(classifier, examples, $0) }
    var generator = SeededGenerator(seed: training.seed &+ 1)
    try recipe.prepare(classifier.model, using: &generator)
    try training.mend(classifier.model, isQuiet: output.quiet) {
      try TextClassifier(model: $0, labels: examples.labelNames, problem: problem).model
    }
    classifier.model.body.recomputes = training.recompute
    var run = try TrainingRun(
      model: classifier.model, base: model.folder, options: training, recipe: recipe,
      plan: training.plan(defaultBatchSize: 32, advice: choice?.advice),
      precision: training.precision.apply(to: classifier.model, trains: true, isQuiet: output.quiet),
      isQuiet: output.quiet, ranks: Ranks.joined(), choice: choice)
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
        for index in 0..<examples.count { digest.add(examples.targets.numbers(of: index)) }
        digest.endSequence()
      }, scoreName: problem.scoreName)
    guard run.ranks.rank == 0 else { return }
    let found = try task.evaluation.map { try TextResult(of: classifier, on: $0.texts, targets: $0.targets) }
    if let before, let found, found.score < before.result.score {
      comment(
        "The training has not reached what the base answers without it: train for more steps, or at another rate.",
        isQuiet: output.quiet)
    }
    let account = try found?.account(labels: classifier.labels, before: before, evaluation!.text)
    let firstRows = [
      examples.columnsSection(data.lastComponent), eval.flatMap { evaluation?.columnsSection($0.lastComponent) },
    ]
    let report = run.report(
      outcome, trained: trained, on: examples.account, fields: account?.fields ?? [],
      curves: outcome.curves(unit: "loss", score: problem.scoreName),
      sections: (account?.sections ?? []) + firstRows.compactMap(\.self), data: data, eval: eval,
      score: problem.scoreName)
    try run.write(
      report,
      configuration: try training.configuration(
        model: "\(model.model)", task: "SEQ_CLS", modulesToSave: classifier.savedModules),
      labels: classifier.model.written, metrics: metrics)
    try output.show(report)
  }

  /// By class what was asked for.
  private func weights(for examples: LabelledText) throws -> [Float]? {
    guard let classWeights else { return nil }
    guard examples.targets.problem == .singleLabel else {
      throw InputError("--class-weights is about texts with one class each, which those of \(data.name) have not")
    }
    let count = examples.labelNames.count
    if classWeights == "balanced" {
      return TextClassificationTask.balancedWeights(of: examples.labels, classCount: count)
    }
    let weights = classWeights.split(separator: ",", omittingEmptySubsequences: false).map { Float($0) ?? .nan }
    guard weights.count == count, weights.allSatisfy({ $0 > 0 && $0.isFinite }) else {
      throw InputError(
        "--class-weights \(classWeights): expected balanced, or \(count) positive numbers, for "
          + examples.labelNames.prefix(12).joined(separator: ", ") + (count > 12 ? ", …" : ""))
    }
    return weights
  }

  /// How the base answers the evaluation texts, before anything is trained: by its own classifier for these classes, or
  /// else by the class whose mean embedding is nearest, for a random classifier would say nothing about the base. Of
  /// numbers and several labels only a classifier says something.
  private func resultBefore(
    _ classifier: TextClassifier, _ examples: LabelledText, _ evaluation: TextClassificationTask.Examples
  ) throws -> TextResult.Before? {
    if classifier.hasOwnClassifier {
      return .init(
        name: "the base", key: "base",
        description: "The same texts, answered by the model's own classifier before the training.",
        result: try TextResult(of: classifier, on: evaluation.texts, targets: evaluation.targets))
    }
    guard case .classes(let labels) = evaluation.targets else { return nil }
    let perClass = 64
    let body = classifier.model.body
    let chosen = NearestClassMean.examples(of: examples.labels, perClass: perClass)
    var chosenTexts = try classifier.noTexts()
    for index in chosen {
      let (first, second) = try examples.rows(in: index..<index + 1)
      if let second { try chosenTexts.append(pairs: [(first[0], second[0])]) } else { try chosenTexts.append(first) }
    }
    let nearest = NearestClassMean(
      embeddings: try body.sentenceEmbeddings(of: chosenTexts), labels: chosen.map { examples.labels[$0] },
      classCount: classifier.labels.count)
    var answers = SmallIntegers()
    try body.forEachSentenceEmbedding(of: evaluation.texts) { answers.append(nearest.label(of: $0)) }
    return .init(
      name: "the base", key: "base",
      description: """
        The model has no classifier of its own for these classes. So the answers before are what its sentence embeddings \
        tell apart without training: the class whose mean over at most \(perClass) training texts is nearest by cosine.
        """,
      result: TextResult(
        answers: .classes(
          ClassificationResult(labels: labels, predictions: answers, classCount: classifier.labels.count)), loss: .nan))
  }
}
