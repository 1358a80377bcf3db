import Foundation
import LoRAFiles
import LoRATensors

/// Makes targets of labels as they are met.
struct LabelReader {
  private enum Kind {
    case classes(ClassNumbers)
    case scores([Float])
    case sets(LabelSetStyle)
  }

  private let file: URL
  private let rowName: String
  /// Whether it was said what the labels are.
  private let isChosen: Bool
  private var kind: Kind
  private var known: [String]?
  /// The names of flags, where columns have them.
  private let flagNames: [String]?
  /// Of sets, each way of writing one, in the order in which they were met.
  private var written: [String] = []
  private var positions: [ExactString: Int] = [:]
  private var numbers = SmallIntegers()

  /// - Parameters:
  ///   - problem: nil finds it out from `sample`.
  ///   - sample: the labels of the first rows.
  ///   - columns: of labels that have a column each, their names.
  ///   - known: the classes or labels; nil finds them.
  init(
    _ problem: ProblemType?, sample: [String], columns: [String]?, known: [String]?, file: URL, rowName: String = "line"
  ) throws {
    (self.file, self.known, self.rowName, isChosen) = (file, known, rowName, problem != nil)
    let style = LabelSetStyle(of: sample)
    flagNames = columns
    let traits = TableSample.Traits(sample)
    let found: ProblemType =
      style != nil ? .multiLabel : traits.areNumbers && !traits.areWhole ? .regression : .singleLabel
    switch problem ?? (known == nil ? found : .singleLabel) {
    case .regression: kind = .scores([])
    case .multiLabel:
      // Flags are told from a list of numbers by as many as there are labels.
      let isFlags =
        style == .flags
        || known.map { known in
          sample.allSatisfy {
            LabelSetStyle.elements($0).map {
              $0.count == known.count && known.count > 1 && $0.allSatisfy { LabelFlag($0) != nil }
            } ?? false
          }
        } ?? false
      kind = .sets(isFlags && !sample.isEmpty ? .flags : style ?? .separated(","))
    case .singleLabel: kind = .classes(try ClassNumbers(known, file: file, rowName: rowName))
    }
  }

  mutating func append(_ label: String, line: Int) throws {
    switch kind {
    case .classes(var classes):
      kind = .scores([])  // So that there is one owner of what grows.
      defer { kind = .classes(classes) }
      try classes.append(label, line: line)
    case .scores(var scores):
      guard let number = Float(label.trimmed), number.isFinite else {
        throw wrong("the label “\(label)” in \(rowName) \(line.grouped)", "a number, for a regression")
      }
      kind = .sets(.list)
      scores.append(number)
      kind = .scores(scores)
    case .sets(let style):
      let position = positions[ExactString(label)] ?? written.count
      if position == written.count {
        guard let names = style.labels(in: label) else {
          throw wrong("the label “\(label)” in \(rowName) \(line.grouped)", "a list of labels, as in the first rows")
        }
        if let known, style != .flags, let name = names.first(where: { name in !known.contains(where: name.isExactly) })
        {
          throw wrong(
            "label \"\(name)\" in \(rowName) \(line.grouped)", "one of \(LabelledColumns.list(known))",
            advice: "Train and test with the same set of labels")
        }
        if style == .flags, let count = LabelSetStyle.elements(label)?.count,
          count != (known ?? flagNames)?.count ?? count
        {
          throw wrong(
            "\(count) flags in \(rowName) \(line.grouped)", "one for each of \((known ?? flagNames)!.count) labels")
        }
        guard position <= SmallIntegers.largest else {
          throw wrong(
            "more than \(position.grouped) different sets of labels", "fewer", advice: "Choose the label's column")
        }
        positions[ExactString(label)] = position
        written.append(label)
      }
      numbers.append(position)
    }
  }

  /// The targets, and the names of the classes or labels; of a regression one.
  consuming func finish() throws -> (LabelTargets, [String]) {
    switch kind {
    case .scores(let scores): return (.scores(scores), known ?? ["score"])
    case .classes(let classes):
      let (numbers, names) = try classes.finish()
      // A number with a fraction further down than the sample.
      let values = names.map { Float($0.trimmed) }
      if !isChosen, known == nil, names.count > 2, values.allSatisfy({ $0?.isFinite == true }),
        values.contains(where: { $0! != $0!.rounded() })
      {
        return (.scores(numbers.map { values[$0]! }), ["score"])
      }
      return (.classes(numbers), names)
    case .sets(let style):
      let sets = written.map { style.labels(in: $0)! }
      if style == .flags {
        let count = written.first.flatMap { LabelSetStyle.elements($0)?.count } ?? 0
        let names = known ?? flagNames ?? (0..<count).map(String.init)
        return (.sets(LabelSets(kinds: sets.map { $0.compactMap { Int($0) } }, numbers: numbers)), names)
      }
      let met = known ?? Array(Set(sets.joined().map { ExactString($0) })).map(\.text)
      let names = known ?? ClassNumbers.order(of: met).map { met[$0] }
      guard names.count > 0 else { throw wrong("no label at all", "texts with labels") }
      let places = Dictionary(names.enumerated().map { (ExactString($1), $0) }) { first, _ in first }
      let kinds = sets.map { set in Array(Set(set.map { places[ExactString($0)]! })).sorted() }
      return (.sets(LabelSets(kinds: kinds, numbers: numbers)), names)
    }
  }

  private func wrong(
    _ found: String, _ expected: String, advice: Advice = Advice("Correct it, or choose other columns", .nameColumns)
  ) -> DatasetError {
    DatasetError(.labelOutOfRange, file: file, found: found, expected: expected, advice: advice)
  }
}
