import LoRATensors

/// Sets of labels that a model answered, beside the true ones: counted as they come.
public struct LabelSetResult: Sendable, Equatable {
  /// By label, how often it was rightly answered.
  public private(set) var right: [Int]
  /// By label, how often it was answered and is not true.
  public private(set) var wrong: [Int]
  /// By label, how often it is true and was not answered.
  public private(set) var missed: [Int]
  /// How many examples there are.
  public private(set) var count = 0
  /// How many were answered with exactly their labels.
  public private(set) var exactCount = 0
  /// The first of the others, with the answers.
  public private(set) var errors: [(example: Int, truth: [Int], answer: [Int])] = []

  /// No example yet.
  public init(labelCount: Int) {
    let none = [Int](repeating: 0, count: labelCount)
    (right, wrong, missed) = (none, none, none)
  }

  /// Counts an example: places of labels, each once.
  public mutating func append(truth: [Int], answer: [Int]) {
    for label in answer { if truth.contains(label) { right[label] += 1 } else { wrong[label] += 1 } }
    for label in truth where !answer.contains(label) { missed[label] += 1 }
    if truth.sorted() == answer.sorted() {
      exactCount += 1
    } else if errors.count < 30 {
      errors.append((count, truth, answer))
    }
    count += 1
  }

  /// The share of examples with exactly their labels.
  public var exactShare: Double { count == 0 ? 0 : Double(exactCount) / Double(count) }
  /// By label the harmonic mean of precision and recall; nil of a label that is neither true nor answered.
  public var f1: [Double?] { right.indices.map { LabelSetResult.f1(right[$0], wrong[$0], missed[$0]) } }
  /// F1 over all labels together.
  public var microF1: Double {
    LabelSetResult.f1(right.reduce(0, +), wrong.reduce(0, +), missed.reduce(0, +)) ?? 0
  }
  /// The mean of all labels' F1, each counting the same; of one that does not occur it is 0.
  public var macroF1: Double { f1.isEmpty ? 0 : f1.reduce(0) { $0 + ($1 ?? 0) } / Double(f1.count) }

  private static func f1(_ right: Int, _ wrong: Int, _ missed: Int) -> Double? {
    let all = 2 * right + wrong + missed
    return all == 0 ? nil : 2 * Double(right) / Double(all)
  }

  public static func == (a: LabelSetResult, b: LabelSetResult) -> Bool {
    a.right == b.right && a.wrong == b.wrong && a.missed == b.missed && a.exactCount == b.exactCount
  }
}
