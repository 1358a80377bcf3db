import LoRALinearAlgebra
import LoRATensors
import Testing

@Suite struct RankSelectionTests {
  // Σσ = 10, Σσ² = 30.
  let spectrum = Spectrum(singularValues: [4, 3, 2, 1], rows: 4, columns: 6)

  @Test(
    "Each rule keeps as many values as hand arithmetic says",
    arguments: [
      (RankSelection.fixed(3), 3), (.fixed(9), 4), (.fixed(0), 0),
      (.energy(0), 0), (.energy(0.5), 1), (.energy(16 / 30), 1), (.energy(0.54), 2), (.energy(0.9), 3), (.energy(1), 4),
      (.sum(0.4), 1), (.sum(0.41), 2), (.sum(0.9), 3), (.sum(1), 4),
      (.ratioToLargest(0.5), 3), (.ratioToLargest(0.51), 2), (.ratioToLargest(1), 1),
      (.tolerance(2), 3), (.tolerance(5), 0),
    ])
  func rules(_ selection: RankSelection, _ expected: Int) {
    #expect(spectrum.rank(selection) == expected)
  }

  @Test("Nothing is kept of a matrix of zeros, and a share of one drops exact zeros only")
  func zeros() {
    let zero = Spectrum(singularValues: [], rows: 3, columns: 4)
    #expect(zero.singularValues == [0, 0, 0])
    for rule: RankSelection in [.energy(1), .sum(1), .ratioToLargest(0), .tolerance(0), .optimalHardThreshold()] {
      #expect(zero.rank(rule) == 0)
    }
    #expect(Spectrum(singularValues: [1, 1e-30, 0], rows: 3, columns: 3).rank(.sum(1)) == 2)
    #expect(zero.stableRank == 0 && zero.relativeError(atRank: 0) == 0 && zero.energyKept(atRank: 0) == 1)
  }

  @Test("Norms and errors of a spectrum are those of hand arithmetic")
  func measures() {
    #expect(spectrum.nuclearNorm == 10 && spectrum.tailEnergy(from: 0) == 30 && spectrum.spectralNorm == 4)
    #expect(spectrum.stableRank == 30.0 / 16)
    #expect(spectrum.relativeError(atRank: 2) == (5.0 / 30).squareRoot())
    let cumulative: [Double] = [0, 16.0 / 30, 25.0 / 30, 29.0 / 30, 1]
    #expect(spectrum.cumulativeEnergy == cumulative)
    #expect(spectrum.parameterCount(atRank: 2) == 20)
  }

  @Test("The optimal hard threshold is 4/√3 for a square matrix of known noise, and 2.858 medians otherwise")
  func thresholdConstants() {
    let square = Spectrum(singularValues: [Float](repeating: 1, count: 100), rows: 100, columns: 100)
    #expect(abs(square.optimalHardThreshold(noise: 0.1) - 4 / 3.0.squareRoot()) < 1e-12)
    #expect(abs(square.optimalHardThreshold() - 2.85836) < 1e-5)
    // The paper's approximation ω(β) ≈ 0.56β³ − 0.95β² + 1.82β + 1.43, accurate to 0.02.
    for columns in [200, 400, 1000] {
      let beta = 100 / Double(columns)
      let wide = Spectrum(singularValues: square.singularValues, rows: 100, columns: columns)
      let tall = Spectrum(singularValues: square.singularValues, rows: columns, columns: 100)
      let published: Double = ((0.56 * beta - 0.95) * beta + 1.82) * beta + 1.43
      #expect(abs(wide.optimalHardThreshold() - published) < 0.02)
      #expect(wide.optimalHardThreshold() == tall.optimalHardThreshold())
    }
  }

  @Test("The optimal hard threshold finds the rank beneath the noise", arguments: [nil, 0.05])
  func thresholdFindsRank(_ noise: Double?) throws {
    var generator = SeededGenerator(seed: 5)
    let signal = try matrix([9, 8, 7, 6, 5], rows: 160, columns: 120)
    let noisy = signal + .normal([160, 120], deviation: 0.05, using: &generator)
    #expect(try noisy.spectrum().rank(.optimalHardThreshold(noise: noise)) == 5)
    #expect(try noisy.matrixRank() == 120)
  }

  @Test("The allocation loses no more than any other of the same cost, found by trying all of them")
  func allocation() {
    let spectra = [
      Spectrum(singularValues: [5, 3, 1], rows: 4, columns: 3),
      Spectrum(singularValues: [4, 4, 0.5], rows: 3, columns: 4),
      Spectrum(singularValues: [6, 2], rows: 2, columns: 5),
    ]
    for budget in 0...70 {
      let found = RankAllocation(spectra: spectra, parameterBudget: budget)
      #expect(found.parameterCount <= budget)
      var best = Double.infinity
      for i in 0...3 {
        for j in 0...3 {
          for k in 0...2 where 7 * (i + j + k) <= budget {
            best = min(
              best, spectra[0].tailEnergy(from: i) + spectra[1].tailEnergy(from: j) + spectra[2].tailEnergy(from: k))
          }
        }
      }
      #expect(abs(found.lostEnergy - best) < 1e-9)
    }
    let all = RankAllocation(spectra: spectra, byteBudget: 4 * 56, bytesPerParameter: 4)
    #expect(all.ranks == [3, 3, 2] && all.energyKept == 1)
  }

  @Test("With unequal costs the allocation stays within the step that did not fit")
  func unequalCosts() {
    let spectra = [
      Spectrum(singularValues: [5, 4, 3, 2], rows: 4, columns: 20),
      Spectrum(singularValues: [4, 3.5, 1, 0.1], rows: 4, columns: 5),
    ]
    for budget in 0...140 {
      let found = RankAllocation(spectra: spectra, parameterBudget: budget)
      var best = Double.infinity
      for i in 0...4 {
        for j in 0...4 where 24 * i + 9 * j <= budget {
          best = min(best, spectra[0].tailEnergy(from: i) + spectra[1].tailEnergy(from: j))
        }
      }
      #expect(found.parameterCount <= budget)
      #expect(found.lostEnergy <= best + 25)
      #expect(zip(found.ranks, [4, 4]).allSatisfy { $0 <= $1 })
    }
    // Weights turn the order around.
    let weighted = RankAllocation(spectra: spectra, parameterBudget: 24, weights: [1, 0])
    #expect(weighted.ranks == [1, 0])
  }
}
