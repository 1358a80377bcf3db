// The digit experiment's report: what each way of teaching does to the digit and to the others, in numbers and pictures.

import Foundation
import LoRADatasets
import LoRAFiles
import LoRAFineTuning
import LoRALinearAlgebra
import LoRANetworks
import LoRATensors
import LoRATraining

extension DigitExperiment {
  /// What the experiment found.
  ///
  /// - `dataset`: the data's name.
  /// - `isIllustrated`: whether it has pictures too, for which layers are decomposed.
  /// - Throws: `LinearAlgebraError` where an update has no singular value decomposition (it is not finite).
  public func report(of result: Result, dataset: String, isIllustrated: Bool = true) throws -> Report {
    try DigitReport(
      dataset: dataset, experiment: self, result: result, spectra: isIllustrated ? LayerSpectra.all(of: result) : nil
    ).report
  }
}

private struct DigitReport {
  let dataset: String
  let experiment: DigitExperiment
  let result: DigitExperiment.Result
  /// `nil`: no pictures.
  let spectra: [LayerSpectra]?

  var report: Report {
    let settings = experiment.settings
    let (train, test) = (experiment.train.count, experiment.test.count)
    let layers = [experiment.train.pixelCount, settings.hidden.0, settings.hidden.1, 10].map(String.init)
    let adapters = Set(result.outcomes.filter(\.arm.usesLoRA).map { "rank \($0.recipe.rank), α \($0.recipe.alpha)" })
    return Report(
      title: "The digit \(digit), taught by LoRA and by training every parameter", summary: summary,
      sections: [overview, errorsByDigit]
        + (spectra.map { [repaired, losses, confusions, factors, singularValues($0)].compactMap(\.self) } ?? []),
      conclusion: conclusion,
      settings: [
        .init("data", .text("\(dataset): \(train.counted("digit")) to train on, \(test.grouped) to test on")),
        .init("model", .text("\(layers.joined(separator: "-")), \(parameterCount.counted("parameter"))")),
        .init("adapter", adapters.isEmpty ? .unknown : .texts(adapters.sorted())),
        .init("steps", .text("\(settings.steps) of \(settings.batchSize) images for every arm")),
        .init("seed", .text("\(settings.seed)")),
      ],
      members: [
        .init(
          "dataset", ["name": .string(dataset), "train": .integer(train), "test": .integer(test)]),
        .init("parameters", .integer(parameterCount)), .init("target_digit", .integer(digit)),
        .init("seed", .integer(Int(clamping: settings.seed))), .init("base_unchanged", .bool(result.baseUnchanged)),
        .init("disabled_equals_base", .bool(result.disabledEqualsBase)),
      ])
  }

  private var digit: Int { result.digit }
  private var baseErrors: Int { result.baseTest.errors[digit] }
  /// The arm whose adapter is shown: the one with replay, where there is one.
  private var shown: DigitExperiment.Outcome? {
    result.outcomes.first { $0.arm == .loraReplay } ?? result.outcomes.first { $0.arm == .lora }
  }

  private var parameterCount: Int { result.base.parameters.reduce(0) { $0 + $1.parameter.original.count } }

  private var summary: String {
    let start =
      "A classifier of \(parameterCount.counted("parameter")) reads the digit \(digit) wrong \(baseErrors) times"
      + (experiment.settings.digit == nil ? ", more often than any other." : ".")
    guard let shown else { return start }
    let share = Report.Value.share(Double(shown.trainableCount) / Double(parameterCount))
    return start + " LoRA leaves every one of its weights as it is and trains \(shown.trainableCount.counted("number"))"
      + " beside them, \(share.text) of the model."
      + " After \(shown.steps) steps \(shown.test.errors[digit]) errors are left."
  }

  private var conclusion: Remark? {
    guard result.outcomes.contains(where: \.arm.usesLoRA) else { return nil }
    return result.baseUnchanged && result.disabledEqualsBase
      ? .init(
        "The base's weights are the same after each LoRA training, and its outputs with the adapter switched off: bit for "
          + "bit.", .good)
      : .init(
        "THE BASE \(result.baseUnchanged ? "DID NOT COME BACK with the adapter switched off" : "CHANGED under LoRA"): this "
          + "must not happen.", .bad)
  }
}

// MARK: - Numbers

/// The base, or what an arm made of it.
private struct DigitRow {
  let name: String
  let trained: Int
  let steps: Int
  let seconds: Double
  let test: ClassificationResult
  let learningRate: Float
  var recipe: DigitExperiment.Recipe?
}

extension DigitReport {
  private var rows: [DigitRow] {
    [
      DigitRow(
        name: "base", trained: parameterCount, steps: result.baseLosses.count, seconds: result.baseSeconds,
        test: result.baseTest, learningRate: experiment.settings.baseLearningRate)
    ]
      + result.outcomes.map {
        DigitRow(
          name: $0.arm.rawValue, trained: $0.trainableCount, steps: $0.steps, seconds: $0.seconds, test: $0.test,
          learningRate: $0.recipe.learningRate, recipe: $0.arm.usesLoRA ? $0.recipe : nil)
      }
  }

  private var overview: Report.Section {
    var blocks: [Report.Block] = []
    let table = Table(
      key: "arms", of: rows,
      [
        .init("", key: "name") { .text($0.name) }, .init("trained", key: "trainable_parameters") { .count($0.trained) },
        .init("share") { .share(Double($0.trained) / Double(parameterCount)) },
        .init("accuracy", key: "accuracy") { .share($0.test.accuracy) },
        .init("errors on \(digit)") { row in
          let errors = Report.Value.count(row.test.errors[digit])
          return row.name == "base" ? errors : .change(.count(baseErrors), errors)
        },
        .init("steps", key: "steps") { .count($0.steps) }, .init("seconds", key: "seconds") { .decimal($0.seconds, 2) },
        .init("steps/s") { .count(Int((Double($0.steps) / max($0.seconds, 1e-9)).rounded())) },
        .init(key: "target_errors") { .count($0.test.errors[digit]) },
        .init(key: "errors") { .list($0.test.errors.map { .count($0) }) },
        .init(key: "rank") { $0.recipe.map { .count($0.rank) } ?? .unknown },
        .init(key: "alpha") { $0.recipe.map { .number(float: $0.alpha) } ?? .unknown },
        .init(key: "learning_rate") { .number(float: $0.learningRate) },
      ])
    blocks.append(.table(table, caption: "Every way starts from the same base and takes the same number of steps."))
    if let shown {
      blocks.append(
        .highlights([
          .init(
            "errors on the digit \(digit), \(shown.arm.rawValue)",
            .change(.count(baseErrors), .count(shown.test.errors[digit]))),
          .init("accuracy on all digits", .change(.share(result.baseTest.accuracy), .share(shown.test.accuracy))),
          .init("trained numbers of \(parameterCount.grouped)", .count(shown.trainableCount)),
          .init("for \(shown.steps) steps of \(experiment.settings.batchSize) images", .seconds(shown.seconds)),
        ]))
    }
    blocks.append(.note(verdict))
    return .init("What was measured", blocks)
  }

  /// What the reader sees in the table, from the numbers.
  private var verdict: String {
    func outcome(_ arm: DigitExperiment.Arm) -> DigitExperiment.Outcome? { result.outcomes.first { $0.arm == arm } }
    func change(_ outcome: DigitExperiment.Outcome) -> String {
      let points = 100 * (outcome.test.accuracy - result.baseTest.accuracy)
      return "\(points >= 0 ? "up" : "down") \(Report.Value.decimal(abs(points), 2).text) points"
    }
    var sentences: [String] = []
    if let full = outcome(.full) {
      sentences.append(
        "Trained on nothing but the digit \(digit), the whole model learns to answer \(digit): "
          + "\(full.test.errors[digit]) errors on it are left, and accuracy goes \(change(full)).")
    }
    if let lora = outcome(.lora) {
      sentences.append(
        "LoRA on the same images can change less, so it forgets less: accuracy goes \(change(lora)), with "
          + "\(lora.test.errors[digit]) errors on the digit.")
    }
    if let replay = outcome(.loraReplay) {
      sentences.append(
        "Mixing the digit with others, so that the model keeps seeing what it must not forget, is the cure: "
          + "\(replay.test.errors[digit]) errors on the digit, accuracy \(change(replay)).")
    }
    if let replay = outcome(.fullReplay) {
      sentences.append(
        "The same mixture with every parameter: \(replay.test.errors[digit]) errors, accuracy \(change(replay)).")
    }
    return sentences.joined(separator: " ")
  }

  private var errorsByDigit: Report.Section {
    func chart(_ title: String, _ arms: [DigitExperiment.Arm]) -> BarChart? {
      let outcomes = result.outcomes.filter { arms.contains($0.arm) }
      guard !outcomes.isEmpty else { return nil }
      return BarChart(
        title: title, categories: (0...9).map(String.init),
        series: [.init("base", result.baseTest.errors)] + outcomes.map { .init($0.arm.rawValue, $0.test.errors) },
        xLabel: "digit", yLabel: "errors", width: 480)
    }
    let charts = [
      chart("With replay of the other digits", [.loraReplay, .fullReplay]),
      chart("On the digit \(digit) alone", [.lora, .full]),
    ].compactMap { $0 }
    return .init(
      "Errors by digit",
      [
        .row(
          charts.isEmpty ? [chart("Base", DigitExperiment.Arm.allCases)].compactMap { $0 } : charts,
          caption: "The scales differ: without replay, the digits that are not trained are forgotten."),
        .table(
          Table(
            columns: [.text("errors on")] + (0...9).map { .init("\($0)") },
            rows: rows.map { [.text($0.name)] + $0.test.errors.map { .count($0) } })),
      ])
  }

  private var losses: Report.Section {
    let curves = result.outcomes.map { LineChart.Series($0.arm.rawValue, $0.losses) }
    let base = LineChart(
      title: "Base", series: [.init("base", result.baseLosses)], xLabel: "step", yLabel: "loss", yScale: .logarithmic,
      smoothing: max(1, result.baseLosses.count / 60), width: 480)
    let arms = LineChart(
      title: "Teaching the digit \(digit)", series: curves, xLabel: "step", yLabel: "loss", yScale: .logarithmic,
      smoothing: max(1, experiment.settings.steps / 10), width: 480)
    return .init(
      "Loss",
      [
        .row(
          curves.isEmpty ? [base] : [base, arms],
          caption:
            "Cross-entropy of each mini-batch, a moving mean, on a logarithmic scale. The curves of the arms with "
            + "and without replay are losses on different images.")
      ])
  }

  private var confusions: Report.Section {
    let all = [("base", result.baseTest)] + result.outcomes.map { ($0.arm.rawValue, $0.test) }
    let charts = all.map { name, test in
      ConfusionMatrix(title: name, classes: (0...9).map(String.init), counts: test.confusion, width: 330)
    }
    let rows = stride(from: 0, to: charts.count, by: 3).map { Array(charts[$0..<min($0 + 3, charts.count)]) }
    return .init(
      "What is taken for what",
      [.note("Rows: the digit that was written. Columns: the answer.")] + rows.map { .row($0) })
  }
}

// MARK: - Pictures

extension DigitReport {
  /// The images that the base got wrong and LoRA gets right, those of the taught digit first.
  private var repaired: Report.Section? {
    guard let shown else { return nil }
    let (labels, before, after) = (result.baseTest.labels, result.baseTest.predictions, shown.test.predictions)
    let mended = labels.indices.filter { before[$0] != labels[$0] && after[$0] == labels[$0] }
    let broken = labels.indices.count { before[$0] == labels[$0] && after[$0] != labels[$0] }
    guard !mended.isEmpty else { return nil }
    let ordered = mended.filter { labels[$0] == digit } + mended.filter { labels[$0] != digit }
    let tiles = ordered.prefix(32).map { index in
      ImageGrid.Tile(
        Picture(experiment.test, at: index),
        captions: [.init("base \(before[index])", .bad), .init("LoRA \(after[index])", .good)])
    }
    return .init(
      "Read right now",
      [
        .note(
          "Of the test images, the base got \(mended.count) wrong that \(shown.arm.rawValue) gets right; the other way "
            + "round there are \(broken)."),
        .figure(
          ImageGrid(title: "Repaired digits", tiles: Array(tiles)),
          caption: ordered.count > 32
            ? "The first 32 of \(ordered.count), each with both answers; the digit \(digit) first."
            : "Each with both answers; the digit \(digit) first."),
      ])
  }

  /// A, B and ΔW of the shown adapter.
  private var factors: Report.Section? {
    guard let shown, let first = shown.updates.first, let last = shown.updates.last,
      case .factors(let a, let b, let scale) = first.update, case .factors(_, let lastB, _) = last.update
    else { return nil }
    let side = (experiment.test.height, experiment.test.width)
    let limit = Double(a.scalars.map(abs).max() ?? 1)
    // Each row of the first layer's A weighs the pixels of an image, so it is one.
    let rows = (0..<min(4, a.shape[0])).map { row in
      Heatmap(
        title: "A, row \(row + 1), as an image", a.sliced(axis: 0, row..<row + 1).reshaped([side.0, side.1]),
        limit: limit,
        rowLabel: nil, columnLabel: nil, width: 260)
    }
    let delta = b.matmul(a) * scale
    return .init(
      "What the adapter is made of",
      [
        .note(
          "The layer `\(first.path)` sees W + s·BA with s = \(Report.Value.number(float: scale).text): A is \(a.shape[0]) × \(a.shape[1]), B is "
            + "\(b.shape[0]) × \(b.shape[1]), and their product has the shape of W, \(delta.shape[0]) × \(delta.shape[1]). "
            + "A began random and B at zero; what B has become is what was learnt."),
        .row(rows),
        .row([
          Heatmap(
            title: "B of \(first.path), turned", b.transposed(), rowLabel: "rank", columnLabel: "output", width: 560,
            height: 90),
          Heatmap(
            title: "B of \(last.path)", lastB, rowLabel: "digit", columnLabel: "rank", width: 300, height: 220),
        ]),
        .row(
          [
            Heatmap(
              title: "ΔW of \(first.path)", delta, limit: Heatmap.limit(covering: 0.995, of: delta.scalars),
              rowLabel: "output", columnLabel: "input", width: 480, height: 420),
            Heatmap(
              title: "ΔW of \(last.path)", last.update.tensor,
              limit: Heatmap.limit(covering: 0.995, of: last.update.tensor.scalars), rowLabel: "digit",
              columnLabel: "input", width: 480, height: 420),
          ], caption: "The stripes are what low rank looks like: every row is a mixture of the same few rows."),
      ])
  }

  private func singularValues(_ spectra: [LayerSpectra]) -> Report.Section? {
    guard !spectra.isEmpty else { return nil }
    let charts = spectra.map { layer in
      LineChart(
        title: layer.path, series: layer.curves.map { curve(named: $0.name, $0.values) }, xLabel: "index",
        yLabel: "singular value", xScale: .logarithmic, yScale: .logarithmic,
        width: spectra.count > 2 ? 330 : 480, height: 300)
    }
    return .init(
      "Singular values",
      [
        .note(
          "The singular values of a layer's weight W, of what full-parameter training added to it, and of what LoRA "
            + "added. " + spectra.map(\.comparison).joined(separator: " ")
            + " What a short training teaches lies in few directions, and those are what LoRA's few ranks are for."),
        .row(charts),
      ])
  }

  /// Values down to a hundred-thousandth of the largest: what lies below is rounding.
  private func curve(named name: String, _ values: [Float]) -> LineChart.Series {
    let shown = values.prefix { $0 > 1e-5 * (values.first ?? 0) }
    return .init(name, points: shown.enumerated().map { (x: Double($0.offset + 1), y: Double($0.element)) })
  }
}

/// The singular values of a layer's weight and of what the arms added to it.
private struct LayerSpectra {
  let path: String
  let curves: [(name: String, values: [Float])]

  /// How much of the energy (the sum of squares) the first value holds, of W and of the full change.
  var comparison: String {
    func share(_ values: [Float]) -> String {
      let energy = values.reduce(0.0) { $0 + Double($1) * Double($1) }
      return Report.Value.share(Double(values.first ?? 0) * Double(values.first ?? 0) / max(energy, 1e-300)).text
    }
    guard curves.count > 1, curves[1].name.contains("full") else { return "" }
    return "In `\(path)` the first value holds \(share(curves[0].values)) of W's sum of squares and "
      + "\(share(curves[1].values)) of the full change's."
  }

  static func all(of result: DigitExperiment.Result) throws -> [LayerSpectra] {
    let full = result.outcomes.first { $0.arm == .fullReplay } ?? result.outcomes.first { $0.arm == .full }
    let low = result.outcomes.filter(\.arm.usesLoRA)
    guard !low.isEmpty else { return [] }
    return try result.base.adaptableWeights.enumerated().map { index, weight in
      var curves = [("W", try weight.parameter.original.singularValues())]
      if let full {
        curves.append(("ΔW, \(full.arm.rawValue)", try full.updates[index].update.tensor.singularValues()))
      }
      for outcome in low {
        if case .factors(let a, let b, let scale) = outcome.updates[index].update {
          curves.append(
            ("ΔW, \(outcome.arm.rawValue)", try svd(ofProduct: b, a).singularValues.map { $0 * scale }))
        }
      }
      return LayerSpectra(path: weight.path, curves: curves.map { (name: $0.0, values: $0.1) })
    }
  }
}
