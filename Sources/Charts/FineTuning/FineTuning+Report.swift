// What a fine-tuning has to say: what was asked for, how it went.

import LoRAAdapters
import LoRAFineTuning
import LoRATraining

extension FineTuning {
  /// What is trained, how long and how fast.
  public var settings: [Report.Field] {
    var fields: [Report.Field] = [.init("method", .text(recipe.method.rawValue))]
    if recipe.method != .full {
      fields += [
        .init("modules", recipe.targetsValue), .init("rank", .count(recipe.rank)),
        .init("α", .number(float: recipe.alpha)),
        .init("dropout", .number(float: recipe.dropout)), .init("biases", .text(recipe.bias.rawValue)),
      ]
      if recipe.rateRatio != 1 { fields.append(.init("B's learning rate, times", .number(float: recipe.rateRatio))) }
    }
    fields += [
      .init("batch size", .count(schedule.batchSize)), .init("learning rate", .number(float: schedule.learningRate)),
      .init("schedule", .text("\(schedule.shape.rawValue), warm-up \(percentText(schedule.warmUp))")),
      .init("weight decay", .number(float: schedule.weightDecay)),
      .init("largest norm of the gradient", schedule.clipping.map { .number(float: $0) } ?? "any"),
      .init("seed", .text("\(schedule.seed)")),
    ]
    return fields
  }
}

extension FineTuningRecipe {
  /// Where adapters go.
  var targetsValue: Report.Value {
    switch targets {
    case .allLinear: "all-linear"
    case .names(let names): .texts(names)
    case .pattern(let pattern): .text(pattern)
    }
  }
}

extension TrainingOutcome {
  /// The run in numbers.
  public func fields(trained: Int) -> [Report.Field] {
    [
      .init("steps", key: "steps", .count(losses.count)), .init("time", key: "seconds", .seconds(seconds)),
      .init("trained parameters", key: "trained", .count(trained)),
    ] + (best.map { [.init("best at step", key: "step", .count($0.step))] } ?? [])
  }

  /// The run's curves.
  ///
  /// - Parameters:
  ///   - unit: of the loss.
  ///   - score: what the evaluations' score is called; nil draws their loss.
  public func curves(unit: String, score: String? = nil) -> Report.Section {
    var charts: [any Chart] = [
      LineChart(
        title: "Training loss", series: [.init("", losses)], xLabel: "step", yLabel: unit,
        smoothing: max(1, losses.count / 50), width: 480, height: 300)
    ]
    if evaluations.count > 1 {
      charts.append(
        LineChart(
          title: score.map { "\($0.prefix(1).uppercased())\($0.dropFirst()) on the evaluation texts" }
            ?? "Loss on the evaluation text",
          series: [.init("", points: evaluations.map { (Double($0.step), score == nil ? $0.loss : 100 * $0.score) })],
          xLabel: "step", yLabel: score.map { $0 == "accuracy" ? "% right" : "%" } ?? unit, width: 480, height: 300))
    }
    return .init("Training", [.row(charts)])
  }
}
