// Singular values, by Jacobi's rotations of a small symmetric matrix (Golub and Van Loan, 8.5).

/// Those of a matrix [rows, columns], descending, min(rows, columns) of them: the roots of the eigenvalues of M Mᵀ, in
/// double precision.
package func singularValues(_ matrix: [Float], rows: Int, columns: Int) -> [Float] {
  roots(of: eigen(gram(matrix, rows: rows, columns: columns), rows, vectors: false).values)
}

/// Those of scale · B A, `rank` of them, from the factors alone: with Bᵀ B = V D Vᵀ they are the roots of the eigenvalues
/// of √D Vᵀ (A Aᵀ) V √D.
package func singularValues(_ factors: LowRank, scale: Float) -> [Float] {
  let r = factors.rank
  var turned = [Float](repeating: 0, count: factors.b.count)
  for output in 0..<factors.outputs {
    for i in 0..<r { turned[i * factors.outputs + output] = factors.b[output * r + i] }
  }
  let (d, v) = eigen(gram(turned, rows: r, columns: factors.outputs), r, vectors: true)
  let aa = gram(factors.a, rows: r, columns: factors.inputs)
  var middle = [Double](repeating: 0, count: r * r)
  for i in 0..<r {
    for j in 0..<r {
      var sum = 0.0
      for k in 0..<r { for l in 0..<r { sum += v[k * r + i] * aa[k * r + l] * v[l * r + j] } }
      middle[i * r + j] = sum * (max(0, d[i]) * max(0, d[j])).squareRoot()
    }
  }
  return roots(of: eigen(middle, r, vectors: false).values).map { $0 * scale }
}

/// M Mᵀ, [rows, rows].
private func gram(_ matrix: [Float], rows: Int, columns: Int) -> [Double] {
  var result = [Double](repeating: 0, count: rows * rows)
  for i in 0..<rows {
    for j in 0...i {
      var sum = 0.0
      for k in 0..<columns { sum += Double(matrix[i * columns + k]) * Double(matrix[j * columns + k]) }
      result[i * rows + j] = sum
      result[j * rows + i] = sum
    }
  }
  return result
}

private func roots(of eigenvalues: [Double]) -> [Float] {
  eigenvalues.map { Float(max(0, $0).squareRoot()) }.sorted { $0 > $1 }
}

/// Eigenvalues and, where they are wanted, eigenvectors as columns, of a symmetric matrix [n, n].
private func eigen(_ matrix: [Double], _ n: Int, vectors wanted: Bool) -> (values: [Double], vectors: [Double]) {
  var m = matrix
  var vectors = [Double](repeating: 0, count: wanted ? n * n : 0)
  if wanted { for i in 0..<n { vectors[i * n + i] = 1 } }
  for _ in 0..<30 {
    var (off, all) = (0.0, 0.0)
    for i in 0..<n {
      for j in 0..<n {
        all += m[i * n + j] * m[i * n + j]
        if i != j { off += m[i * n + j] * m[i * n + j] }
      }
    }
    if off <= 1e-24 * all { break }
    for p in 0..<n {
      for q in p + 1..<max(n, p + 1) where m[p * n + q] != 0 {
        let theta = (m[q * n + q] - m[p * n + p]) / (2 * m[p * n + q])
        let t = (theta < 0 ? -1 : 1) / (theta.magnitude + (theta * theta + 1).squareRoot())
        let c = 1 / (t * t + 1).squareRoot()
        rotate(&m, n, p, q, c, t * c)
        for k in 0..<(wanted ? n : 0) {
          let (x, y) = (vectors[k * n + p], vectors[k * n + q])
          vectors[k * n + p] = c * x - t * c * y
          vectors[k * n + q] = t * c * x + c * y
        }
      }
    }
  }
  return ((0..<n).map { m[$0 * n + $0] }, vectors)
}

/// m ← Jᵀ m J for the rotation J of axes p and q by cosine c and sine s.
private func rotate(_ m: inout [Double], _ n: Int, _ p: Int, _ q: Int, _ c: Double, _ s: Double) {
  for k in 0..<n {
    let (x, y) = (m[k * n + p], m[k * n + q])
    m[k * n + p] = c * x - s * y
    m[k * n + q] = s * x + c * y
  }
  for k in 0..<n {
    let (x, y) = (m[p * n + k], m[q * n + k])
    m[p * n + k] = c * x - s * y
    m[q * n + k] = s * x + c * y
  }
}
