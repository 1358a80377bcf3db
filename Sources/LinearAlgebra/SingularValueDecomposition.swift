import LoRATensors

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

  /// The rows of A.
  public var rows: Int { u.shape[0] }
  /// The columns of A.
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
  /// QR first where the matrix is tall (Chan, ACM Transactions on Mathematical Software 8, 1982), reduction to
  /// bidiagonal form, LAPACK's divide and conquer (Gu and Eisenstat, SIAM J. Matrix Anal. Appl. 16, 1995), and its QR
  /// iteration where that does not converge. Backward stable: ‖A − U S Vᵀ‖ is a modest multiple of float32's rounding
  /// times ‖A‖.
  /// - Throws: `LinearAlgebraError` where this is no matrix, is empty, or holds NaN or infinity.
  /// - Complexity: O(rows · columns · min(rows, columns))
  public func svd(_ vectors: SingularVectors = .thin) throws -> SingularValueDecomposition {
    let input = try MatrixInput(self, "svd")
    guard input.rows >= input.columns else {
      let mirrored = try transposed().svd(vectors)
      return SingularValueDecomposition(
        u: mirrored.vTransposed.transposed(), singularValues: mirrored.singularValues,
        vTransposed: mirrored.u.transposed())
    }
    let (m, n) = (input.rows, input.columns)
    let uColumns = vectors == .full ? m : n
    var s = [Float](repeating: 0, count: n)
    var vTransposed: Tensor?
    let u = try Tensor(shape: [m, uColumns]) { u in
      vTransposed = try Tensor(shape: [n, n]) { vt in
        try input.decompose(s: &s, vectors: (u.baseAddress!, uColumns, vt.baseAddress!))
      }
    }
    return SingularValueDecomposition(u: u, singularValues: try input.restored(s), vTransposed: vTransposed!)
  }

  /// The singular values alone, largest first: min(rows, columns) of them. Throws as `svd` does.
  public func singularValues() throws -> [Float] {
    let input = try MatrixInput(self, "singularValues")
    guard input.rows >= input.columns else { return try transposed().singularValues() }
    var s = [Float](repeating: 0, count: input.columns)
    try input.decompose(s: &s, vectors: nil)
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
}

extension MatrixInput {
  /// U [rows, uColumns] and Vᵀ [columns, columns], to be written.
  fileprivate typealias Vectors = (u: UnsafeMutablePointer<Float>, uColumns: Int, vt: UnsafeMutablePointer<Float>)

  /// Rows for each column from which on QR comes first.
  private static let tall = 1.5

  /// Singular values and, if asked for, vectors of the scaled matrix, which has no more columns than rows.
  fileprivate func decompose(
    s: UnsafeMutablePointer<Float>,
    vectors: Vectors?
  ) throws {
    let n = columns
    var qr: HouseholderQR?
    let bidiagonal: Bidiagonalization
    if Double(rows) >= Self.tall * Double(n) {
      let copy = Scratch(rows * n)
      scaled.withUnsafeBufferPointer { copy.base.update(from: $0.baseAddress!, count: $0.count) }
      let factored = HouseholderQR(copy.base, rows: rows, columns: n)
      let r = Scratch(n * n)
      factored.writeR(to: r.base)
      bidiagonal = Bidiagonalization(r.base, rows: n, columns: n)
      qr = factored
    } else {
      bidiagonal = scaled.withUnsafeBufferPointer {
        Bidiagonalization($0.baseAddress!, rows: rows, columns: n)
      }
    }
    let inner = Scratch(vectors == nil ? 0 : n * n)
    do {
      var superdiagonal = bidiagonal.superdiagonal
      s.update(from: bidiagonal.diagonal, count: n)
      try LAPACK.bdsdc(
        diagonal: s, superdiagonal: &superdiagonal, count: n, vectors: vectors.map { (inner.base, $0.vt) })
    } catch is LAPACK.NotConverged {
      return try decomposeByQRIteration(s: s, vectors: vectors)
    }
    guard let vectors else { return }
    // U = Q_qr (Q_bidiagonal [U_inner 0; 0 1]), and Vᵀ = Vᵀ_inner Pᵀ.
    let width = vectors.uColumns
    vectors.u.update(repeating: 0, count: rows * width)
    for i in 0..<n { (vectors.u + i * width).update(from: inner.base + i * n, count: n) }
    for i in n..<max(width, n) { vectors.u[i * width + i] = 1 }
    bidiagonal.left.apply(toLeftOf: vectors.u, columns: width)
    qr?.reflectors.apply(toLeftOf: vectors.u, columns: width)
    bidiagonal.right.applyTransposed(toRightOf: vectors.vt, height: n)
  }

  /// LAPACK's gesvd: slower, for the rare matrix on which divide and conquer does not converge.
  private func decomposeByQRIteration(
    s: UnsafeMutablePointer<Float>,
    vectors: Vectors?
  ) throws {
    let copy = Scratch(scaled.count)
    scaled.withUnsafeBufferPointer { copy.base.update(from: $0.baseAddress!, count: $0.count) }
    do {
      try LAPACK.gesvd(
        copy.base, rows: rows, columns: columns, full: vectors.map { $0.uColumns > columns } ?? false, s: s,
        u: vectors?.u, vt: vectors?.vt)
    } catch is LAPACK.NotConverged {
      throw LinearAlgebraError.notConverged(operation: operation, shape: [rows, columns])
    }
  }
}
