import LoRATensors

/// A ≈ U diag(S) Vᵀ of some rank r, and how far that is from A.
///
/// ```swift
/// let factors = try weight.svd().truncated(to: 16)
/// factors.parameterCount                      // 16 · (rows + columns)
/// factors.relativeFrobeniusError              // ‖A − U S Vᵀ‖_F / ‖A‖_F
/// let (b, a) = factors.balanced()             // b.matmul(a) ≈ weight
/// ```
public struct LowRankFactors: Sendable {
  /// [rows, rank], orthonormal columns.
  public let u: Tensor
  /// [rank], largest first.
  public let singularValues: [Float]
  /// [rank, columns], orthonormal rows.
  public let vTransposed: Tensor
  /// ‖A − U S Vᵀ‖, of the matrix A that these factors came from.
  public let error: ApproximationError

  /// - Parameters:
  ///   - u: [rows, rank], orthonormal columns.
  ///   - singularValues: [rank], largest first.
  ///   - vTransposed: [rank, columns], orthonormal rows.
  ///   - error: What the factors leave out; by default nothing: A is their product.
  public init(u: Tensor, singularValues: [Float], vTransposed: Tensor, error: ApproximationError = .none) {
    expect(
      u.shape.count == 2 && vTransposed.shape.count == 2 && u.shape[1] == singularValues.count
        && vTransposed.shape[0] == singularValues.count,
      """
      LowRankFactors: U of shape \(u.shape), \(singularValues.count) singular values and Vᵀ of shape \
      \(vTransposed.shape) do not fit
      """)
    self.u = u
    self.singularValues = singularValues
    self.vTransposed = vTransposed
    self.error = error
  }

  /// The number of singular values.
  public var rank: Int { singularValues.count }
  /// The rows of A.
  public var rows: Int { u.shape[0] }
  /// The columns of A.
  public var columns: Int { vTransposed.shape[1] }

  /// The numbers in two factors B and A: rank (rows + columns).
  public var parameterCount: Int { rank * (rows + columns) }

  /// U diag(S) Vᵀ, [rows, columns].
  public func reconstructed() -> Tensor {
    guard rank > 0 else { return .zeros([rows, columns]) }
    return u.matmul(vTransposed.scaledRows(by: singularValues))
  }

  /// The factors of a smaller rank; what is dropped is added to `error`.
  public func truncated(to newRank: Int) -> LowRankFactors {
    expect(
      newRank >= 0 && newRank <= rank,
      "truncated: rank \(newRank) does not fit factors of rank \(rank); it must lie in 0...\(rank)")
    guard newRank < rank else { return self }
    return LowRankFactors(
      u: u.leadingColumns(newRank), singularValues: Array(singularValues.prefix(newRank)),
      vTransposed: vTransposed.sliced(axis: 0, 0..<newRank), error: error.adding(dropped: singularValues[newRank...]))
  }

  /// B = U √S [rows, rank] and A = √S Vᵀ [rank, columns]: B A is the approximation, and both are of like size.
  public func balanced() -> (b: Tensor, a: Tensor) {
    let roots = singularValues.map { $0.squareRoot() }
    return (u.scaledColumns(by: roots), vTransposed.scaledRows(by: roots))
  }

  /// B = U S [rows, rank] and A = Vᵀ [rank, columns], whose rows are orthonormal.
  public func left() -> (b: Tensor, a: Tensor) {
    (u.scaledColumns(by: singularValues), vTransposed)
  }
}

/// The distance from a matrix to its approximation by factors.
public struct ApproximationError: Sendable, Equatable {
  /// ‖A − U S Vᵀ‖_F
  public let frobenius: Double
  /// ‖A − U S Vᵀ‖₂; of an estimate, a bound that holds with the probability that its maker states.
  public let spectral: Double
  /// Whether these were estimated from random probes, and not known from all singular values.
  public let isEstimate: Bool

  /// An exact product: nothing is left out.
  public static let none = ApproximationError(frobenius: 0, spectral: 0, isEstimate: false)

  /// - Parameters:
  ///   - frobenius: the Frobenius norm of what is left out.
  ///   - spectral: its spectral norm, or a bound of that.
  ///   - isEstimate: whether they come from random probes.
  public init(frobenius: Double, spectral: Double, isEstimate: Bool) {
    self.frobenius = frobenius
    self.spectral = spectral
    self.isEstimate = isEstimate
  }

  /// The error once singular directions, orthogonal to what was left out before, are left out too.
  fileprivate func adding(dropped: ArraySlice<Float>) -> ApproximationError {
    let energy = dropped.reversed().reduce(frobenius * frobenius) { $0 + Double($1) * Double($1) }
    let largest = Double(dropped.first ?? 0)
    return ApproximationError(
      frobenius: energy.squareRoot(),
      // Orthogonal parts of one decomposition: the larger. A remainder of which only the size is known: at most this.
      spectral: isEstimate ? (spectral * spectral + largest * largest).squareRoot() : Swift.max(spectral, largest),
      isEstimate: isEstimate)
  }
}

extension LowRankFactors {
  /// Σ S²: the squared Frobenius norm of the approximation.
  private var keptSquares: Double { singularValues.reversed().reduce(0) { $0 + Double($1) * Double($1) } }

  /// The share of ‖A‖_F² that is kept, in 0...1; 1 for a matrix of zeros.
  public var energyKept: Double {
    let total = keptSquares + error.frobenius * error.frobenius
    return total > 0 ? keptSquares / total : 1
  }

  /// ‖A − U S Vᵀ‖_F / ‖A‖_F; 0 for a matrix of zeros.
  public var relativeFrobeniusError: Double {
    let total = keptSquares + error.frobenius * error.frobenius
    return total > 0 ? error.frobenius / total.squareRoot() : 0
  }

  /// ‖A − U S Vᵀ‖₂ / ‖A‖₂; 0 for a matrix of zeros.
  public var relativeSpectralError: Double {
    let norm = Swift.max(Double(singularValues.first ?? 0), error.spectral)
    return norm > 0 ? error.spectral / norm : 0
  }

  /// ‖A − U S Vᵀ‖_F / ‖A‖_F, measured element by element against a matrix.
  public func relativeFrobeniusError(against matrix: Tensor) -> Double {
    expect(
      matrix.shape == [rows, columns],
      "relativeFrobeniusError(against:): factors of shape \([rows, columns]), a matrix of shape \(matrix.shape)")
    let norm = matrix.norm
    return norm > 0 ? (matrix.detached - reconstructed()).norm / norm : 0
  }
}
