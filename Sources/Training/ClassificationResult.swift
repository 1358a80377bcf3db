import LoRATensors

/// What a classifier answered on labelled examples.
public struct ClassificationResult: Sendable, Equatable {
  /// The true class of each example, in 0..<classCount.
  public let labels: SmallIntegers
  /// The answer for each example, in 0..<classCount.
  public let predictions: SmallIntegers
  /// How many classes there are; one may have no example.
  public let classCount: Int

  /// Answers beside the truth, as many of one as of the other, all in 0..<classCount.
  public init(labels: [Int], predictions: [Int], classCount: Int) {
    self.init(labels: SmallIntegers(labels), predictions: SmallIntegers(predictions), classCount: classCount)
  }

  /// Of very many examples.
  public init(labels: SmallIntegers, predictions: SmallIntegers, classCount: Int) {
    expect(
      labels.count == predictions.count,
      "ClassificationResult: \(labels.count) labels and \(predictions.count) predictions")
    let largest = Swift.max(labels.max() ?? 0, predictions.max() ?? 0)
    expect(
      largest < classCount || labels.isEmpty,
      "ClassificationResult: a class \(largest), and there are \(classCount), counted from 0")
    self.labels = labels
    self.predictions = predictions
    self.classCount = classCount
  }

  /// The share of right answers, in 0...1.
  public var accuracy: Double {
    labels.isEmpty ? 0 : Double(zip(labels, predictions).count { $0 == $1 }) / Double(labels.count)
  }

  /// Wrong answers by true class.
  public var errors: [Int] {
    var errors = [Int](repeating: 0, count: classCount)
    for (label, prediction) in zip(labels, predictions) where label != prediction { errors[label] += 1 }
    return errors
  }

  /// The class with the most errors, the first of equals.
  public var worstClass: Int { errors.firstIndex(of: errors.max() ?? 0) ?? 0 }

  /// confusion[true class][answer]
  public var confusion: [[Int]] {
    var counts = [[Int]](repeating: [Int](repeating: 0, count: classCount), count: classCount)
    for (label, prediction) in zip(labels, predictions) { counts[label][prediction] += 1 }
    return counts
  }

  /// By class the harmonic mean of precision and recall; nil of a class that is neither true of an example nor answered.
  public var f1: [Double?] {
    let counts = confusion
    return counts.indices.map { label in
      let (right, truth) = (counts[label][label], counts[label].reduce(0, +))
      let answered = counts.reduce(0) { $0 + $1[label] }
      return truth + answered == 0 ? nil : 2 * Double(right) / Double(truth + answered)
    }
  }

  /// The mean F1 of the classes that occur, each counting the same.
  public var macroF1: Double {
    let known = f1.compactMap(\.self)
    return known.isEmpty ? 0 : known.reduce(0, +) / Double(known.count)
  }

  /// The examples that another result got wrong and this one gets right, and the other way round, in their order.
  public func changes(since before: ClassificationResult) -> (mended: [Int], broken: [Int]) {
    expect(labels == before.labels, "changes: the results are of different examples")
    func isRight(_ result: ClassificationResult, _ index: Int) -> Bool { labels[index] == result.predictions[index] }
    return (
      labels.indices.filter { !isRight(before, $0) && isRight(self, $0) },
      labels.indices.filter { isRight(before, $0) && !isRight(self, $0) }
    )
  }
}
