import Foundation
import LoRAKit

/// A classifier's report: how it was trained, what it gets right, the texts that it gets wrong, and which of its answers
/// are others than those before.
struct ClassifierReport {
  /// What a result is compared with: the same texts, answered by the base or by another adapter.
  struct Before {
    /// In a sentence: "the base", "the adapter old".
    let name: String
    /// How it answers.
    let description: String
    let result: ClassificationResult
  }

  let title: String
  let labels: [String]
  var losses: [Float] = []
  var evaluations: [Evaluation] = []
  var before: Before?
  /// How it was made.
  var footer: String?

  func html(result: ClassificationResult, texts: [String]) -> String {
    let wrong = result.labels.indices.filter { result.labels[$0] != result.predictions[$0] }
    var highlights: [Report.Highlight] = [
      .init("\((100 * result.accuracy).text(2))%", "right answers"),
      .init("\(wrong.count)", "errors in \(result.labels.count) texts"),
    ]
    if let before {
      highlights.append(.init("\((100 * before.result.accuracy).text(2))%", "right answers of \(before.name)"))
    }
    var sections = [Report.Section("Result", [.highlights(highlights)])]
    if !losses.isEmpty { sections.append(curves) }
    // Many classes make an unreadable matrix; a table of the most frequent confusions then says more.
    if labels.count <= 30 {
      sections.append(
        .init(
          "Confusions",
          [.figure(ConfusionMatrix(title: "Class against answer", classes: labels, counts: result.confusion))]))
    }
    sections.append(confusions(result))
    if let before { sections.append(changes(result, since: before, texts)) }
    if !wrong.isEmpty {
      sections.append(
        .init(
          "Errors",
          [
            table([.prose("text"), .text("class"), .text("answer")], of: wrong) {
              [shortened(texts[$0]), labels[result.labels[$0]], labels[result.predictions[$0]]]
            }
          ]))
    }
    return Report(
      title: title, summary: "\(result.labels.count) texts in \(labels.count) classes.", sections: sections,
      footer: footer
    ).html
  }

  private func changes(
    _ result: ClassificationResult, since before: Before, _ texts: [String]
  ) -> Report.Section {
    let (mended, broken) = result.changes(since: before.result)
    let answersBefore = before.result.predictions
    let stayed = before.result.errors.reduce(0, +) - mended.count
    var blocks: [Report.Block] = [
      .prose(before.description),
      .highlights([
        .init(
          "\((100 * before.result.accuracy).text(1))% → \((100 * result.accuracy).text(1))%",
          "right answers, before and after"),
        .init("\(mended.count)", "errors mended"), .init("\(broken.count)", "new errors"),
        .init("\(stayed)", "errors that stayed"),
      ]),
    ]
    // The right answer is the class, so a column for it would say nothing.
    for (title, before, after, indices) in [
      ("Errors mended", "before", "after, right", mended), ("New errors", "before, right", "after", broken),
    ] where !indices.isEmpty {
      blocks.append(
        table(title: title, [.prose("text"), .text(before), .text(after)], of: indices) {
          [shortened(texts[$0]), labels[answersBefore[$0]], labels[result.predictions[$0]]]
        })
    }
    return .init("Against \(before.name)", blocks)
  }

  /// The first thirty of some texts, with the number of all where they are more.
  private func table(
    title: String? = nil, _ columns: [Table.Column], of indices: [Int], row: (Int) -> [String]
  ) -> Report.Block {
    .figure(
      Table(title: title, columns: columns, rows: indices.prefix(30).map(row)),
      caption: indices.count > 30 ? "The first 30 of \(grouped(indices.count))." : nil)
  }

  private func shortened(_ text: String) -> String { text.count > 300 ? text.prefix(300) + "…" : text }

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
