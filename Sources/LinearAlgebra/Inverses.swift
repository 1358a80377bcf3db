// Linear equations and inverses, with their derivatives.

import LoRATensors

extension Tensor {
  /// The solution X of A X = B, A being this matrix, by LU factorisation with partial pivoting.
  ///
  /// Differentiable in both: dB = A⁻ᵀ dX, dA = −dB Xᵀ.
  ///
  /// ```swift
  /// let x = try a.solve(b)  // a.matmul(x) ≈ b
  /// ```
  /// - Parameter b: [n, columns], or a vector [n].
  /// - Returns: of the shape of `b`.
  /// - Throws: `LinearAlgebraError.notSquare`; `.shapesDoNotMatch`; `.singular` where the condition number is above 1/ε,
  ///   so that no digit would be right; `.notFinite`.
  /// - Complexity: O(n³ + n² · columns)
  public func solve(_ b: Tensor) throws -> Tensor {
    let factors = try LUFactors(detached, "solve")
    guard (1...2).contains(b.rank), b.shape[0] == shape[0] else {
      throw LinearAlgebraError.shapesDoNotMatch(operation: "solve", left: shape, right: b.shape)
    }
    if b.rank == 1 { return try solve(b.reshaped([b.count, 1])).reshaped([b.count]) }
    _ = try b.largestMagnitude("solve")
    let x = factors.solve(b.detached)
    return .custom([self, b], value: x) { [isTracked] dx in
      let db = factors.solve(dx, transposed: true)
      return [isTracked ? -db.matmul(x, transposeOther: true) : nil, db]
    }
  }

  /// The inverse A⁻¹ of a square matrix. Differentiable: with Y = A⁻¹, dA = −Yᵀ dY Yᵀ. To solve equations, `solve` is
  /// faster and more precise.
  ///
  /// - Throws: as `solve`.
  public func inverse() throws -> Tensor {
    let factors = try LUFactors(detached, "inverse")
    let y = factors.solve(.identity(shape[0]))
    return .custom([self], value: y) { dy in
      [-y.matmul(dy, transposeSelf: true).matmul(y, transposeOther: true)]
    }
  }

  /// The Moore-Penrose inverse A⁺, [columns, rows]: V diag(1/S) Uᵀ over the singular values above
  /// `relativeTolerance` × the largest.
  ///
  /// Differentiable (Golub and Pereyra, SIAM J. Numer. Anal. 10, 1973, theorem 4.3) for changes that keep the rank: with
  /// P = A⁺, dA = −Pᵀ dP Pᵀ + (1 − A P) dPᵀ P Pᵀ + Pᵀ P dPᵀ (1 − P A). Where a change of A alters the rank, the
  /// pseudoinverse jumps and has no derivative.
  ///
  /// - Parameter relativeTolerance: By default max(rows, columns) × float32's spacing at 1, as in `matrixRank`.
  /// - Throws: as `svd`; `LinearAlgebraError.overflow` where 1/S exceeds the largest float32.
  public func pseudoInverse(relativeTolerance: Double? = nil) throws -> Tensor {
    let a = detached
    let p = try MatrixInput.pseudoInverse(of: a, relativeTolerance: relativeTolerance)
    return .custom([self], value: p) { dp in
      let inner = p.matmul(dp, transposeOther: true)  // P dPᵀ
      let left = dp.matmul(p.matmul(p, transposeOther: true), transposeSelf: true)  // dPᵀ P Pᵀ
      let right = p.matmul(inner, transposeSelf: true)  // Pᵀ P dPᵀ
      let middle = p.matmul(dp, transposeSelf: true).matmul(p, transposeOther: true)
      return [(left - a.matmul(p.matmul(left))) + (right - right.matmul(p.matmul(a))) - middle]
    }
  }
}

extension MatrixInput {
  fileprivate static func pseudoInverse(of matrix: Tensor, relativeTolerance: Double?) throws -> Tensor {
    let svd = try matrix.svd()
    let tolerance = relativeTolerance ?? Double(max(svd.rows, svd.columns)) * Double(Float.ulpOfOne)
    let kept = svd.singularValues.count { Double($0) > tolerance * svd.spectrum.spectralNorm }
    let inverse = svd.singularValues.prefix(kept).map { 1 / $0 }
    guard kept > 0 else { return .zeros([svd.columns, svd.rows]) }
    guard inverse.allSatisfy(\.isFinite) else {
      throw LinearAlgebraError.overflow(operation: "pseudoInverse", shape: matrix.shape)
    }
    return svd.vTransposed.sliced(axis: 0, 0..<kept).scaledRows(by: inverse)
      .matmul(svd.u.leadingColumns(kept), transposeSelf: true, transposeOther: true)
  }
}

/// P A = L U of a square matrix.
private struct LUFactors {
  /// LAPACK's column-major factors of the matrix times 2^−exponent.
  private let factors: Tensor
  private let pivots: [Int32]
  private let exponent: Int

  init(_ matrix: Tensor, _ operation: String) throws {
    let input = try MatrixInput(matrix, operation)
    guard input.rows == input.columns else {
      throw LinearAlgebraError.notSquare(operation: operation, shape: matrix.shape)
    }
    let n = input.rows
    let columns = input.scaled.transposed()
    let norm = columns.absoluteValue().sum(axis: 1).scalars.max()!
    var pivots: [Int32] = []
    var condition: Float = 0
    factors = Tensor(shape: [n, n]) { buffer in
      columns.withUnsafeBufferPointer { buffer.baseAddress!.update(from: $0.baseAddress!, count: $0.count) }
      (pivots, condition) = LAPACK.getrf(buffer.baseAddress!, count: n, norm: norm)
    }
    guard condition > Float.ulpOfOne else {
      throw LinearAlgebraError.singular(operation: operation, shape: matrix.shape)
    }
    self.pivots = pivots
    exponent = input.exponent
  }

  /// A⁻¹ B or A⁻ᵀ B, [n, columns].
  func solve(_ b: Tensor, transposed: Bool = false) -> Tensor {
    let columns = b.transposed()
    let solution = Tensor(shape: columns.shape) { buffer in
      columns.withUnsafeBufferPointer { buffer.baseAddress!.update(from: $0.baseAddress!, count: $0.count) }
      factors.withUnsafeBufferPointer {
        LAPACK.getrs(
          $0.baseAddress!, count: factors.shape[0], pivots: pivots, transposed: transposed, buffer.baseAddress!,
          columns: columns.shape[0])
      }
    }.transposed()
    return exponent == 0 ? solution : solution.scaled(byPowerOfTwo: -exponent)
  }
}
