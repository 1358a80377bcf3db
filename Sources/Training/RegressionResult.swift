import LoRATensors

/// Numbers that a model answered, beside the true ones.
public struct RegressionResult: Sendable, Equatable {
  /// The true number of each example.
  public let truth: [Float]
  /// What was answered.
  public let answers: [Float]

  /// As many answers as true numbers.
  public init(truth: [Float], answers: [Float]) {
    expect(truth.count == answers.count, "RegressionResult: \(truth.count) numbers and \(answers.count) answers")
    (self.truth, self.answers) = (truth, answers)
  }

  /// The mean squared difference.
  public var meanSquaredError: Double { mean { $0 * $0 } }
  /// The mean difference, whatever its sign.
  public var meanAbsoluteError: Double { mean(abs) }

  /// Pearson's correlation, in −1...1; NaN where all numbers or all answers are the same.
  public var pearson: Double { RegressionResult.correlation(truth.map(Double.init), answers.map(Double.init)) }
  /// Spearman's: that of the ranks, of which equal numbers share the mean.
  public var spearman: Double {
    RegressionResult.correlation(RegressionResult.ranks(truth), RegressionResult.ranks(answers))
  }

  private func mean(_ body: (Double) -> Double) -> Double {
    zip(truth, answers).reduce(0) { $0 + body(Double($1.0) - Double($1.1)) } / Double(max(1, truth.count))
  }

  private static func correlation(_ x: [Double], _ y: [Double]) -> Double {
    let (mx, my) = (x.reduce(0, +) / Double(x.count), y.reduce(0, +) / Double(y.count))
    var (xx, xy, yy) = (0.0, 0.0, 0.0)
    for (a, b) in zip(x, y) {
      xx += (a - mx) * (a - mx)
      xy += (a - mx) * (b - my)
      yy += (b - my) * (b - my)
    }
    return xy / (xx * yy).squareRoot()
  }

  private static func ranks(_ numbers: [Float]) -> [Double] {
    let order = numbers.indices.sorted { numbers[$0] < numbers[$1] }
    var ranks = [Double](repeating: 0, count: numbers.count)
    var start = 0
    while start < order.count {
      let end = order[start...].firstIndex { numbers[$0] != numbers[order[start]] } ?? order.count
      for place in order[start..<end] { ranks[place] = Double(start + end - 1) / 2 }
      start = end
    }
    return ranks
  }
}
