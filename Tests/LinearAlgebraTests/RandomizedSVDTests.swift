import LoRALinearAlgebra
import LoRATensors
import Testing

@Suite struct RandomizedSVDTests {
  @Test(
    "The error stays within the bound of Halko, Martinsson and Tropp, and no error beats the optimum",
    arguments: Decay.allCases, [[180, 120], [120, 180], [150, 150]])
  func bound(_ decay: Decay, _ shape: [Int]) throws {
    let values = decay.values(min(shape[0], shape[1]))
    let a = try matrix(values, rows: shape[0], columns: shape[1])
    let (rank, oversampling) = (8, 6)
    let optimum =
      a.norm == 0
      ? 0
      : Spectrum(singularValues: values, rows: shape[0], columns: shape[1])
        .relativeError(atRank: rank)
    for powerIterations in 0...2 {
      let found = try a.randomizedSVD(rank: rank, oversampling: oversampling, powerIterations: powerIterations)
      let error = found.relativeFrobeniusError(against: a)
      // Theorem 10.5, twice over for the truncation to `rank`.
      let bound = 2 * (1 + Double(rank) / Double(oversampling - 1)).squareRoot() * optimum
      #expect(error >= optimum - 1e-5)
      #expect(error <= bound + 1e-5)
      if powerIterations == 2 { #expect(error <= 1.01 * optimum + 1e-5) }
      #expect(departureFromOrthonormal(found.u) < 2e-5)
      #expect(departureFromOrthonormal(found.vTransposed.transposed()) < 2e-5)
      #expect(found.rank == rank && found.u.shape == [shape[0], rank] && found.vTransposed.shape == [rank, shape[1]])
      // The estimate: unbiased; its spectral bound fails once in a thousand.
      #expect(found.error.isEstimate)
      #expect(abs(found.relativeFrobeniusError - error) <= 0.35 * error + 1e-5)
      let residual = try (a - found.reconstructed()).spectrum()
      #expect(found.error.spectral >= residual.spectralNorm * 0.999 - 1e-5)
    }
  }

  @Test(
    "Iterations that go on when the range is exhausted, even up to the smaller side, do no harm",
    arguments: [[64, 784], [784, 64], [64, 64], [40, 300]], [false, true])
  func exhaustedRange(_ shape: [Int], hasZeroRows: Bool) throws {
    let (rows, columns) = (shape[0], shape[1])
    var a = try matrix((0..<16).map { 1 / Float($0 + 1) }, rows: hasZeroRows ? 16 : rows, columns: columns)
    if hasZeroRows { a = Tensor.concatenated([a, Tensor.zeros([rows - 16, columns])], axis: 0) }
    for (oversampling, powerIterations) in [(8, 2), (24, 2), (0, 4)] {
      let found = try a.randomizedSVD(rank: 16, oversampling: oversampling, powerIterations: powerIterations)
      #expect(departureFromOrthonormal(found.u) < 2e-5)
      #expect(found.relativeFrobeniusError(against: a) < 1e-5)
    }
  }

  @Test("A rank of the smaller side gives the whole matrix", arguments: [[12, 7], [7, 12], [1, 9], [9, 1]])
  func wholeMatrix(_ shape: [Int]) throws {
    let k = min(shape[0], shape[1])
    let a = try matrix(Decay.powerLaw.values(k), rows: shape[0], columns: shape[1])
    let found = try a.randomizedSVD(rank: k)
    #expect(relativeDifference(found.reconstructed(), a) < 2e-6)
    #expect(found.relativeFrobeniusError < 1e-5)
  }

  @Test(
    "The rank grows until the asked accuracy is met, and no further than needed",
    arguments: [0.3, 0.05, 0.003])
  func adaptive(_ accuracy: Double) throws {
    let values = Decay.exponential.values(150)
    let a = try matrix(values, rows: 200, columns: 150)
    let found = try a.randomizedSVD(relativeError: accuracy)
    #expect(found.relativeFrobeniusError(against: a) <= accuracy)
    let least = Spectrum(singularValues: values, rows: 200, columns: 150).rank(.energy(1 - accuracy * accuracy))
    #expect((least...least + 2).contains(found.rank))
    // Stopped early, it says what was reached.
    let short = try a.randomizedSVD(relativeError: 0.003, maximumRank: 5)
    #expect(short.rank == 5 && short.relativeFrobeniusError > 0.003)
  }

  @Test("Accuracy that needs several rounds is reached too")
  func adaptiveSlowDecay() throws {
    let a = try matrix(Decay.powerLaw.values(140), rows: 160, columns: 140)
    let found = try a.randomizedSVD(relativeError: 0.1)
    #expect(found.rank > 32)
    #expect(found.relativeFrobeniusError(against: a) <= 0.1)
    #expect(departureFromOrthonormal(found.u) < 3e-5)
  }

  @Test("Scale makes no difference", arguments: [1e-20, 1e20] as [Float])
  func scale(_ factor: Float) throws {
    let a = try matrix(Decay.exponential.values(40), rows: 60, columns: 40)
    let (plain, scaled) = (try a.randomizedSVD(rank: 5), try (a * factor).randomizedSVD(rank: 5))
    for (x, y) in zip(scaled.singularValues, plain.singularValues) { #expect(abs(x / factor / y - 1) < 1e-5) }
    #expect(abs(scaled.relativeFrobeniusError / plain.relativeFrobeniusError - 1) < 1e-3)
    #expect(abs(scaled.relativeSpectralError / plain.relativeSpectralError - 1) < 1e-3)
  }

  @Test("Operators that are never formed give what their matrix gives")
  func operators() throws {
    var generator = SeededGenerator(seed: 8)
    let base = Tensor.normal([90, 70], using: &generator)
    let update = try matrix([5, 4, 3], rows: 90, columns: 70)
    let b = Tensor.normal([90, 4], using: &generator)
    let a = Tensor.normal([4, 70], using: &generator)
    func check(_ matrix: some LinearOperator, _ formed: Tensor, rank: Int) throws {
      #expect(relativeDifference(try matrix.randomizedSVD(rank: rank).reconstructed(), formed) < 1e-5)
    }
    try check(try Difference(base + update, base), update, rank: 3)
    try check(try Product(b, a), b.matmul(a), rank: 4)
    try check(
      RowBlocks(rows: 90, columns: 70, blockRows: 32) {
        (base + update).sliced(axis: 0, $0) - base.sliced(axis: 0, $0)
      },
      update, rank: 3)
    #expect(throws: LinearAlgebraError.self) { try Difference(base, b) }
    #expect(throws: LinearAlgebraError.self) { try Product(a, base) }
  }

  @Test("The same seed gives the same bits, another seed others")
  func seeds() throws {
    let a = try matrix(Decay.powerLaw.values(30), rows: 40, columns: 30)
    let first = try a.randomizedSVD(rank: 4, seed: 9)
    #expect(first.u.isIdentical(to: try a.randomizedSVD(rank: 4, seed: 9).u))
    #expect(!first.u.isIdentical(to: try a.randomizedSVD(rank: 4, seed: 10).u))
  }

  @Test("Ranks that do not fit, NaN and infinity are errors", arguments: [0, -1, 6])
  func badInput(_ rank: Int) {
    #expect(throws: LinearAlgebraError.rankOutOfRange(operation: "randomizedSVD", rank: rank, shape: [5, 9])) {
      try Tensor.ones([5, 9]).randomizedSVD(rank: rank)
    }
    for value in [Float.nan, .infinity] {
      let matrix = Tensor(shape: [2, 3], scalars: [1, 2, 3, 4, value, 6])
      let error = #expect(throws: LinearAlgebraError.self) { try matrix.randomizedSVD(rank: 1) }
      #expect(error?.description.contains("row 1") == true)
    }
  }
}
