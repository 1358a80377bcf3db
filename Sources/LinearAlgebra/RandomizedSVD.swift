import Tensors

// The randomised singular value decomposition of Halko, Martinsson and Tropp, "Finding structure with randomness"
// (SIAM Review 53, 2011): a random sketch finds the range, power iterations sharpen it, and what remains is small.

extension LinearOperator {
  /// The leading singular triplets, from a few products with the operator; it need not be a matrix in memory.
  ///
  /// Halko, Martinsson and Tropp (2011), algorithms 4.4 and 5.1: Q spans (A Aᵀ)^q A Ω for a random Ω of
  /// rank + oversampling columns, orthonormalised after each product, and A ≈ Q Qᵀ A is decomposed. The expected
  /// error without power iterations is at most √(1 + rank / (oversampling − 1)) times the least possible
  /// (theorem 10.5); each power iteration brings it nearer.
  ///
  /// The error reported with the factors is an estimate a posteriori (section 4.3) from ten further random vectors
  /// that take part in the first product: its Frobenius norm is unbiased, its spectral norm a bound that fails with
  /// probability below 0.1%.
  ///
  /// ```swift
  /// let factors = try matrix.randomizedSVD(rank: 16)
  /// factors.relativeFrobeniusError   // estimated
  /// ```
  /// - Parameters:
  ///   - rank: The number of singular values to find, 1 to min(rows, columns).
  ///   - oversampling: Further random directions, dropped at the end.
  ///   - powerIterations: Pairs of products with A and Aᵀ; each costs as much as the sketch twice.
  ///   - seed: The same seed gives the same result.
  /// - Throws: `LinearAlgebraError.rankOutOfRange`; `.notFinite` where a product holds NaN or infinity.
  public func randomizedSVD(
    rank: Int, oversampling: Int = 8, powerIterations: Int = 2, seed: UInt64 = 0
  ) throws -> LowRankFactors {
    precondition(
      oversampling >= 0 && powerIterations >= 0,
      "randomizedSVD: oversampling \(oversampling) and powerIterations \(powerIterations) can't be negative")
    try checkRank(rank)
    var sketch = try RangeSketch(of: self, seed: seed)
    try sketch.grow(by: rank + oversampling, powerIterations: powerIterations)
    return try sketch.factors().truncated(to: rank)
  }

  /// The leading singular triplets, as many as a relative Frobenius error asks for.
  ///
  /// The range grows, doubling, until the estimated error meets `relativeError`; the factors are then cut to the
  /// smallest rank that still meets it (Halko, Martinsson and Tropp, 2011, algorithm 4.2, by blocks).
  ///
  /// - Parameters:
  ///   - relativeError: ‖A − U S Vᵀ‖_F / ‖A‖_F to reach, above 0. Float32 products can't tell errors below about 1e-5.
  ///   - maximumRank: Where to stop in any case; min(rows, columns) by default. The error then tells what was reached.
  public func randomizedSVD(
    relativeError: Double, maximumRank: Int? = nil, powerIterations: Int = 2, seed: UInt64 = 0
  ) throws -> LowRankFactors {
    precondition(
      relativeError > 0 && relativeError < 1, "randomizedSVD: a relative error of \(relativeError) is outside 0..<1")
    let limit = maximumRank ?? min(rows, columns)
    try checkRank(limit)
    var sketch = try RangeSketch(of: self, seed: seed)
    repeat {
      try sketch.grow(by: min(max(16, sketch.size), limit - sketch.size), powerIterations: powerIterations)
    } while sketch.estimatedError > relativeError * sketch.estimatedNorm && sketch.size < limit
    let factors = try sketch.factors()
    return factors.truncated(to: factors.smallestRank(relativeError: relativeError))
  }

  private func checkRank(_ rank: Int) throws {
    guard rank >= 1, rank <= min(rows, columns) else {
      throw LinearAlgebraError.rankOutOfRange(operation: "randomizedSVD", rank: rank, shape: [rows, columns])
    }
  }
}

extension LowRankFactors {
  fileprivate func smallestRank(relativeError: Double) -> Int {
    let squares = singularValues.map { Double($0) * Double($0) }
    let allowed =
      relativeError * relativeError * squares.reversed().reduce(error.frobenius * error.frobenius, +)
    var (lost, rank) = (error.frobenius * error.frobenius, rank)
    while rank > 0, lost + squares[rank - 1] <= allowed {
      lost += squares[rank - 1]
      rank -= 1
    }
    return rank
  }
}

/// An orthonormal basis of nearly all of an operator's range, with the probes that tell what it misses.
private struct RangeSketch<Operator: LinearOperator> {
  private let matrix: Operator
  private var generator: SeededGenerator
  /// [rows, size], orthonormal columns.
  private var q: Tensor?
  /// [rows, probeCount]: A ω for random ω, and what of it lies outside the range of q.
  private var probes: (images: Tensor, residuals: Tensor)?

  private let probeCount = 10

  init(of matrix: Operator, seed: UInt64) throws {
    guard matrix.rows > 0, matrix.columns > 0 else {
      throw LinearAlgebraError.notAMatrix(operation: "randomizedSVD", shape: [matrix.rows, matrix.columns])
    }
    self.matrix = matrix
    generator = SeededGenerator(seed: seed)
  }

  var size: Int { q?.shape[1] ?? 0 }

  /// An estimate of ‖A − Q Qᵀ A‖_F: the mean over Gaussian ω of ‖(A − Q Qᵀ A) ω‖² is its square.
  var estimatedError: Double { (probes?.residuals.norm ?? 0) / Double(probeCount).squareRoot() }
  var estimatedNorm: Double { (probes?.images.norm ?? 0) / Double(probeCount).squareRoot() }

  /// Adds `count` directions, or as many as the smaller side has left.
  mutating func grow(by count: Int, powerIterations: Int) throws {
    let count = min(count, min(matrix.rows, matrix.columns) - size)
    guard count > 0 else { return }
    let firstProbes = probes == nil ? probeCount : 0
    let sketch = matrix.times(.normal([matrix.columns, count + firstProbes], using: &generator))
    try checkFinite(sketch)
    if firstProbes > 0 {
      let images = sketch.sliced(axis: 1, count..<count + firstProbes)
      probes = (images, images)
    }
    var new = try orthonormalised(sketch.leadingColumns(count))
    for _ in 0..<powerIterations {
      let back = try matrix.transposedTimes(new).orthonormalised()
      new = try orthonormalised(matrix.times(back))
    }
    q = q.map { .concatenated([$0, new], axis: 1) } ?? new
    if let probes {
      self.probes = (probes.images, probes.residuals.removing(new))
    }
  }

  /// An orthonormal basis of the part of x outside the range found so far. Removed twice, since once leaves what
  /// rounding has left ("twice is enough", Parlett, The Symmetric Eigenvalue Problem, section 6.9).
  private func orthonormalised(_ x: Tensor) throws -> Tensor {
    guard let q else { return try x.orthonormalised() }
    return try x.removing(q).orthonormalised().removing(q).orthonormalised()
  }

  /// NaN or infinity in a row of the matrix shows in that row of every product.
  private func checkFinite(_ product: Tensor) throws {
    guard !product.isFinite else { return }
    let row = product.withUnsafeBufferPointer { $0.firstIndex { !$0.isFinite }! } / product.shape[1]
    throw LinearAlgebraError.productNotFinite(
      operation: "randomizedSVD", shape: [matrix.rows, matrix.columns], row: row)
  }

  /// Q Qᵀ A, decomposed.
  func factors() throws -> LowRankFactors {
    let q = q!
    let projected = try matrix.transposedTimes(q).svd()  // Aᵀ Q = V S Wᵀ, so Q Qᵀ A = (Q W) S Vᵀ
    let largest = probes!.residuals.transposed().largestRowNorm
    return LowRankFactors(
      u: q.matmul(projected.vTransposed, transposeOther: true), singularValues: projected.singularValues,
      vTransposed: projected.u.transposed(),
      error: ApproximationError(
        frobenius: estimatedError,
        // Lemma 4.1 with α = 2: ‖R‖₂ ≤ 2 √(2/π) max ‖R ωᵢ‖, but for a probability of 2^−10.
        spectral: 2 * (2 / Double.pi).squareRoot() * largest, isEstimate: true))
  }
}

extension Tensor {
  /// An orthonormal basis of the columns' span.
  fileprivate func orthonormalised() throws -> Tensor {
    try MatrixInput(self, "randomizedSVD").householderQR().q
  }

  fileprivate var largestRowNorm: Double {
    (0..<shape[0]).map { sliced(axis: 0, $0..<$0 + 1).norm }.max() ?? 0
  }

  /// x − Q Qᵀ x
  fileprivate func removing(_ q: Tensor) -> Tensor {
    self - q.matmul(q.matmul(self, transposeSelf: true))
  }
}
