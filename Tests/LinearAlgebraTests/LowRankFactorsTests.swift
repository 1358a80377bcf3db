import LoRALinearAlgebra
import LoRATensors
import Testing

@Suite struct LowRankFactorsTests {
  @Test(
    "No other factors of the same rank come nearer than the truncated decomposition (Eckart and Young)",
    arguments: Decay.allCases)
  func eckartYoung(_ decay: Decay) throws {
    let a = try matrix(decay.values(20), rows: 31, columns: 20)
    let best = try a.svd().truncated(to: 4)
    let measured = (a - best.reconstructed()).norm
    #expect(abs(measured - best.error.frobenius) <= 1e-5 * max(a.norm, 1e-30))
    var generator = SeededGenerator(seed: 11)
    for trial in 0..<20 {
      // Rivals: projections on random subspaces, and small turns of the best one.
      let turn = Tensor.normal([31, 4], deviation: trial % 2 == 0 ? 1 : 0.02, using: &generator)
      let basis = try (trial % 2 == 0 ? turn : best.u + turn).qr().q
      let rival = basis.matmul(basis.matmul(a, transposeSelf: true))
      #expect((a - rival).norm >= measured - 1e-5 * a.norm)
    }
  }

  @Test("Errors follow from the values that were dropped")
  func errors() throws {
    // Values 4, 2, 2, 1 cut to rank 2: ‖·‖_F = √(4 + 1), ‖·‖₂ = 2, kept (16 + 4)/25.
    let a = try matrix([4, 2, 2, 1], rows: 7, columns: 5)
    let factors = try a.svd().truncated(to: 2)
    #expect(factors.rank == 2 && factors.parameterCount == 24)
    #expect(abs(factors.error.frobenius - 5.0.squareRoot()) < 1e-5)
    #expect(abs(factors.error.spectral - 2) < 1e-5)
    #expect(abs(factors.energyKept - 0.8) < 1e-5)
    #expect(abs(factors.relativeFrobeniusError - 0.2.squareRoot()) < 1e-5)
    #expect(abs(factors.relativeSpectralError - 0.5) < 1e-5)
    #expect(abs(factors.relativeFrobeniusError(against: a) - 0.2.squareRoot()) < 1e-5)
    #expect(!factors.error.isEstimate)
    // In two steps as in one.
    let again = try a.svd().truncated(to: 3).truncated(to: 2)
    #expect(abs(again.error.frobenius - factors.error.frobenius) < 1e-6)
  }

  @Test("Both pairs of factors multiply to the approximation")
  func pairs() throws {
    let a = try matrix([4, 2, 2, 1], rows: 7, columns: 5)
    let factors = try a.svd().truncated(to: 3)
    let (b, balancedA) = factors.balanced()
    #expect(b.shape == [7, 3] && balancedA.shape == [3, 5])
    #expect(relativeDifference(b.matmul(balancedA), factors.reconstructed()) < 1e-6)
    #expect(abs(b.norm / balancedA.norm - 1) < 1e-6)
    let (left, right) = factors.left()
    #expect(relativeDifference(left.matmul(right), factors.reconstructed()) < 1e-6)
    #expect(departureFromOrthonormal(right.transposed()) < 1e-6)
  }

  @Test("Rank 0 is a matrix of zeros with all of the error")
  func nothing() throws {
    let a = try matrix([3, 4].sorted(by: >), rows: 3, columns: 2)
    let none = try a.svd().truncated(to: 0)
    #expect(none.reconstructed().isIdentical(to: .zeros([3, 2])))
    #expect(abs(none.error.frobenius - 5) < 1e-5 && none.relativeFrobeniusError == 1 && none.energyKept == 0)
    let (b, right) = none.balanced()
    #expect(b.shape == [3, 0] && right.shape == [0, 2])
    let zero = try Tensor.zeros([4, 3]).svd().truncated(by: .energy(0.9))
    #expect(zero.rank == 0 && zero.relativeFrobeniusError == 0)
  }
}
