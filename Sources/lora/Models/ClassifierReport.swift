import Foundation
import LoRAKit

/// A classifier's report: how it was trained, what it gets right, and the texts that it gets wrong.
struct ClassifierReport {
  let title: String
  let labels: [String]
  var losses: [Float] = []
  var evaluations: [FineTuningEvaluation] = []
  /// How it was made.
  var footer: String?

  func html(result: ClassificationResult, texts: [String]) -> String {
    let wrong = result.labels.indices.filter { result.labels[$0] != result.predictions[$0] }
    var sections = [
      Report.Section(
        "Result",
        [
          .highlights([
            .init("\((100 * result.accuracy).text(2))%", "right answers"),
            .init("\(wrong.count)", "errors in \(result.labels.count) texts"),
          ])
        ])
    ]
    if !losses.isEmpty { sections.append(curves) }
    // Many classes make an unreadable matrix; a table of the most frequent confusions then says more.
    if labels.count <= 30 {
      sections.append(
        .init(
          "Confusions",
          [.figure(ConfusionMatrix(title: "Class against answer", classes: labels, counts: result.confusion))]))
    }
    sections.append(confusions(result))
    let rows = wrong.prefix(50).map { [texts[$0], labels[result.labels[$0]], labels[result.predictions[$0]]] }
    if !rows.isEmpty {
      sections.append(
        .init(
          "Errors",
          [
            .figure(
              Table(columns: [.text("text"), .text("class"), .text("answer")], rows: rows),
              caption: wrong.count > rows.count ? "The first \(rows.count) of \(wrong.count)." : nil)
          ]))
    }
    return Report(
      title: title, summary: "\(result.labels.count) texts in \(labels.count) classes.", sections: sections,
      footer: footer
    ).html
  }

  private var curves: Report.Section {
    var charts: [any Chart] = [
      LineChart(
        title: "Training loss", series: [.init("loss", losses)], xLabel: "step", yLabel: "loss",
        smoothing: max(1, losses.count / 50))
    ]
    if !evaluations.isEmpty {
      charts.append(
        LineChart(
          title: "Accuracy on the evaluation texts",
          series: [.init("accuracy", points: evaluations.map { (Double($0.step), $0.score) })], xLabel: "step",
          yLabel: "accuracy"))
    }
    return .init("Training", [.row(charts)])
  }

  private func confusions(_ result: ClassificationResult) -> Report.Section {
    var counts: [(label: Int, answer: Int, count: Int)] = []
    for (label, row) in result.confusion.enumerated() {
      for (answer, count) in row.enumerated() where answer != label && count > 0 {
        counts.append((label, answer, count))
      }
    }
    counts.sort { ($0.count, $1.label, $1.answer) > ($1.count, $0.label, $0.answer) }
    guard !counts.isEmpty else { return .init("Most frequent errors", [.prose("There are none.")]) }
    return .init(
      "Most frequent errors",
      [
        .figure(
          Table(
            columns: [.text("class"), .text("answer"), "texts"],
            rows: counts.prefix(20).map { [labels[$0.label], labels[$0.answer], "\($0.count)"] }))
      ])
  }
}
