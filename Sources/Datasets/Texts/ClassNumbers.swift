import Foundation
import LoRAFiles
import LoRATensors

/// Numbers for the classes of texts, as their rows are met.
struct ClassNumbers {
  private let file: URL
  private let rowName: String
  private let areKnown: Bool
  private var names: [String]
  private var positions: [ExactString: Int] = [:]
  private var numbers = SmallIntegers()
  private var unlabelled = Lines()
  /// By a name that no class has, in the order in which they were met.
  private var unknown: [(name: String, lines: Lines)] = []
  private var unknownPositions: [ExactString: Int] = [:]

  /// Some lines, of which the first few are kept.
  private struct Lines {
    var first: [Int] = []
    var count = 0

    mutating func append(_ line: Int) {
      if count < 5 { first.append(line) }
      count += 1
    }

    func text(_ rowName: String) -> String { LabelledText.list(lines: first, of: count, rowName: rowName) }
  }

  /// - Parameter known: the classes; `nil` finds them.
  init(_ known: [String]?, file: URL, rowName: String = "line") throws {
    (self.file, self.rowName) = (file, rowName)
    areKnown = known != nil
    names = known ?? []
    positions = Dictionary(names.enumerated().map { (ExactString($1), $0) }) { first, _ in first }
    if names.count > SmallIntegers.largest + 1 { throw tooMany("\(names.count.grouped) classes") }
  }

  mutating func append(_ written: String, line: Int) throws {
    let name = areKnown && positions[ExactString(written)] != nil ? written : ClassNumbers.whole(written)
    if let position = positions[ExactString(name)] { return numbers.append(position) }
    // They get no number; what is wrong with them is said in the end. What pandas writes for a missing label is none
    // either, but may be a language beside others.
    let isMissing = name == "NaN" || name == "nan" && !names.isEmpty && names.allSatisfy { Double($0) != nil }
    if name.allSatisfy(\.isWhitespace) || isMissing { return unlabelled.append(line) }
    if areKnown {
      let position = unknownPositions[ExactString(name)] ?? unknown.count
      if position == unknown.count {
        guard position <= SmallIntegers.largest else { throw unknownLabels() }
        unknown.append((name, Lines()))
        unknownPositions[ExactString(name)] = position
      }
      return unknown[position].lines.append(line)
    }
    guard names.count <= SmallIntegers.largest else { throw tooMany("another label in \(rowName) \(line.grouped)") }
    positions[ExactString(name)] = names.count
    numbers.append(names.count)
    names.append(name)
  }

  /// The number of each text's class, and the classes in their order.
  consuming func finish() throws -> (SmallIntegers, [String]) {
    guard unlabelled.count == 0 else {
      throw DatasetError(
        .wrongFormat, file: file, found: "no label in \(unlabelled.text(rowName))", expected: "a label for every text",
        advice: "Give those texts a label, or remove them")
    }
    guard unknown.isEmpty else { throw unknownLabels() }
    guard !areKnown else { return (numbers, names) }
    let order = ClassNumbers.order(of: names)
    var new = [Int](repeating: 0, count: names.count)
    for (position, old) in order.enumerated() { new[old] = position }
    numbers.renumber(new)
    return (numbers, order.map { names[$0] })
  }

  /// "1.0" as "1": whole numbers in a column with gaps are so written.
  private static func whole(_ name: String) -> String {
    name.hasSuffix(".0") && Int(name.dropLast(2)) != nil ? String(name.dropLast(2)) : name
  }

  /// By number when all are whole numbers, else by their bytes.
  static func order(of names: [String]) -> [Int] {
    func isBefore(_ a: Int, _ b: Int) -> Bool { names[a].utf8.lexicographicallyPrecedes(names[b].utf8) }
    let numbers = names.compactMap { Int($0) }
    guard numbers.count == names.count else { return names.indices.sorted(by: isBefore) }
    return names.indices.sorted { numbers[$0] == numbers[$1] ? isBefore($0, $1) : numbers[$0] < numbers[$1] }
  }

  private func unknownLabels() -> DatasetError {
    let shown = ClassNumbers.order(of: unknown.map(\.name)).prefix(5).map { unknown[$0] }
    let more = unknown.count - shown.count
    return DatasetError(
      .labelOutOfRange, file: file,
      found: shown.map { "label \"\($0.name)\" in \($0.lines.text(rowName))" }.joined(separator: ", ")
        + (more > 0 ? " and \(more.grouped) more unknown labels" : ""),
      expected: names.count > 12 ? "one of \(names.count) known labels" : "one of \(names.joined(separator: ", "))",
      advice: "Train and test with the same set of labels")
  }

  private func tooMany(_ found: String) -> DatasetError {
    DatasetError(
      .labelOutOfRange, file: file, found: found, expected: "at most \((SmallIntegers.largest + 1).grouped) classes",
      advice: "Choose the column that holds the classes")
  }
}
