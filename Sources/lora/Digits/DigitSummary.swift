import Foundation
import LoRAKit

/// The experiment's result as the table that is printed and as JSON.
struct DigitSummary {
  let dataset: String
  let experiment: DigitExperiment
  let result: DigitExperiment.Result

  struct JSON: Encodable {
    struct Dataset: Encodable {
      let name: String
      let train: Int
      let test: Int
    }

    struct Arm: Encodable {
      let name: String
      let trainableParameters: Int
      let steps: Int
      let seconds: Double
      let accuracy: Double
      let errors: [Int]
      let targetErrors: Int
      let rank: Int?
      let alpha: Float?
      let learningRate: Float

      enum CodingKeys: String, CodingKey {
        case name, steps, seconds, accuracy, errors, rank, alpha
        case trainableParameters = "trainable_parameters"
        case targetErrors = "target_errors"
        case learningRate = "learning_rate"
      }
    }

    let dataset: Dataset
    let parameters: Int
    let targetDigit: Int
    let seed: UInt64
    let arms: [Arm]
    let baseUnchanged: Bool
    let disabledEqualsBase: Bool

    enum CodingKeys: String, CodingKey {
      case dataset, parameters, seed, arms
      case targetDigit = "target_digit"
      case baseUnchanged = "base_unchanged"
      case disabledEqualsBase = "disabled_equals_base"
    }
  }

  var parameterCount: Int { result.base.parameters.reduce(0) { $0 + $1.parameter.original.count } }

  var json: JSON {
    let digit = result.digit
    let base = JSON.Arm(
      name: "base", trainableParameters: parameterCount, steps: result.baseLosses.count, seconds: result.baseSeconds,
      accuracy: result.baseTest.accuracy, errors: result.baseTest.errors,
      targetErrors: result.baseTest.errors[digit], rank: nil, alpha: nil,
      learningRate: experiment.settings.baseLearningRate)
    let arms = result.outcomes.map { outcome in
      JSON.Arm(
        name: outcome.arm.rawValue, trainableParameters: outcome.trainableCount, steps: outcome.steps,
        seconds: outcome.seconds, accuracy: outcome.test.accuracy, errors: outcome.test.errors,
        targetErrors: outcome.test.errors[digit], rank: outcome.arm.usesLoRA ? outcome.recipe.rank : nil,
        alpha: outcome.arm.usesLoRA ? outcome.recipe.alpha : nil, learningRate: outcome.recipe.learningRate)
    }
    return JSON(
      dataset: .init(name: dataset, train: experiment.train.count, test: experiment.test.count),
      parameters: parameterCount, targetDigit: digit, seed: experiment.settings.seed, arms: [base] + arms,
      baseUnchanged: result.baseUnchanged, disabledEqualsBase: result.disabledEqualsBase)
  }

  /// The heads and rows of the table.
  var table: (head: [String], rows: [[String]]) {
    let digit = result.digit
    let head =
      ["", "trained", "share", "steps", "seconds", "steps/s", "accuracy", "errors on \(digit)"]
      + (0...9).map { "\($0)" }
    func row(
      _ name: String, _ trained: Int, _ steps: Int, _ seconds: Double, _ test: ClassificationResult, _ before: Int?
    ) -> [String] {
      [
        name, grouped(trained), "\(fixed(100 * Double(trained) / Double(parameterCount), 3))%", grouped(steps),
        fixed(seconds, 2), grouped(Int((Double(steps) / max(seconds, 1e-9)).rounded())),
        "\(fixed(100 * test.accuracy, 2))%",
        before.map { "\($0) → \(test.errors[digit])" } ?? "\(test.errors[digit])",
      ] + test.errors.map(String.init)
    }
    let before = result.baseTest.errors[digit]
    return (
      head,
      [row("base", parameterCount, result.baseLosses.count, result.baseSeconds, result.baseTest, nil)]
        + result.outcomes.map {
          row($0.arm.rawValue, $0.trainableCount, $0.steps, $0.seconds, $0.test, before)
        }
    )
  }

  var text: String {
    let (head, rows) = table
    let widths = head.indices.map { column in ([head] + rows).map { $0[column].count }.max()! }
    func line(_ cells: [String]) -> String {
      zip(cells, widths).enumerated().map { index, cell in
        let padding = String(repeating: " ", count: cell.1 - cell.0.count)
        return index == 0 ? cell.0 + padding : padding + cell.0
      }.joined(separator: "  ")
    }
    let train = grouped(experiment.train.count)
    let test = grouped(experiment.test.count)
    var lines = [
      "\(dataset): \(train) digits to train on, \(test) to test on. The base reads \(result.digit) worst"
        + (experiment.settings.digit == nil ? "." : " by choice (--digit).")
        + " The right half counts the errors on every digit.", "",
      line(head), widths.map { String(repeating: "─", count: $0) }.joined(separator: "──"),
    ]
    if experiment.settings.digit != nil {
      lines[0] =
        "\(dataset): \(train) digits to train on, \(test) to test on. The digit to teach is \(result.digit). The right "
        + "half counts the errors on every digit."
    }
    lines += rows.map(line)
    if result.outcomes.contains(where: \.arm.usesLoRA) {
      lines += [
        "",
        result.baseUnchanged
          ? "The base's weights are the same after LoRA training, bit for bit."
          : "THE BASE'S WEIGHTS CHANGED during LoRA training: this must not happen.",
        result.disabledEqualsBase
          ? "With the adapter switched off, the base's outputs come back, bit for bit."
          : "THE BASE'S OUTPUTS DID NOT COME BACK with the adapter switched off: this must not happen.",
      ]
    }
    return lines.joined(separator: "\n")
  }
}

/// 2807010 → "2,807,010"
func grouped(_ number: Int) -> String {
  var text = String(number.magnitude)
  var position = text.count - 3
  while position > 0 {
    text.insert(",", at: text.index(text.startIndex, offsetBy: position))
    position -= 3
  }
  return number < 0 ? "-" + text : text
}

/// A number with a fixed count of decimals.
func fixed(_ number: some BinaryFloatingPoint, _ decimals: Int) -> String {
  String(format: "%.\(decimals)f", Double(number))
}
