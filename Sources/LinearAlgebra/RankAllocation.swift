import LoRATensors

/// A rank for each of many matrices under one budget, so that the least energy is lost in total.
///
/// ```swift
/// let allocation = RankAllocation(spectra: spectra, parameterBudget: 1_000_000)
/// allocation.ranks           // one for each spectrum
/// allocation.energyKept      // of the sum of all squared norms
/// ```
///
/// Raising matrix i from rank j − 1 to j costs rowsᵢ + columnsᵢ numbers and saves σᵢⱼ² of squared error. Within a
/// matrix the saving never grows with j and the cost stays the same, so taking all steps in the order of saving per
/// number respects the order within each matrix, and each prefix of that order is the best choice for what it costs:
/// whatever is exchanged for steps outside it saves no more per number. A budget between two prefixes leaves a
/// remainder, which the following steps fill as far as they fit. So the result is optimal at every prefix, and always
/// when all steps cost the same; otherwise it loses less than what the first step that did not fit would have saved
/// (Dantzig's bound for the knapsack problem, Operations Research 5, 1957).
public struct RankAllocation: Sendable, Equatable {
  /// The rank of each matrix, in the order of the spectra.
  public let ranks: [Int]
  /// The numbers in all factors: Σ rᵢ (rowsᵢ + columnsᵢ).
  public let parameterCount: Int
  /// The squared Frobenius error, summed over the matrices.
  public let lostEnergy: Double
  /// The share of Σ ‖Aᵢ‖_F² that is kept, in 0...1.
  public let energyKept: Double

  /// - Parameters:
  ///   - spectra: one for each matrix.
  ///   - parameterBudget: the most numbers in all factors together.
  ///   - weights: What each matrix's energy counts (default 1); 1/‖Aᵢ‖_F² lets relative errors count alike.
  public init(spectra: [Spectrum], parameterBudget: Int, weights: [Double]? = nil) {
    expect(parameterBudget >= 0, "RankAllocation: a budget of \(parameterBudget) parameters is negative")
    expect(
      (weights ?? []).count == (weights == nil ? 0 : spectra.count),
      "RankAllocation: \(weights?.count ?? 0) weights for \(spectra.count) spectra")
    var steps: [(matrix: Int, cost: Int, savingPerNumber: Double)] = []
    for (matrix, spectrum) in spectra.enumerated() {
      let cost = spectrum.rows + spectrum.columns
      for value in spectrum.singularValues where value > 0 {
        let saving = (weights?[matrix] ?? 1) * Double(value) * Double(value)
        steps.append((matrix, cost, saving / Double(cost)))
      }
    }
    // Ties keep their order (by matrix, then by size), so the answer does not depend on the sort.
    let order = steps.indices.sorted {
      steps[$0].savingPerNumber != steps[$1].savingPerNumber
        ? steps[$0].savingPerNumber > steps[$1].savingPerNumber : $0 < $1
    }
    var ranks = Array(repeating: 0, count: spectra.count)
    var remaining = parameterBudget
    for index in order where steps[index].cost <= remaining {
      remaining -= steps[index].cost
      ranks[steps[index].matrix] += 1
    }
    self.ranks = ranks
    parameterCount = parameterBudget - remaining
    let lost = zip(spectra, ranks).reduce(0) { $0 + $1.0.tailEnergy(from: $1.1) }
    let total = spectra.reduce(0) { $0 + $1.tailEnergy(from: 0) }
    lostEnergy = lost
    energyKept = total > 0 ? (total - lost) / total : 1
  }

  /// The same with a budget in bytes, at `bytesPerParameter` (4 for float32, 2 for bfloat16).
  public init(spectra: [Spectrum], byteBudget: Int, bytesPerParameter: Int, weights: [Double]? = nil) {
    expect(bytesPerParameter > 0, "RankAllocation: \(bytesPerParameter) bytes for a parameter")
    self.init(spectra: spectra, parameterBudget: byteBudget / bytesPerParameter, weights: weights)
  }
}
