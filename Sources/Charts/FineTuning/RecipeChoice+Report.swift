// What was chosen for a run, and why.

import LoRAFineTuning
import LoRATraining

extension RecipeChoice {
  /// The title of the section on what was chosen.
  public static let sectionTitle = "What was chosen"

  private typealias Row = (setting: FineTuningAdvice.Setting, value: Report.Value)

  private func rows(_ recipe: FineTuningRecipe, _ schedule: FineTuningSchedule) -> [Row] {
    let length: Report.Value =
      schedule.steps.map { .text("\(Report.Value.count($0).text) steps") } ?? .number(schedule.epochs)
    return [
      (.modules, recipe.targetsValue), (.rank, .count(recipe.rank)), (.batchSize, .count(schedule.batchSize)),
      (.epochs, length), (.learningRate, .number(float: schedule.learningRate)),
    ]
  }

  /// A line for each setting: "rank 16: …".
  public func lines(_ recipe: FineTuningRecipe, _ schedule: FineTuningSchedule) -> [String] {
    rows(recipe, schedule).map { "\($0.setting.rawValue) \($0.value.text): \(reason(for: $0.setting))" }
  }

  /// Settings with their reasons, the rates that were tried and the ranks.
  ///
  /// - Parameters:
  ///   - recipe: what was trained.
  ///   - schedule: how long and how fast.
  ///   - score: what the evaluations' score is called; nil where it is their loss.
  public func section(_ recipe: FineTuningRecipe, _ schedule: FineTuningSchedule, score: String? = nil)
    -> Report.Section
  {
    var blocks: [Report.Block] = [
      .table(
        Table(
          key: "chosen", of: rows(recipe, schedule),
          [
            .init("setting", key: "setting") { .text($0.setting.rawValue) }, .init("chosen", key: "value") { $0.value },
            .init("why", key: "reason", wraps: true) { .text(reason(for: $0.setting)) },
          ]))
    ]
    if let rates {
      blocks.append(
        .table(
          Table(
            key: "rates", of: rates.trials,
            [
              .init("rate tried", key: "learning_rate") { .number(float: $0.learningRate) },
              .init("loss on what was kept back", key: "loss") { $0.loss.isFinite ? .decimal($0.loss, 4) : .unknown },
            ])))
    }
    if let narrowing {
      blocks.append(
        .table(
          Table(
            key: "ranks", of: narrowing.steps,
            [
              .init("cut to rank", key: "rank") { .count($0.rank) },
              .init(score, key: "score") { .share($0.score) }, .init("loss", key: "loss") { .decimal($0.loss, 4) },
            ], emphasizedRow: narrowing.steps.firstIndex { $0.rank == narrowing.rank }),
          caption: "The adapter has the rank that stands out."))
    }
    return .init(Self.sectionTitle, blocks)
  }
}

extension Narrowing {
  /// What became of the rank, in a sentence.
  public var line: String {
    let trained = steps[0].rank
    return rank < trained
      ? "Trained at rank \(trained), and cut to \(rank), which is no worse on the evaluation data."
      : "Trained at rank \(trained), which stays: at \(trained / 2) it is worse on the evaluation data."
  }
}
