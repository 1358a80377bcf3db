import LoRATensors

/// The exact singular value decomposition of B · A, without forming the product.
///
/// With B = Q₁R₁ and Aᵀ = Q₂R₂, B A = Q₁ (R₁R₂ᵀ) Q₂ᵀ: two thin QR decompositions and the decomposition of a matrix of
/// no more than rank × rank. For a LoRA update the work is O((rows + columns) rank²), where forming and decomposing
/// the product takes O(rows · columns · min(rows, columns)).
///
/// ```swift
/// let update = try svd(ofProduct: b, a)
/// let smaller = update.truncated(to: 4).balanced()   // the best adapter of rank 4
/// ```
/// - Parameters:
///   - b: [rows, rank]
///   - a: [rank, columns]
/// - Returns: min(rows, rank, columns) singular values and vectors; all others of the product are zero.
/// - Throws: `LinearAlgebraError` where shapes do not match, or either matrix is empty or holds NaN or infinity.
public func svd(ofProduct b: Tensor, _ a: Tensor) throws -> SingularValueDecomposition {
  let operation = "svd(ofProduct:)"
  guard b.shape.count == 2, a.shape.count == 2, b.shape[1] == a.shape[0] else {
    throw LinearAlgebraError.shapesDoNotMatch(operation: operation, left: b.shape, right: a.shape)
  }
  let left = try MatrixInput(b, operation)
  let right = try MatrixInput(a.detached.transposed(), operation)
  let (qLeft, qRight) = (left.householderQR(), right.householderQR())
  let core = try qLeft.r.matmul(qRight.r, transposeOther: true).svd()
  return SingularValueDecomposition(
    u: qLeft.q.matmul(core.u),
    singularValues: try core.singularValues.scaled(
      byPowerOfTwo: left.exponent + right.exponent, operation, [b.shape[0], a.shape[1]]),
    vTransposed: core.vTransposed.matmul(qRight.q, transposeOther: true))
}
