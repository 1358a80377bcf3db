import Foundation
import LoRATensors

/// How many singular directions of one matrix to keep.
///
/// ```swift
/// spectrum.rank(.energy(0.99))
/// spectrum.rank(.optimalHardThreshold())
/// ```
///
/// Every rule but `fixed` may answer 0: a matrix of zeros has nothing to keep, and pure noise nothing worth keeping.
public enum RankSelection: Sendable, Equatable {
  /// This rank, or min(rows, columns) where that is smaller.
  case fixed(Int)
  /// The smallest rank that keeps this share (0...1) of Σ σ² = ‖A‖_F². A relative Frobenius error of ε is a share of
  /// 1 − ε².
  case energy(Double)
  /// The smallest rank that keeps this share (0...1) of Σ σ, the nuclear norm.
  case sum(Double)
  /// Values of at least this multiple (0...1) of the largest.
  case ratioToLargest(Double)
  /// Values of at least this size.
  case tolerance(Double)
  /// Values that stand out of white noise: Gavish and Donoho, "The optimal hard threshold for singular values is
  /// 4/√3" (IEEE Transactions on Information Theory 60, 2014). It has the least asymptotic mean squared error of all
  /// thresholds. With n the longer side and β ≤ 1 the ratio of the sides, it is λ(β) √n · noise where the standard
  /// deviation of the noise in each element is given (equation 11), else ω(β) · (median singular value)
  /// (equation 5).
  case optimalHardThreshold(noise: Double? = nil)
}

extension Spectrum {
  /// The rank that a rule chooses, between 0 and min(rows, columns).
  public func rank(_ selection: RankSelection) -> Int {
    switch selection {
    case .fixed(let rank):
      expect(rank >= 0, "RankSelection.fixed(\(rank)): a rank can't be negative")
      return min(rank, singularValues.count)
    case .energy(let share):
      return smallestRank(keeping: share) { $0 * $0 }
    case .sum(let share):
      return smallestRank(keeping: share) { $0 }
    case .ratioToLargest(let ratio):
      expect(ratio >= 0 && ratio <= 1, "RankSelection.ratioToLargest(\(ratio)): outside 0...1")
      return singularValues.count { $0 > 0 && Double($0) >= ratio * spectralNorm }
    case .tolerance(let tolerance):
      expect(tolerance >= 0, "RankSelection.tolerance(\(tolerance)): negative")
      return singularValues.count { $0 > 0 && Double($0) >= tolerance }
    case .optimalHardThreshold(let noise):
      let threshold = optimalHardThreshold(noise: noise)
      return singularValues.count { Double($0) > threshold }
    }
  }

  /// The threshold of `RankSelection.optimalHardThreshold`.
  public func optimalHardThreshold(noise: Double? = nil) -> Double {
    guard !singularValues.isEmpty else { return 0 }
    let aspect = Double(min(rows, columns)) / Double(max(rows, columns))
    let factor = MarchenkoPastur.hardThreshold(aspect: aspect)
    if let noise { return factor * Double(max(rows, columns)).squareRoot() * noise }
    let upper = Double(singularValues[(singularValues.count - 1) / 2])
    let lower = Double(singularValues[singularValues.count / 2])
    return factor / MarchenkoPastur.median(aspect: aspect).squareRoot() * (upper + lower) / 2
  }

  /// What is dropped is summed, smallest first. A share of 1 drops only what is exactly zero.
  private func smallestRank(keeping share: Double, of weight: (Double) -> Double) -> Int {
    expect(share >= 0 && share <= 1, "RankSelection: a share of \(share) lies outside 0...1")
    let total = singularValues.reversed().reduce(0) { $0 + weight(Double($1)) }
    var dropped = 0.0
    var rank = singularValues.count
    while rank > 0 {
      dropped += weight(Double(singularValues[rank - 1]))
      if share == 1 ? dropped > 0 : total - dropped < share * total { break }
      rank -= 1
    }
    return rank
  }
}

/// The limit of the spectrum of white noise: the squared singular values of an n × βn matrix whose elements have
/// variance 1/n follow √((b − t)(t − a)) / (2πβt) between a = (1 − √β)² and b = (1 + √β)².
private enum MarchenkoPastur {
  /// λ(β): Gavish and Donoho, equation 11.
  static func hardThreshold(aspect beta: Double) -> Double {
    (2 * (beta + 1) + 8 * beta / ((beta + 1) + (beta * beta + 14 * beta + 1).squareRoot())).squareRoot()
  }

  /// The median, by the midpoint rule in theta with t = a + (b − a) sin²theta, which removes the roots at both ends.
  static func median(aspect beta: Double) -> Double {
    let a = (1 - beta.squareRoot()) * (1 - beta.squareRoot())
    let b = (1 + beta.squareRoot()) * (1 + beta.squareRoot())
    let steps = 4096
    let width = Double.pi / 2 / Double(steps)
    var mass = 0.0
    for step in 0..<steps {
      let theta = (Double(step) + 0.5) * width
      let span = (b - a) * sin(theta) * cos(theta)
      let density = span * span / (.pi * beta * (a + (b - a) * sin(theta) * sin(theta)))
      if mass + density * width >= 0.5 {
        let edge = sin(Double(step) * width + (0.5 - mass) / density)
        return a + (b - a) * edge * edge
      }
      mass += density * width
    }
    return b
  }
}
