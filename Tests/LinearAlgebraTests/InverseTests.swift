import LoRALinearAlgebra
import LoRATensors
import Testing

private func random(_ shape: [Int], _ seed: UInt64) -> Tensor {
  var generator = SeededGenerator(seed: seed)
  return .normal(shape, using: &generator)
}

/// Well-conditioned: random plus a multiple of the identity.
private func regular(_ n: Int, _ seed: UInt64) -> Tensor { random([n, n], seed) + .identity(n) * 4 }

@Suite("Equations and inverses")
struct InverseTests {
  @Test("the solution solves, for vectors and matrices, small and extreme", arguments: [1, 2, 7, 65])
  func solving(n: Int) throws {
    let a = random([n, n], 1) + .identity(n) * Float(n)
    let b = random([n, 3], 2)
    #expect(try a.matmul(a.solve(b)).isClose(to: b, tolerance: 1e-5))
    let x = try a.solve(b.sliced(axis: 1, 0..<1).reshaped([n]))
    #expect(try x.shape == [n] && x.isClose(to: a.solve(b).sliced(axis: 1, 0..<1).reshaped([n]), tolerance: 1e-5))
    #expect(try (a * 1e30).solve(b * 1e30).isClose(to: a.solve(b), tolerance: 1e-5))
    #expect(try a.matmul(a.inverse()).isClose(to: .identity(n), tolerance: 1e-5))
  }

  @Test("by hand: [2 1; 1 3] x = (3, 5) has x = (4/5, 7/5)")
  func byHand() throws {
    let a = Tensor([[2, 1], [1, 3]])
    #expect(try a.solve(Tensor([3, 5])).isClose(to: Tensor([0.8, 1.4]), tolerance: 1e-6))
    #expect(try a.inverse().isClose(to: Tensor([[0.6, -0.2], [-0.2, 0.4]]), tolerance: 1e-6))
  }

  @Test("derivatives of solve and inverse agree with finite differences")
  func derivatives() throws {
    let check = try GradientCheck(at: [regular(4, 1), random([4, 2], 2)]) { try $0[0].solve($0[1]) }
    #expect(check.largestDeviation < 2e-3)
    #expect(try GradientCheck(at: [regular(3, 3), random([3], 4)]) { try $0[0].solve($0[1]) }.largestDeviation < 2e-3)
    #expect(try GradientCheck(at: [regular(4, 5)]) { try $0[0].inverse() }.largestDeviation < 2e-3)
    // Only what is asked for.
    let a = regular(3, 6)
    #expect(try GradientCheck(at: [random([3, 2], 7)]) { try a.solve($0[0]) }.largestDeviation < 2e-3)
  }

  @Test(
    "the pseudoinverse's derivative agrees with finite differences: tall, wide, square",
    arguments: [
      [5, 3], [3, 5], [4, 4],
    ])
  func pseudoInverse(shape: [Int]) throws {
    // Singular values of some size: random numbers, and 4 on the diagonal.
    let diagonal = (0..<shape[0] * shape[1]).map { Float($0 / shape[1] == $0 % shape[1] ? 4 : 0) }
    let a = random(shape, 8) + Tensor(shape: shape, scalars: diagonal)
    #expect(try GradientCheck(at: [a]) { try $0[0].pseudoInverse() }.largestDeviation < 2e-3)
  }

  @Test("of a matrix whose rank stays below its sides, the derivative holds where the rank is kept")
  func deficient() throws {
    // A = B C is of rank 2 whatever B and C are: the gradient at them is one along which the rank stays.
    let (b, c) = (random([5, 2], 9), random([2, 4], 10))
    let check = try GradientCheck(at: [b, c]) { try $0[0].matmul($0[1]).pseudoInverse(relativeTolerance: 1e-3) }
    #expect(check.largestDeviation < 5e-3)
  }

  @Test("what has no solution is an error that says so")
  func errors() throws {
    let singular = Tensor([[1, 2], [2, 4]])
    #expect(throws: LinearAlgebraError.singular(operation: "solve", shape: [2, 2])) {
      _ = try singular.solve(Tensor([1, 2]))
    }
    #expect(throws: LinearAlgebraError.singular(operation: "inverse", shape: [2, 2])) {
      _ = try Tensor([[1, 1], [1, 1 + Float.ulpOfOne]]).inverse()
    }
    #expect(throws: LinearAlgebraError.notSquare(operation: "inverse", shape: [2, 3])) {
      _ = try Tensor.ones([2, 3]).inverse()
    }
    #expect(throws: LinearAlgebraError.shapesDoNotMatch(operation: "solve", left: [2, 2], right: [3])) {
      _ = try Tensor.identity(2).solve(Tensor([1, 2, 3]))
    }
    #expect(throws: LinearAlgebraError.self) { _ = try Tensor.identity(2).solve(Tensor([1, .nan])) }
    #expect(throws: LinearAlgebraError.self) { _ = try Tensor([[1, .infinity], [0, 1]]).inverse() }
  }
}
