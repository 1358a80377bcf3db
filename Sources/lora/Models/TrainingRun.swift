import ArgumentParser
import Foundation
import LoRAKit

/// Trains with a progress bar, collects the metrics, and writes what was trained.
struct TrainingRun {
  let model: any Module
  /// The folder of what is trained.
  let base: URL
  let options: TrainingOptions
  let recipe: FineTuningRecipe
  var plan: FineTuningSchedule
  let precision: Report.Field
  let isQuiet: Bool
  /// Which train together.
  let ranks: any Collective
  /// With --auto, how the settings came about.
  var choice: RecipeChoice?

  /// Says what will be trained, and refuses what can't fit into the memory.
  ///
  /// - Parameters:
  ///   - rows: the most tokens worked on at once.
  ///   - shape: layers and sizes, from which the forecast is made.
  func announce(rows: Int, layers: Int, hidden: Int, intermediate: Int, outputs: Int) throws {
    let all = model.allParameters
    let trained = all.filter { $0.parameter.isTrainable }
    let count = trained.reduce(0) { $0 + $1.parameter.original.count }
    let total = all.reduce(0) { $0 + $1.parameter.original.count }
    // With recomputation one layer at a time is whole, and of the others the input is kept.
    let kept =
      options.recompute ? 13 * hidden + 4 * intermediate + layers * hidden : layers * (12 * hidden + 4 * intermediate)
    // Weights, the frozen ones as they are stored; gradient, two moments and the best values of what is trained; per layer
    // the token vectors that the gradient needs; the blocks of logits.
    let weights = all.map(\.parameter).reduce(0) {
      $0 + ($1.isTrainable ? 4 * $1.original.count : $1.original.byteCount)
    }
    let bytes = weights + 4 * (4 * count + rows * kept + 2 * min(rows, 128) * outputs)
    let modules = model.attachedAdapters.count { !($0.adapter is Replacement) }
    let kind =
      recipe.method == .full
      ? "every parameter" : "\(recipe.method.rawValue) r \(recipe.rank) α \(recipe.alpha) on \(modules) modules"
    comment(
      "Training \(kind): \(count.grouped) of \(total.counted("parameter")), about \((bytes >> 20).grouped) MB.",
      isQuiet: isQuiet)
    if let available = availableMemory(), bytes > available {
      throw InputError(
        "about \((bytes >> 20).grouped) MB would be needed and \((available >> 20).grouped) MB are free: take a smaller "
          + "--batch-size, more --accumulation, or shorter texts")
    }
  }

  /// Tries rates where one is to be found, and says what was chosen and why. Rank 0 tries, and the others take what it
  /// found; a run that goes on takes what it found before.
  ///
  /// - Returns: what is kept beside the run's state.
  private mutating func choose(for task: some LearningTask) throws -> Data? {
    guard var choice else { return nil }
    var note: Data?
    if !choice.given.contains(.learningRate), let search = FineTuningAdvice.search(examples: task.count, plan) {
      let bar = ProgressBar("trying rates", total: search.trials * search.steps, unit: " steps", isQuiet: isQuiet)
      let (recipe, plan, ranks, isQuiet, resumed) = (recipe, plan, ranks, isQuiet, options.state.resume?.url)
      note = try Interruption.training(keptAt: nil, abandon: bar.abandon) { shouldStop in
        guard ranks.rank == 0 else { return Data(try ranks.broadcast([])) }
        let kept = resumed.flatMap(TrainingState.note).flatMap(RateSearch.Outcome.init(encoded:))
        if kept != nil {
          comment("The learning rate was found before: its trials are kept with the state.", isQuiet: isQuiet)
        }
        let found =
          try kept
          ?? search.run(task, recipe, plan, shouldStop: shouldStop) { step in
            bar.advance(note: "rate \(Report.Value.number(float: step.learningRate).text)")
          }
        return Data(try ranks.broadcast(Array(found.encoded())))
      }
      bar.finish()
      let found = RateSearch.Outcome(encoded: note!)!
      (choice.search, choice.rates, self.plan.learningRate) = (search, found, found.learningRate)
    }
    self.choice = choice
    for line in choice.lines(recipe, self.plan) { comment(line, isQuiet: isQuiet) }
    return note
  }

  mutating func train(
    _ task: some LearningTask, keeping: StateKeeping?, scoreName: String? = nil
  ) throws -> (outcome: TrainingOutcome, metrics: String) {
    let note = try choose(for: task)
    var keeping = keeping
    keeping?.note = note
    let outcome = try learn(task, keeping: keeping, scoreName: scoreName)
    if choice != nil, ranks.rank == 0, let narrowing = try Narrowing(of: task, from: recipe.rank) {
      choice?.narrowing = narrowing
      comment(narrowing.line, isQuiet: isQuiet)
    }
    return (outcome, try TrainingRun.metrics(outcome.history))
  }

  private func learn(
    _ task: some LearningTask, keeping: StateKeeping?, scoreName: String?
  ) throws -> TrainingOutcome {
    let bar = ProgressBar("training", total: plan.totalSteps(examples: task.count), unit: " steps", isQuiet: isQuiet)
    var seen = 0
    let outcome = try Interruption.training(keptAt: keeping?.url.path, abandon: bar.abandon) { shouldStop in
      try FineTuning(recipe, plan).run(
        task, ranks: ranks, keeping: keeping, resumeFrom: options.state.resume?.url, shouldStop: shouldStop,
        onStep: { report in
          bar.advance(by: report.step - seen, note: "loss \(Report.Value.decimal(Double(report.loss), 4).text)")
          seen = report.step
        },
        onEvaluation: { evaluation in
          bar.abandon()
          comment(
            "step \(evaluation.step.grouped): "
              + (scoreName.map { "\($0) \(Report.Value.share(evaluation.score).text), " } ?? "")
              + "loss \(Report.Value.decimal(evaluation.loss, 4).text)",
            isQuiet: isQuiet)
        })
    }
    bar.finish()
    return outcome
  }

  /// What was trained on what, how it went, and what came of it.
  func report(
    _ outcome: TrainingOutcome, trained: Int, on data: String, fields: [Report.Field], curves: Report.Section,
    sections: [Report.Section], data path: Path, eval: Path?, score: String? = nil
  ) -> Report {
    let name = options.output(for: base).lastPathComponent
    let cut = choice?.narrowing.map { $0.rank < recipe.rank ? ", cut to rank \($0.rank)" : "" } ?? ""
    return Report(
      title: recipe.method == .full
        ? "\(name), \(base.lastPathComponent) trained whole"
        : "The adapter \(name) of \(base.lastPathComponent): \(recipe.method.rawValue), rank \(recipe.rank), α \(Report.Value.number(float: recipe.alpha).text)\(cut)",
      summary: "Trained on \(data)\(outcome.stoppedEarly ? ", until nothing got better" : "").",
      sections: [.init("Result", [.fields(fields + outcome.fields(trained: trained) + together)])]
        + (choice.map { [$0.section(recipe, plan, score: score)] } ?? []) + [curves] + sections,
      conclusion: .init("Written: \(options.output(for: base).path)"),
      settings: [.init("model", .text(base.relativePath)), .init("data", .text(path.name))]
        + (eval.map { [.init("evaluated on", .text($0.name))] } ?? []) + FineTuning(recipe, plan).settings + [precision]
    )
  }

  /// How many ranks there were, and what rank 0 has sent to the others.
  private var together: [Report.Field] {
    ranks.count == 1
      ? []
      : [
        .init("ranks", key: "ranks", .count(ranks.count)),
        .init("sent by each", key: "sent_bytes", .bytes(ranks.bytesSent)),
      ]
  }

  /// metrics.jsonl: a line for every step and, after it, one for its evaluation.
  private static func metrics(_ history: TrainingHistory) throws -> String {
    struct Evaluation: Encodable {
      var step: Int
      var evaluationScore: Double
      var evaluationLoss: Double
    }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    let evaluations = Dictionary(grouping: history.evaluations, by: \.step)
    return try history.steps.reduce(into: "") { text, step in
      var lines = [try encoder.encode(step)]
      for item in evaluations[step.step] ?? [] {
        lines.append(
          try encoder.encode(
            Evaluation(step: item.step, evaluationScore: item.score, evaluationLoss: item.loss)))
      }
      for line in lines { text += String(decoding: line, as: UTF8.self) + "\n" }
    }
  }

  /// Writes the adapter, or the whole model, with its metrics and classes, at once.
  func write(_ report: Report, configuration: PEFTConfiguration, labels: ClassifierLabels?, metrics: String) throws {
    let url = options.output(for: base)
    do {
      try write(
        to: OutputDirectory(url), url, report, configuration: configuration, labels: labels, metrics: metrics)
    } catch let error as CheckpointError where error.kind == .inputOutput && error.file.contains(".partial") {
      // Not the file's passing name, which is gone.
      throw CheckpointError(.inputOutput, file: url.path, error.found, expected: error.expected, advice: error.advice)
    }
  }

  private func write(
    to output: OutputDirectory, _ url: URL, _ report: Report, configuration: PEFTConfiguration,
    labels: ClassifierLabels?,
    metrics: String
  ) throws {
    if recipe.method == .full {
      try writeModel(model, like: base, labels: labels, to: output.staging)
    } else {
      var adapter = try StoredAdapter(of: model, configuration: configuration, url: url)
      // In memory it is as wide as it was trained, and beyond this rank zero.
      if let rank = choice?.narrowing?.rank, rank < recipe.rank {
        adapter = try Resizing(.fixed(rank)).resize(adapter).adapter
      }
      try adapter.write(peft: output.staging)
      if let labels {
        try OutputFile.write(labels.json.pretty, to: output.staging.appendingPathComponent(TextClassifier.labelsName))
      }
    }
    let card = ModelCard(
      report: report, name: url.lastPathComponent, base: configuration.baseModel ?? base.path, labels: labels,
      isWhole: recipe.method == .full)
    try OutputFile.write(card.markdown, to: output.staging.appendingPathComponent("README.md"))
    try OutputFile.write(metrics, to: output.staging.appendingPathComponent("metrics.jsonl"))
    try output.commit()
  }
}

/// Bytes that the system could give to this process; nil where it does not say.
private func availableMemory() -> Int? {
  guard let data = FileManager.default.contents(atPath: "/proc/meminfo") else { return nil }
  let line = String(decoding: data, as: UTF8.self).split(separator: "\n").first { $0.hasPrefix("MemAvailable:") }
  return line?.split(separator: " ").dropFirst().first.flatMap { Int($0) }.map { $0 * 1024 }
}
