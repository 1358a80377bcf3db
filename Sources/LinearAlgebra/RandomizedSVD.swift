// The randomised singular value decomposition of Halko, Martinsson and Tropp, "Finding structure with randomness"
// (SIAM Review 53, 2011): a random sketch finds the range, power iterations sharpen it, and what remains is small.

import LoRATensors

extension LinearOperator {
  /// The leading singular triplets, from a few products with the operator; it need not be a matrix in memory.
  ///
  /// A basis Q of nearly all of the range comes from a random sketch A Ω of rank + oversampling columns and from power
  /// iterations A Aᵀ Q on it, orthonormalised after each product (Halko, Martinsson and Tropp, algorithm 4.4); then
  /// Qᵀ A is decomposed (algorithm 5.1). The basis keeps every iterate, not the last alone: that is the block Krylov
  /// method (Musco and Musco, "Randomized block Krylov methods", NeurIPS 2015), which needs no more products than the
  /// power method and comes nearer with each. Products in all: 2 · powerIterations + 2; those after the first two are with
  /// three quarters of the columns where these are more than 32.
  ///
  /// The error reported with the factors is an estimate a posteriori (Halko, Martinsson and Tropp, section 4.3) from
  /// ten further random vectors that take part in the first product: its square is unbiased in the Frobenius norm, and
  /// its spectral norm is a bound that fails with a probability below 0.1%.
  ///
  /// ```swift
  /// let factors = try matrix.randomizedSVD(rank: 16)
  /// factors.relativeFrobeniusError   // estimated
  /// ```
  /// - Parameters:
  ///   - rank: The number of singular values to find, 1 to min(rows, columns).
  ///   - oversampling: Further columns of the sketch. Without iterations the expected Frobenius error is at most
  ///     √(1 + rank / (oversampling − 1)) times the least possible (theorem 10.5).
  ///   - powerIterations: More come nearer to the least possible error; where singular values fall slowly it takes two
  ///     or three.
  ///   - seed: The same seed gives the same result.
  /// - Throws: `LinearAlgebraError.rankOutOfRange`; `.productNotFinite` where a product holds NaN or infinity.
  public func randomizedSVD(
    rank: Int, oversampling: Int = 8, powerIterations: Int = 2, seed: UInt64 = 0
  ) throws -> LowRankFactors {
    expect(
      oversampling >= 0 && powerIterations >= 0,
      "randomizedSVD: oversampling \(oversampling) and powerIterations \(powerIterations) can't be negative")
    try checkRank(rank)
    var sketch = RangeSketch(of: self, seed: seed)
    try sketch.grow(blockSize: rank + oversampling, powerIterations: powerIterations)
    return try sketch.factors().truncated(to: rank)
  }

  /// The leading singular triplets, as many as a relative Frobenius error asks for.
  ///
  /// The basis grows until the estimated error meets `relativeError`; the factors are then cut to the smallest rank
  /// that still meets it (Halko, Martinsson and Tropp, algorithm 4.2, by blocks). What the basis misses counts half as
  /// much again as estimated, for the estimate's own uncertainty.
  ///
  /// - Parameters:
  ///   - relativeError: ‖A − U S Vᵀ‖_F / ‖A‖_F to reach, between 0 and 1. Float32 products can't tell errors below
  ///     about 1e-5.
  ///   - maximumRank: Where to stop in any case, min(rows, columns) by default. The factors' error then tells what was
  ///     reached.
  ///   - powerIterations: more come nearer to the least possible error.
  ///   - seed: the same seed gives the same result.
  public func randomizedSVD(
    relativeError: Double, maximumRank: Int? = nil, powerIterations: Int = 1, seed: UInt64 = 0
  ) throws -> LowRankFactors {
    expect(
      relativeError > 0 && relativeError < 1, "randomizedSVD: a relative error of \(relativeError) is outside 0..<1")
    let limit = maximumRank ?? min(rows, columns)
    try checkRank(limit)
    var sketch = RangeSketch(of: self, seed: seed)
    repeat {
      try sketch.grow(blockSize: max(16, sketch.size / 2), powerIterations: powerIterations)
    } while estimateMargin.squareRoot() * sketch.estimatedError > relativeError * sketch.estimatedNorm
      && sketch.size < limit
    let factors = try sketch.factors()
    return factors.truncated(to: min(limit, factors.smallestRank(relativeError: relativeError)))
  }

  private func checkRank(_ rank: Int) throws {
    guard rank >= 1, rank <= min(rows, columns) else {
      throw LinearAlgebraError.rankOutOfRange(operation: "randomizedSVD", rank: rank, shape: [rows, columns])
    }
  }
}

/// What a squared estimate of ten probes is multiplied by to be rarely too small.
private let estimateMargin = 1.5

extension LowRankFactors {
  fileprivate func smallestRank(relativeError: Double) -> Int {
    let squares = singularValues.map { Double($0) * Double($0) }
    let missed = error.frobenius * error.frobenius
    let allowed = relativeError * relativeError * squares.reversed().reduce(missed, +)
    var (lost, rank) = (estimateMargin * missed, rank)
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
  /// Q, [rows, size] in blocks of columns, orthonormal.
  private var basis: [Tensor] = []
  /// Aᵀ Q, [columns, size] in the same blocks.
  private var images: [Tensor] = []
  /// [rows, probeCount]: A ω for Gaussian ω, and what of it lies outside the range of Q.
  private var probes: Tensor?
  private var residuals: Tensor?

  private let probeCount = 10

  init(of matrix: Operator, seed: UInt64) {
    self.matrix = matrix
    generator = SeededGenerator(seed: seed)
  }

  var size: Int { basis.reduce(0) { $0 + $1.shape[1] } }
  private var room: Int { min(matrix.rows, matrix.columns) - size }

  /// An estimate of ‖A − Q Qᵀ A‖_F: the mean over Gaussian ω of ‖(A − Q Qᵀ A) ω‖² is its square.
  var estimatedError: Double { (residuals?.norm ?? 0) / Double(probeCount).squareRoot() }
  var estimatedNorm: Double { (probes?.norm ?? 0) / Double(probeCount).squareRoot() }

  /// Adds a random block, and a block for each power iteration on it, as far as the smaller side leaves room.
  mutating func grow(blockSize: Int, powerIterations: Int) throws {
    let count = min(blockSize, room)
    guard count > 0 else { return }
    let newProbes = probes == nil ? probeCount : 0
    let sketch = matrix.times(.gaussian([matrix.columns, count + newProbes], using: &generator))
    try checkFinite(sketch)
    if newProbes > 0 {
      probes = sketch.sliced(axis: 1, count..<count + newProbes)
      residuals = probes
    }
    try append(sketch.leadingColumns(count))
    for _ in 0..<powerIterations where room > 0 {
      // Narrower than the first block, which alone must hold every direction of a repeated singular value: what
      // follows only sharpens, and the decomposition at the end grows with the square of the width.
      let width = min(max(min(count, 32), (count * 3 + 3) / 4), images[images.count - 1].shape[1], room)
      try append(matrix.times(images[images.count - 1].leadingColumns(width).orthonormalised()))
    }
  }

  /// Adds the part of x, [rows, k], that lies outside the range found so far; k is no more than the room left.
  ///
  /// Two passes make it orthogonal to the basis, since one leaves what rounding has left ("twice is enough": Parlett,
  /// The Symmetric Eigenvalue Problem, section 6.9), but only where it is new: of columns that lie within the basis,
  /// because the range is exhausted, a pass leaves rounding errors or nothing. R's diagonal tells what a pass left, as
  /// the block's columns had norm 1; further passes follow, with random columns in the place of what vanished.
  private mutating func append(_ x: Tensor) throws {
    var block = try (basis.isEmpty ? x : outsideOfBasis(x)).orthonormalised()
    var pass = 1
    while !basis.isEmpty {
      let (q, left) = try outsideOfBasis(block).orthonormalisedWithDiagonal()
      block = q
      pass += 1
      if left.allSatisfy({ $0 > 0.5 }) || pass == 10 { break }
      let kept = Tensor(left.map { $0 > 0.01 ? 1 : 0 })
      block = block * kept + .gaussian(block.shape, using: &generator) * (1 - kept)
    }
    basis.append(block)
    images.append(matrix.transposedTimes(block))
    residuals = residuals?.removing(block)
  }

  private func outsideOfBasis(_ x: Tensor) -> Tensor { basis.reduce(x) { $0.removing($1) } }

  /// NaN or infinity in a row of the matrix shows in that row of every product.
  private func checkFinite(_ product: Tensor) throws {
    guard !product.isFinite else { return }
    let row = product.withUnsafeBufferPointer { $0.firstIndex { !$0.isFinite }! } / product.shape[1]
    throw LinearAlgebraError.productNotFinite(
      operation: "randomizedSVD", shape: [matrix.rows, matrix.columns], row: row)
  }

  /// Q Qᵀ A, decomposed.
  func factors() throws -> LowRankFactors {
    let projected = try Tensor.concatenated(images, axis: 1).svd()  // Aᵀ Q = V S Wᵀ, so Q Qᵀ A = (Q W) S Vᵀ
    let largest = residuals?.transposed().largestRowNorm ?? 0
    return LowRankFactors(
      u: Tensor.concatenated(basis, axis: 1).matmul(projected.vTransposed, transposeOther: true),
      singularValues: projected.singularValues, vTransposed: projected.u.transposed(),
      error: ApproximationError(
        frobenius: estimatedError,
        // Lemma 4.1 with α = 2: ‖R‖₂ ≤ 2 √(2/π) max ‖R ωᵢ‖, but for a probability of 2^−10.
        spectral: 2 * (2 / Double.pi).squareRoot() * largest, isEstimate: true))
  }
}

extension Tensor {
  /// An orthonormal basis of the columns' span.
  fileprivate func orthonormalised() throws -> Tensor { try orthonormalisedWithDiagonal().q }

  /// The same with the diagonal of R: how much of each column the ones before it leave.
  fileprivate func orthonormalisedWithDiagonal() throws -> (q: Tensor, diagonal: [Float]) {
    if shape[0] >= shape[1], let qr = choleskyQR() { return qr }
    let qr = try MatrixInput(self, "randomizedSVD").householderQR()
    return (qr.q, (0..<qr.q.shape[1]).map { qr.r[$0, $0] })
  }

  fileprivate var largestRowNorm: Double {
    (0..<shape[0]).map { sliced(axis: 0, $0..<$0 + 1).norm }.max() ?? 0
  }

  /// x − Q Qᵀ x
  fileprivate func removing(_ q: Tensor) -> Tensor {
    self - q.matmul(q.matmul(self, transposeSelf: true))
  }
}
