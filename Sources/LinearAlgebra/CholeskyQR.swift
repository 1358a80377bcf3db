// An orthonormal basis by two Cholesky factorisations, where float32 allows that.

import LoRATensors

extension Tensor {
  /// Q and the diagonal of R of this tall matrix, [m, n], by the Cholesky factor of its Gram matrix, twice (Yamamoto et
  /// al., "Roundoff error analysis of the CholeskyQR2 algorithm", 2015); nil where its columns are too near to
  /// dependence, or too large or small, for float32.
  ///
  /// Two products of matrices in the place of n reflections: several times faster than Householder's way, which serves
  /// the rest.
  package func choleskyQR() -> (q: Tensor, diagonal: [Float])? {
    let size = norm
    guard size > 1e-12, size < 1e12, let first = choleskyPass() else { return nil }
    guard let second = first.q.choleskyPass() else { return nil }
    return (second.q, zip(first.diagonal, second.diagonal).map { Float($0 * $1) })
  }

  /// X R⁻¹ with Rᵀ R = Xᵀ X.
  private func choleskyPass() -> (q: Tensor, diagonal: [Double])? {
    let n = shape[1]
    // Row i of `r` is that of R's transpose, the lower factor.
    var r = matmul(self, transposeSelf: true).scalars.map(Double.init)
    for j in 0..<n {
      for i in 0..<j {
        var sum = r[j * n + i]
        for k in 0..<i { sum -= r[i * n + k] * r[j * n + k] }
        r[j * n + i] = sum / r[i * n + i]
      }
      let whole = r[j * n + j]
      var rest = whole
      for k in 0..<j { rest -= r[j * n + k] * r[j * n + k] }
      // What is left of the column, beside what it was: below this, rounding of the Gram matrix shows in Q.
      guard rest > 1e-3 * whole else { return nil }
      r[j * n + j] = rest.squareRoot()
    }
    // The inverse of the lower factor; R⁻¹ is its transpose.
    var inverse = [Double](repeating: 0, count: n * n)
    for i in 0..<n {
      inverse[i * n + i] = 1 / r[i * n + i]
      for k in 0..<i {
        let factor = -r[i * n + k] * inverse[i * n + i]
        for j in 0...k { inverse[i * n + j] += factor * inverse[k * n + j] }
      }
    }
    let lower = Tensor(shape: [n, n], scalars: inverse.map { Float($0) })
    return (matmul(lower, transposeOther: true), (0..<n).map { r[$0 * n + $0] })
  }
}
