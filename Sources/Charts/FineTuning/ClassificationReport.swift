import LoRAFineTuning
import LoRATraining

/// What a classifier gets right, the texts that it gets wrong, and which of its answers are others than those before.
public struct ClassificationReport {
  /// What a result is compared with: the same texts, answered by the base or by another adapter.
  public struct Before {
    /// In a sentence: "the base", "the adapter old".
    public let name: String
    /// Its accuracy's name in JSON.
    public let key: String
    /// How it answers.
    public let description: String
    /// The answers.
    public let result: ClassificationResult

    /// Answers to compare with, what they are called and how they came about.
    public init(name: String, key: String, description: String, result: ClassificationResult) {
      (self.name, self.key, self.description, self.result) = (name, key, description, result)
    }
  }

  /// The classes' names.
  public let labels: [String]
  /// The answers that are reported.
  public let result: ClassificationResult
  /// The mean cross-entropy.
  public let loss: Double
  /// What they are compared with.
  public let before: Before?

  /// Answers, and what they are compared with.
  public init(labels: [String], result: ClassificationResult, loss: Double, before: Before? = nil) {
    (self.labels, self.result, self.loss, self.before) = (labels, result, loss, before)
  }

  /// The numbers, those before first.
  public var fields: [Report.Field] {
    var fields: [Report.Field] = []
    if let before {
      fields.append(.init("accuracy of \(before.name)", key: before.key, .share(before.result.accuracy)))
    }
    fields += [
      .init("accuracy", key: "accuracy", .share(result.accuracy)),
      .init("macro F1", key: "macro_f1", .share(result.macroF1)),
    ]
    if let before {
      fields += [
        .init("errors mended", key: "mended_errors", .count(mended(since: before).count)),
        .init("new errors", key: "new_errors", .count(broken(since: before).count)),
      ]
    }
    return fields + [
      .init("errors", .count(result.errors.reduce(0, +))), .init("loss", key: "loss", .decimal(loss, 4)),
    ]
  }

  /// Confusions, changes and errors.
  ///
  /// - Parameter text: what was classified, by its place.
  public func sections(_ text: (Int) throws -> String) rethrows -> [Report.Section] {
    let wrong = Examples(of: result.labels.count) { !isRight(result, $0) }
    var sections: [Report.Section] = []
    // Many classes make an unreadable matrix; a table of the most frequent confusions then says more.
    if labels.count <= 30 {
      sections.append(
        .init(
          "Confusions",
          [
            .figure(ConfusionMatrix(title: "Class against answer", classes: labels, counts: result.confusion)),
            .table(byClass),
          ]))
    }
    sections.append(confusions)
    if let before { sections.append(try changes(since: before, text)) }
    if wrong.count > 0 {
      sections.append(
        .init(
          "Errors",
          [
            try table([.prose("text"), .text("class"), .text("answer")], of: wrong) {
              [shortened(try text($0)), labels[result.labels[$0]], labels[result.predictions[$0]]]
            }
          ]))
    }
    return sections
  }

  /// By class how good the answers are and, of a few classes, the matrix of confusions in numbers.
  private var byClass: Table {
    let (f1, counts) = (result.f1, result.confusion)
    let answered = counts.indices.map { label in counts.reduce(0) { $0 + $1[label] } }
    func share(_ right: Int, of all: Int) -> Report.Value { all == 0 ? .unknown : .share(Double(right) / Double(all)) }
    var properties: [Table.Property<Int>] = [
      .init("class", key: "label") { .text(labels[$0]) },
      .init("texts", key: "count") { .count(counts[$0].reduce(0, +)) },
      .init("precision", key: "precision") { share(counts[$0][$0], of: answered[$0]) },
      .init("recall", key: "recall") { share(counts[$0][$0], of: counts[$0].reduce(0, +)) },
      .init("F1", key: "f1") { f1[$0].map { .share($0) } ?? .unknown },
    ]
    if labels.count <= 8 {
      properties += labels.indices.map { answer in .init("→ \(labels[answer])") { .count(counts[$0][answer]) } }
    }
    return Table(key: "classes", of: Array(labels.indices), properties)
  }

  private func changes(since before: Before, _ text: (Int) throws -> String) rethrows -> Report.Section {
    let (mended, broken) = (mended(since: before), broken(since: before))
    let answersBefore = before.result.predictions
    let stayed = before.result.errors.reduce(0, +) - mended.count
    var blocks: [Report.Block] = [
      .note(before.description),
      .figure(
        Highlights([
          .init("accuracy, before and after", .change(.share(before.result.accuracy), .share(result.accuracy))),
          .init("errors mended", .count(mended.count)), .init("new errors", .count(broken.count)),
          .init("errors that stayed", .count(stayed)),
        ])),
    ]
    // The right answer is the class, so a column for it would say nothing.
    for (title, before, after, indices) in [
      ("Errors mended", "before", "after, right", mended), ("New errors", "before, right", "after", broken),
    ] where indices.count > 0 {
      blocks.append(
        try table(title: title, [.prose("text"), .text(before), .text(after)], of: indices) {
          [shortened(try text($0)), labels[answersBefore[$0]], labels[result.predictions[$0]]]
        })
    }
    return .init("Against \(before.name)", blocks)
  }

  private func isRight(_ result: ClassificationResult, _ index: Int) -> Bool {
    result.labels[index] == result.predictions[index]
  }

  private func mended(since before: Before) -> Examples {
    Examples(of: result.labels.count) { isRight(result, $0) && !isRight(before.result, $0) }
  }

  private func broken(since before: Before) -> Examples {
    Examples(of: result.labels.count) { !isRight(result, $0) && isRight(before.result, $0) }
  }

  /// Some of very many examples: the first thirty are held, the others counted.
  private struct Examples {
    var first: [Int] = []
    var count = 0

    init(of total: Int, where isMeant: (Int) -> Bool) {
      for index in 0..<total where isMeant(index) {
        if count < 30 { first.append(index) }
        count += 1
      }
    }
  }

  /// The first thirty of some texts, with the number of all where they are more.
  private func table(
    title: String? = nil, _ columns: [Table.Column], of examples: Examples, row: (Int) throws -> [String]
  ) rethrows -> Report.Block {
    .figure(
      Table(title: title, columns: columns, rows: try examples.first.map { try row($0).map { .text($0) } }),
      caption: examples.count > examples.first.count
        ? "The first \(examples.first.count) of \(examples.count.grouped)." : nil)
  }

  private func shortened(_ text: String) -> String { text.count > 300 ? text.prefix(300) + "…" : text }

  private var confusions: Report.Section {
    var counts: [(label: Int, answer: Int, count: Int)] = []
    for (label, row) in result.confusion.enumerated() {
      for (answer, count) in row.enumerated() where answer != label && count > 0 {
        counts.append((label, answer, count))
      }
    }
    counts.sort { ($0.count, $1.label, $1.answer) > ($1.count, $0.label, $0.answer) }
    guard !counts.isEmpty else { return .init("Most frequent errors", [.note("There are none.")]) }
    return .init(
      "Most frequent errors",
      [
        .figure(
          Table(
            columns: [.text("class"), .text("answer"), "texts"],
            rows: counts.prefix(20).map { [.text(labels[$0.label]), .text(labels[$0.answer]), .count($0.count)] }))
      ])
  }
}
