import LoRALinearAlgebra
import LoRATensors
import TestSupport
import Testing

@Suite struct DecompositionTests {
  @Test("The singular values of a small matrix are those of hand arithmetic")
  func byHand() throws {
    // A = [3 0; 4 5], AᵀA = [25 20; 20 25] with eigenvalues 45 and 5.
    let a = Tensor(shape: [2, 2], scalars: [3, 0, 4, 5])
    let svd = try a.svd()
    let values = try a.singularValues()
    for (found, expected) in zip(svd.singularValues + values, [45, 5, 45, 5].map { Float($0).squareRoot() }) {
      #expect(abs(found - expected) < 1e-6)
    }
    // The leading right vector is (1, 1)/√2, the left one A v / σ = (3, 9)/√90.
    let (right, left) = (svd.vTransposed[0, 0].magnitude, svd.u[1, 0].magnitude)
    #expect(abs(right - Float(0.5).squareRoot()) < 1e-6)
    #expect(abs(left - 9 / Float(90).squareRoot()) < 1e-6)
    // The columns' Gram-Schmidt: (3, 4)/5, and R = [5 4; 0 3].
    #expect(relativeDifference(try a.qr().r, Tensor(shape: [2, 2], scalars: [5, 4, 0, 3])) < 1e-6)
  }

  @Test("Singular values, rank, pseudo-inverse and R agree with NumPy", arguments: Decomposed.all)
  func numpy(_ expected: Decomposed) throws {
    let a = expected.matrix
    let svd = try a.svd()
    let largest = expected.singularValues[0]
    for values in [svd.singularValues, try a.singularValues(), try a.svd(.full).singularValues] {
      #expect(values.count == expected.singularValues.count)
      for (found, value) in zip(values, expected.singularValues) {
        #expect(abs(Double(found) - value) <= 1e-6 * largest)
      }
    }
    #expect(try a.matrixRank() == expected.rank)
    let inverse = Tensor(shape: expected.shape.reversed(), scalars: expected.pseudoInverse)
    let condition = largest / expected.singularValues[expected.rank - 1]
    #expect(relativeDifference(try a.pseudoInverse(), inverse) < 1e-6 * condition)
    let r = Tensor(shape: [min(expected.shape[0], expected.shape[1]), expected.shape[1]], scalars: expected.r)
    #expect(relativeDifference(try a.qr().r, r) < 2e-6)
  }

  @Test(
    "U S Vᵀ is the matrix, with orthonormal vectors and descending values",
    arguments: Decay.allCases, [[1, 9], [9, 1], [40, 40], [200, 33], [33, 200], [130, 128], [300, 290], [1, 1]])
  func laws(_ decay: Decay, _ shape: [Int]) throws {
    let values = decay.values(min(shape[0], shape[1]))
    let a = try matrix(values, rows: shape[0], columns: shape[1])
    let k = values.count
    let svd = try a.svd()
    #expect(svd.u.shape == [shape[0], k] && svd.vTransposed.shape == [k, shape[1]])
    #expect(zip(svd.singularValues, svd.singularValues.dropFirst()).allSatisfy { $0 >= $1 })
    #expect(svd.singularValues.allSatisfy { $0 >= 0 })
    let scale = Double(max(values[0], 1e-30))
    for (found, value) in zip(svd.singularValues, values) { #expect(abs(Double(found - value)) < 4e-6 * scale) }
    #expect((svd.reconstructed() - a).norm <= 4e-6 * max(a.norm, 1e-30))
    #expect(departureFromOrthonormal(svd.u) < 2e-6 * Double(k).squareRoot() + 2e-6)
    #expect(departureFromOrthonormal(svd.vTransposed.transposed()) < 2e-6 * Double(k).squareRoot() + 2e-6)
    #expect(relativeDifference(Tensor(try a.singularValues()), Tensor(svd.singularValues)) < 2e-6 || decay == .zero)

    let full = try a.svd(.full)
    #expect(full.u.shape == [shape[0], shape[0]] && full.vTransposed.shape == [shape[1], shape[1]])
    #expect(departureFromOrthonormal(full.u) < 4e-6 * Double(shape[0]).squareRoot())
    #expect(departureFromOrthonormal(full.vTransposed) < 4e-6 * Double(shape[1]).squareRoot())
    #expect((full.reconstructed() - a).norm <= 4e-6 * max(a.norm, 1e-30))

    let qr = try a.qr()
    #expect(qr.q.shape == [shape[0], k] && qr.r.shape == [k, shape[1]])
    #expect(departureFromOrthonormal(qr.q) < 2e-6 * Double(k).squareRoot() + 2e-6)
    #expect((qr.q.matmul(qr.r) - a).norm <= 4e-6 * max(a.norm, 1e-30))
    for i in 0..<k {
      #expect(qr.r[i, i] >= 0)
      for j in 0..<i { #expect(qr.r[i, j] == 0) }
    }
  }

  @Test("A power of two on the matrix is one on the singular values, bit for bit", arguments: [-120, -66, 66, 100])
  func scaling(_ exponent: Int) throws {
    let a = try matrix(Decay.exponential.values(12), rows: 30, columns: 12)
    let factor = Float(sign: .plus, exponent: exponent, significand: 1)
    let (plain, scaled) = (try a.svd(), try (a * factor).svd())
    #expect(scaled.singularValues == plain.singularValues.map { $0 * factor } || exponent < -100)
    #expect(relativeDifference(scaled.reconstructed() / factor, a) < 4e-6)
    #expect(relativeDifference(try (a * factor).qr().r / factor, try a.qr().r) < 4e-6)
  }

  @Test(
    "The number of threads does not show in the result, bit for bit",
    arguments: [[512, 384], [300, 300], [900, 200]])
  func threads(_ shape: [Int]) throws {
    var generator = SeededGenerator(seed: 6)
    let a = Tensor.normal(shape, using: &generator)
    let before = Threads.count
    defer { Threads.count = before }
    let results = try [1, 2, 3].map { count in
      Threads.count = count
      return try a.svd()
    }
    for other in results.dropFirst() {
      #expect(other.singularValues == results[0].singularValues)
      #expect(other.u.isIdentical(to: results[0].u))
      #expect(other.vTransposed.isIdentical(to: results[0].vTransposed))
    }
  }

  @Test("The pseudo-inverse satisfies Penrose's equations on a matrix without full rank")
  func penrose() throws {
    let a = try matrix([4, 2, 1], rows: 9, columns: 6)
    let x = try a.pseudoInverse()
    #expect(relativeDifference(a.matmul(x).matmul(a), a) < 1e-5)
    #expect(relativeDifference(x.matmul(a).matmul(x), x) < 1e-5)
    #expect(relativeDifference(a.matmul(x).transposed(), a.matmul(x)) < 1e-5)
    #expect(relativeDifference(x.matmul(a).transposed(), x.matmul(a)) < 1e-5)
    #expect(try Tensor.zeros([3, 2]).pseudoInverse().isIdentical(to: .zeros([2, 3])))
  }

  @Test(
    "The SVD of a product is the SVD of the product formed",
    arguments: [[40, 7, 25], [5, 9, 30], [30, 9, 5], [6, 1, 8]])
  func product(_ shape: [Int]) throws {
    var generator = SeededGenerator(seed: 3)
    let b = Tensor.normal([shape[0], shape[1]], using: &generator)
    let a = Tensor.normal([shape[1], shape[2]], using: &generator)
    let formed = b.matmul(a)
    let found = try svd(ofProduct: b, a)
    let k = shape.min()!
    #expect(found.singularValues.count == k)
    for (x, y) in zip(found.singularValues, try formed.singularValues()) {
      #expect(abs(x - y) < 2e-6 * found.singularValues[0])
    }
    #expect(relativeDifference(found.reconstructed(), formed) < 2e-6)
    #expect(departureFromOrthonormal(found.u) < 1e-5)
    // Scales that would overflow on their own cancel.
    let scaled = try svd(ofProduct: b * 1e-20, a * 1e20)
    #expect(abs(scaled.singularValues[0] / found.singularValues[0] - 1) < 1e-5)
  }

  @Test("Input that can't be decomposed is an error that says where and why")
  func badInput() throws {
    var elements = [Float](repeating: 1, count: 12)
    elements[7] = .nan
    let holdsNaN = Tensor(shape: [3, 4], scalars: elements)
    let error = #expect(throws: LinearAlgebraError.self) { try holdsNaN.svd() }
    #expect(error?.description.contains("row 1, column 3") == true)
    #expect(error?.description.contains("[3, 4]") == true)
    elements[7] = -.infinity
    let holdsInfinity = Tensor(shape: [3, 4], scalars: elements)
    #expect(throws: LinearAlgebraError.self) { try holdsInfinity.singularValues() }
    #expect(throws: LinearAlgebraError.self) { try holdsInfinity.qr() }
    #expect(throws: LinearAlgebraError.notAMatrix(operation: "svd", shape: [0, 3])) { try Tensor.zeros([0, 3]).svd() }
    #expect(throws: LinearAlgebraError.notAMatrix(operation: "qr", shape: [3])) { try Tensor.zeros([3]).qr() }
    #expect(throws: LinearAlgebraError.notAMatrix(operation: "singularValues", shape: [2, 2, 2])) {
      try Tensor.zeros([2, 2, 2]).matrixRank()
    }
    #expect(throws: LinearAlgebraError.self) { try svd(ofProduct: .ones([3, 2]), .ones([3, 4])) }
    #expect(throws: LinearAlgebraError.overflow(operation: "svd", shape: [9, 9])) {
      try Tensor.full([9, 9], 3e38).svd()
    }
  }

  @Test("an operation without a derivative is an error where one is asked for")
  func underivable() {
    let matrix = randomTensor([4, 4], seed: 5)
    #expect(throws: LinearAlgebraError.noDerivative(operation: "svd")) {
      _ = try valueAndGradients(at: [matrix]) { try $0[0].svd().u.squared().sum() }
    }
    #expect(throws: Never.self) {
      _ = try valueAndGradients(at: [matrix]) { try ($0[0] * Float($0[0].detached.svd().u.norm)).sum() }
    }
  }
}
