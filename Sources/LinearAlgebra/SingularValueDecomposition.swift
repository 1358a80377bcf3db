import Tensors

/// A = U diag(S) Vᵀ with orthonormal columns in U and rows in Vᵀ.
///
/// ```swift
/// let svd = try weight.svd()
/// let factors = svd.truncated(to: 16)         // the best approximation of rank 16
/// let (b, a) = factors.balanced()             // W ≈ B A
/// ```
public struct SingularValueDecomposition: Sendable {
  /// [rows, k] thin, [rows, rows] full.
  public let u: Tensor
  /// [k], largest first.
  public let singularValues: [Float]
  /// [k, columns] thin, [columns, columns] full.
  public let vTransposed: Tensor

  public var rows: Int { u.shape[0] }
  public var columns: Int { vTransposed.shape[1] }
  /// The singular values with the shape they belong to.
  public var spectrum: Spectrum { Spectrum(singularValues: singularValues, rows: rows, columns: columns) }

  /// The best approximation of rank `rank` (0 to the number of singular values), in Frobenius and spectral norm.
  public func truncated(to rank: Int) -> LowRankFactors {
    LowRankFactors(
      u: u.leadingColumns(singularValues.count), singularValues: singularValues,
      vTransposed: vTransposed.sliced(axis: 0, 0..<singularValues.count)
    ).truncated(to: rank)
  }

  /// The best approximation of the rank that a rule chooses.
  public func truncated(by selection: RankSelection) -> LowRankFactors {
    truncated(to: min(spectrum.rank(selection), singularValues.count))
  }

  /// U diag(S) Vᵀ
  public func reconstructed() -> Tensor { truncated(to: singularValues.count).reconstructed() }
}

/// How many singular vectors a decomposition holds.
public enum SingularVectors: Sendable {
  /// min(rows, columns) on both sides.
  case thin
  /// Complete orthonormal bases: U is rows × rows, V columns × columns.
  case full
}

extension Tensor {
  /// The singular value decomposition of a matrix.
  ///
  /// LAPACK's divide and conquer (Gu and Eisenstat, SIAM J. Matrix Anal. Appl. 16, 1995), and its QR iteration where
  /// that does not converge. Backward stable: ‖A − U S Vᵀ‖ is a modest multiple of float32's rounding times ‖A‖.
  /// - Throws: `LinearAlgebraError` where this is no matrix, is empty, or holds NaN or infinity.
  /// - Complexity: O(rows · columns · min(rows, columns))
  public func svd(_ vectors: SingularVectors = .thin) throws -> SingularValueDecomposition {
    let input = try MatrixInput(self, "svd")
    let (m, n, k) = (input.rows, input.columns, Swift.min(input.rows, input.columns))
    let full = vectors == .full
    var s = [Float](repeating: 0, count: k)
    var vTransposed: Tensor?
    let u = try Tensor(shape: [m, full ? m : k]) { u in
      vTransposed = try Tensor(shape: [full ? n : k, n]) { vt in
        try input.decompose(full: full, s: &s, u: u.baseAddress!, vt: vt.baseAddress!)
      }
    }
    return SingularValueDecomposition(u: u, singularValues: try input.restored(s), vTransposed: vTransposed!)
  }

  /// The singular values alone, largest first: min(rows, columns) of them. Throws as `svd` does.
  public func singularValues() throws -> [Float] {
    let input = try MatrixInput(self, "singularValues")
    var s = [Float](repeating: 0, count: Swift.min(input.rows, input.columns))
    try input.decompose(full: false, s: &s, u: nil, vt: nil)
    return try input.restored(s)
  }

  /// The singular values with norms, ranks and errors that follow from them. Throws as `svd` does.
  public func spectrum() throws -> Spectrum {
    let values = try singularValues()
    return Spectrum(singularValues: values, rows: shape[0], columns: shape[1])
  }

  /// The number of singular values above the largest × max(rows, columns) × float32's spacing at 1, NumPy's default;
  /// or above `tolerance`.
  public func matrixRank(tolerance: Double? = nil) throws -> Int {
    let spectrum = try spectrum()
    return tolerance.map { limit in spectrum.singularValues.count { Double($0) > limit } } ?? spectrum.numericalRank
  }

  /// The Moore-Penrose inverse, [columns, rows]: V diag(1/S) Uᵀ over the singular values above
  /// `relativeTolerance` × the largest.
  ///
  /// - Parameter relativeTolerance: By default max(rows, columns) × float32's spacing at 1, as in `matrixRank`.
  public func pseudoInverse(relativeTolerance: Double? = nil) throws -> Tensor {
    let svd = try svd()
    let tolerance = relativeTolerance ?? Double(Swift.max(svd.rows, svd.columns)) * Double(Float.ulpOfOne)
    let kept = svd.singularValues.count { Double($0) > tolerance * svd.spectrum.spectralNorm }
    let inverse = svd.singularValues.prefix(kept).map { 1 / $0 }
    guard kept > 0 else { return .zeros([svd.columns, svd.rows]) }
    guard inverse.allSatisfy(\.isFinite) else {
      throw LinearAlgebraError.overflow(operation: "pseudoInverse", shape: shape)
    }
    return svd.vTransposed.sliced(axis: 0, 0..<kept).scaledRows(by: inverse)
      .matmul(svd.u.leadingColumns(kept), transposeSelf: true, transposeOther: true)
  }
}

extension MatrixInput {
  /// Singular values and, where u and vt are given, vectors of the scaled matrix.
  fileprivate func decompose(
    full: Bool, s: UnsafeMutablePointer<Float>, u: UnsafeMutablePointer<Float>?, vt: UnsafeMutablePointer<Float>?
  ) throws {
    do {
      if let u, let vt {
        do {
          return try withCopy { try LAPACK.gesdd($0, rows: rows, columns: columns, full: full, s: s, u: u, vt: vt) }
        } catch is LAPACK.NotConverged {}
      }
      try withCopy { try LAPACK.gesvd($0, rows: rows, columns: columns, full: full, s: s, u: u, vt: vt) }
    } catch is LAPACK.NotConverged {
      throw LinearAlgebraError.notConverged(operation: operation, shape: [rows, columns])
    }
  }

  /// Calls `body` with a copy of the scaled matrix, to destroy.
  private func withCopy(_ body: (UnsafeMutablePointer<Float>) throws -> Void) rethrows {
    let copy = UnsafeMutablePointer<Float>.allocate(capacity: scaled.count)
    defer { copy.deallocate() }
    scaled.withUnsafeBufferPointer { copy.initialize(from: $0.baseAddress!, count: $0.count) }
    try body(copy)
  }
}
