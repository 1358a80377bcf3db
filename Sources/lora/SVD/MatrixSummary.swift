import LoRAKit

/// How much of each matrix is kept.
enum Keeping {
  case ranks([Int])
  /// Shares of the sum of squares, each by the smallest rank that keeps it.
  case energies([Double])

  /// The ranks for one matrix.
  /// - Throws: `SVDInputError` where a rank is above the matrix's smaller side.
  func ranks(for spectrum: Spectrum, name: String) throws -> [Int] {
    switch self {
    case .ranks(let ranks):
      let most = min(spectrum.rows, spectrum.columns)
      if let tooHigh = ranks.first(where: { $0 > most }) {
        throw InputError(
          "\(name): rank \(tooHigh) is above the smaller side of shape [\(spectrum.rows), \(spectrum.columns)]; "
            + "at most \(most) is possible")
      }
      return ranks
    case .energies(let shares): return shares.map { spectrum.rank(.energy($0)) }
    }
  }

  /// A name for each choice: "rank 5", "99%".
  var labels: [String] {
    switch self {
    case .ranks(let ranks): ranks.map { "rank \($0)" }
    case .energies(let shares): shares.map { "\(shortText(100 * $0))%" }
    }
  }

  /// The same for file names: "rank-5", "energy-0.99".
  var fileLabels: [String] {
    switch self {
    case .ranks(let ranks): ranks.map { "rank-\($0)" }
    case .energies(let shares): shares.map { "energy-\($0)" }
    }
  }
}

/// Everything that is reported of one matrix.
struct MatrixSummary: Encodable {
  let name: String
  let spectrum: Spectrum
  /// One for each choice asked for, in their order.
  let truncations: [Truncation]

  struct Truncation: Encodable {
    let rank: Int
    /// Of the two factors.
    let parameters: Int
    let relativeError: Double
    let energyKept: Double

    enum CodingKeys: String, CodingKey {
      case rank, parameters
      case relativeError = "relative_error"
      case energyKept = "energy_kept"
    }
  }

  /// - Parameter keeping: `nil` keeps 16, or all there are.
  init(name: String, spectrum: Spectrum, keeping: Keeping?) throws {
    self.name = name
    self.spectrum = spectrum
    let keeping = keeping ?? .ranks([min(16, spectrum.rows, spectrum.columns)])
    truncations = try keeping.ranks(for: spectrum, name: name).map { rank in
      Truncation(
        rank: rank, parameters: spectrum.parameterCount(atRank: rank),
        relativeError: spectrum.relativeError(atRank: rank), energyKept: spectrum.energyKept(atRank: rank))
    }
  }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(name, forKey: .name)
    try container.encode([spectrum.rows, spectrum.columns], forKey: .shape)
    try container.encode(spectrum.singularValues, forKey: .singularValues)
    try container.encode(spectrum.numericalRank, forKey: .numericalRank)
    try container.encode(spectrum.stableRank, forKey: .stableRank)
    for (share, key) in Self.energyRanks { try container.encode(spectrum.rank(.energy(share)), forKey: key) }
    // The first choice stands at the top, for those who ask for one.
    try container.encode(truncations[0].rank, forKey: .rank)
    try container.encode(truncations[0].parameters, forKey: .parameters)
    try container.encode(truncations[0].relativeError, forKey: .relativeError)
    try container.encode(truncations, forKey: .truncations)
  }

  private static let energyRanks: [(Double, CodingKeys)] = [
    (0.9, .rank90), (0.99, .rank99), (0.999, .rank999),
  ]

  private enum CodingKeys: String, CodingKey {
    case name, shape, rank, parameters, truncations
    case singularValues = "singular_values"
    case numericalRank = "numerical_rank"
    case stableRank = "stable_rank"
    case rank90 = "rank_for_energy_90"
    case rank99 = "rank_for_energy_99"
    case rank999 = "rank_for_energy_99_9"
    case relativeError = "relative_error"
  }
}

extension Spectrum {
  /// A chart of the values themselves, on a logarithmic axis; values that are zero to rounding are left out.
  func chart(title: String, width: Double = 480, height: Double = 300) -> LineChart {
    LineChart(
      title: title, series: [.init("σ", points: points { Double(singularValues[$0]) })], xLabel: "index",
      yLabel: "singular value", yScale: .logarithmic, width: width, height: height)
  }

  /// A chart of the energy kept at each rank.
  func energyChart(title: String, width: Double = 480, height: Double = 300) -> LineChart {
    let energy = cumulativeEnergy
    return LineChart(
      title: title, series: [.init("energy", points: points { energy[$0 + 1] })], xLabel: "rank",
      yLabel: "share of the energy kept", width: width, height: height)
  }

  /// At most 256 points, the first ones all of them.
  private func points(_ value: (Int) -> Double) -> [(x: Double, y: Double)] {
    let count = max(numericalRank, 1)
    var (points, index) = ([(x: Double, y: Double)](), 0)
    while index < count {
      points.append((Double(index + 1), value(index)))
      index += max(1, count / 192, index >= 64 ? count / 128 : 1)
    }
    if let last = points.last, last.x < Double(count) { points.append((Double(count), value(count - 1))) }
    return points
  }
}
