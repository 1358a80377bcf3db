import LoRADatasets
import LoRAFineTuning
import LoRATraining

extension TextResult {
  /// What a result is compared with: the same texts, answered by the base or by another adapter.
  public struct Before {
    /// In a sentence: "the base", "the adapter old".
    public let name: String
    /// "base" or "against": what its numbers' names begin with in JSON.
    public let key: String
    /// How it answers.
    public let description: String
    /// The answers.
    public let result: TextResult

    /// Answers to compare with, what they are called and how they came about.
    public init(name: String, key: String, description: String, result: TextResult) {
      (self.name, self.key, self.description, self.result) = (name, key, description, result)
    }
  }

  /// The numbers, and what is wrong where.
  ///
  /// - Parameters:
  ///   - labels: the names of the classes or labels.
  ///   - before: what it is compared with.
  ///   - text: what was answered, by its place.
  public func account(
    labels: [String], before: Before? = nil, _ text: (Int) throws -> String
  ) rethrows -> (fields: [Report.Field], sections: [Report.Section]) {
    switch answers {
    case .classes(let result):
      var others: ClassificationReport.Before?
      if let before, case .classes(let result) = before.result.answers {
        others = .init(
          name: before.name, key: "\(before.key)_accuracy", description: before.description, result: result)
      }
      let report = ClassificationReport(labels: labels, result: result, loss: loss, before: others)
      return (report.fields, try report.sections(text))
    case .sets(let result):
      return (fields(before) + fields(of: result), try sections(of: result, labels: labels, text))
    case .scores(let result):
      return (fields(before) + fields(of: result), try sections(of: result, text))
    }
  }

  private func fields(_ before: Before?) -> [Report.Field] {
    guard let before else { return [] }
    switch before.result.answers {
    case .classes: return []
    case .sets(let result):
      return [.init("micro F1 of \(before.name)", key: "\(before.key)_micro_f1", .share(result.microF1))]
    case .scores(let result):
      return [.init("Pearson of \(before.name)", key: "\(before.key)_pearson", .correlation(result.pearson))]
    }
  }

  // MARK: Several labels a text

  private func fields(of result: LabelSetResult) -> [Report.Field] {
    [
      .init("micro F1", key: "micro_f1", .share(result.microF1)),
      .init("macro F1", key: "macro_f1", .share(result.macroF1)),
      .init("all labels right", key: "exact", .share(result.exactShare)), .init("loss", key: "loss", .decimal(loss, 4)),
    ]
  }

  private func sections(
    of result: LabelSetResult, labels: [String], _ text: (Int) throws -> String
  ) rethrows -> [Report.Section] {
    let f1 = result.f1
    func share(_ part: Int, _ rest: Int) -> Report.Value {
      part + rest == 0 ? .unknown : .share(Double(part) / Double(part + rest))
    }
    let table = Table(
      key: "classes", of: Array(labels.indices),
      [
        .init("label", key: "label") { .text(labels[$0]) },
        .init("texts", key: "count") { .count(result.right[$0] + result.missed[$0]) },
        .init("precision", key: "precision") { share(result.right[$0], result.wrong[$0]) },
        .init("recall", key: "recall") { share(result.right[$0], result.missed[$0]) },
        .init("F1", key: "f1") { f1[$0].map { .share($0) } ?? .unknown },
        .init("right", key: "true_positives") { .count(result.right[$0]) },
        .init("wrong", key: "false_positives") { .count(result.wrong[$0]) },
        .init("missed", key: "false_negatives") { .count(result.missed[$0]) },
      ])
    var sections = [Report.Section("Labels", [.table(table)])]
    func names(_ set: [Int]) -> Report.Value {
      .text(set.isEmpty ? "none" : set.map { labels[$0] }.joined(separator: ", "))
    }
    if !result.errors.isEmpty {
      let rows = try result.errors.map { error in
        [.text(shortened(try text(error.example))), names(error.truth), names(error.answer)] as [Report.Value]
      }
      sections.append(
        .init(
          "Errors", [.figure(Table(columns: [.prose("text"), .text("labels"), .text("answer")], rows: rows))]))
    }
    return sections
  }

  // MARK: Numbers

  private func fields(of result: RegressionResult) -> [Report.Field] {
    [
      .init("Pearson", key: "pearson", .correlation(result.pearson)),
      .init("Spearman", key: "spearman", .correlation(result.spearman)),
      .init("mean squared error", key: "mean_squared_error", .decimal(result.meanSquaredError, 4)),
      .init("mean absolute error", key: "mean_absolute_error", .decimal(result.meanAbsoluteError, 4)),
      .init("loss", key: "loss", .decimal(loss, 4)),
    ]
  }

  private func sections(
    of result: RegressionResult, _ text: (Int) throws -> String
  ) rethrows -> [Report.Section] {
    let worst = result.truth.indices.sorted {
      abs(result.truth[$0] - result.answers[$0]) > abs(result.truth[$1] - result.answers[$1])
    }.prefix(20)
    let rows = try worst.map { index in
      [
        .text(shortened(try text(index))), .decimal(Double(result.truth[index]), 3),
        .decimal(Double(result.answers[index]), 3),
      ] as [Report.Value]
    }
    return [
      .init("Farthest off", [.figure(Table(columns: [.prose("text"), "number", "answer"], rows: rows))])
    ]
  }

  private func shortened(_ text: String) -> String { text.count > 300 ? text.prefix(300) + "…" : text }
}

extension Report.Value {
  /// Where nothing varies there is none.
  fileprivate static func correlation(_ number: Double) -> Report.Value {
    number.isFinite ? .decimal(number, 4) : .unknown
  }
}
