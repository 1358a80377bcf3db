import LoRATensors

/// The singular values of a matrix, and what follows from them alone: norms, ranks, the error of every truncation.
///
/// ```swift
/// let spectrum = try weight.spectrum()
/// spectrum.rank(.energy(0.99))          // the smallest rank that keeps 99% of ‖W‖²
/// spectrum.relativeError(atRank: 16)    // ‖W − W₁₆‖ / ‖W‖, the least of any matrix of rank 16
/// ```
///
/// By the theorem of Eckart and Young (Psychometrika 1, 1936) and Mirsky (1960) the truncated singular value
/// decomposition is the best approximation of its rank in the Frobenius and the spectral norm: these errors are
/// attained, and nothing of that rank beats them.
public struct Spectrum: Sendable, Equatable {
  /// Largest first, min(rows, columns) of them.
  public let singularValues: [Float]
  /// The rows of the matrix.
  public let rows: Int
  /// The columns of the matrix.
  public let columns: Int

  /// Values of a [rows, columns] matrix, largest first. Fewer than min(rows, columns) are followed by zeros.
  public init(singularValues: [Float], rows: Int, columns: Int) {
    let count = min(rows, columns)
    expect(
      singularValues.count <= count,
      "Spectrum: \(singularValues.count) singular values for a matrix of shape \([rows, columns])")
    expect(
      zip(singularValues, singularValues.dropFirst()).allSatisfy { $0 >= $1 } && (singularValues.last ?? 0) >= 0,
      "Spectrum: singular values must descend and not be negative")
    self.singularValues = singularValues + Array(repeating: 0, count: count - singularValues.count)
    self.rows = rows
    self.columns = columns
  }

  /// The largest singular value.
  public var spectralNorm: Double { Double(singularValues.first ?? 0) }

  /// √(Σ σ²), which is also the root of the sum of squared elements.
  public var frobeniusNorm: Double { tailEnergy(from: 0).squareRoot() }

  /// Σ σ
  public var nuclearNorm: Double { singularValues.reversed().reduce(0) { $0 + Double($1) } }

  /// Singular values above the largest × max(rows, columns) × float32's spacing at 1, as in
  /// `numpy.linalg.matrix_rank`.
  public var numericalRank: Int {
    let tolerance = spectralNorm * Double(max(rows, columns)) * Double(Float.ulpOfOne)
    return singularValues.count { Double($0) > tolerance }
  }

  /// ‖A‖_F² / ‖A‖₂²: a rank that small perturbations hardly change. Between 1 and the rank; 0 for a matrix of zeros.
  public var stableRank: Double {
    spectralNorm > 0 ? tailEnergy(from: 0) / (spectralNorm * spectralNorm) : 0
  }

  /// Σ σ² over the values from `rank` on: the squared Frobenius error of the best approximation of that rank.
  public func tailEnergy(from rank: Int) -> Double {
    singularValues.dropFirst(rank).reversed().reduce(0) { $0 + Double($1) * Double($1) }
  }

  /// The share of ‖A‖_F² that the best approximation of this rank keeps, in 0...1; 1 for a matrix of zeros.
  public func energyKept(atRank rank: Int) -> Double {
    let total = tailEnergy(from: 0)
    return total > 0 ? (total - tailEnergy(from: rank)) / total : 1
  }

  /// ‖A − A_r‖_F / ‖A‖_F of the best approximation of this rank; 0 for a matrix of zeros.
  public func relativeError(atRank rank: Int) -> Double {
    let total = tailEnergy(from: 0)
    return total > 0 ? (tailEnergy(from: rank) / total).squareRoot() : 0
  }

  /// The share of ‖A‖_F² kept at each rank from 0 to min(rows, columns).
  public var cumulativeEnergy: [Double] {
    var tails = [0.0]
    for value in singularValues.reversed() { tails.append(tails[tails.count - 1] + Double(value) * Double(value)) }
    let total = tails[tails.count - 1]
    return tails.reversed().map { total > 0 ? (total - $0) / total : 1 }
  }

  /// The numbers in two factors of this rank: r (rows + columns).
  public func parameterCount(atRank rank: Int) -> Int { rank * (rows + columns) }
}
