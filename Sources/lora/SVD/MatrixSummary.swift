import LoRAKit

/// How much of each matrix is kept.
enum Keeping {
  case ranks([Int])
  /// Shares of the sum of squares, each by the smallest rank that keeps it.
  case energies([Double])

  /// The ranks for one matrix.
  /// - Throws: `InputError` where a rank is above the matrix's smaller side.
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
struct MatrixSummary {
  let name: String
  let spectrum: Spectrum
  /// One for each choice asked for, in their order.
  let truncations: [Truncation]

  struct Truncation {
    let rank: Int
    /// Of the two factors.
    let parameters: Int
    let relativeError: Double
    let energyKept: Double

    fileprivate var members: [JSON.Member] {
      [
        .init("rank", .integer(rank)), .init("parameters", .integer(parameters)),
        .init("relative_error", .number(relativeError)),
      ]
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

  /// The first choice stands at the top too, for those who ask for one.
  private var json: JSON {
    .object(
      [
        .init("name", .string(name)), .init("shape", [.integer(spectrum.rows), .integer(spectrum.columns)]),
        .init("singular_values", .array(spectrum.singularValues.map { JSON($0) })),
        .init("numerical_rank", .integer(spectrum.numericalRank)), .init("stable_rank", .number(spectrum.stableRank)),
      ]
        + [(0.9, "90"), (0.99, "99"), (0.999, "99_9")].map { share, name in
          .init("rank_for_energy_\(name)", .integer(spectrum.rank(.energy(share))))
        } + truncations[0].members + [
          .init(
            "truncations",
            .array(truncations.map { .object($0.members + [.init("energy_kept", .number($0.energyKept))]) }))
        ])
  }

  static func members(_ summaries: [MatrixSummary]) -> [JSON.Member] {
    [.init("matrices", .array(summaries.map(\.json)))]
  }

  // MARK: Charts

  /// The values themselves, on a logarithmic axis, and the energy kept at each rank, a line for each matrix.
  static func charts(_ summaries: [MatrixSummary], tints: [Int] = []) -> Report.Block {
    func series(_ value: (MatrixSummary) -> (Int) -> Double) -> [LineChart.Series] {
      summaries.enumerated().map { index, summary in
        .init(
          summaries.count == 1 ? "" : summary.name, points: summary.points(value(summary)),
          tint: tints.isEmpty ? nil : tints[index])
      }
    }
    return .row([
      LineChart(
        title: "Singular values", series: series { summary in { Double(summary.spectrum.singularValues[$0]) } },
        xLabel: "index", yLabel: "singular value", yScale: .logarithmic, width: 480, height: 300),
      LineChart(
        title: "Energy kept",
        series: series { summary in
          let energy = summary.spectrum.cumulativeEnergy
          return { energy[$0 + 1] }
        }, xLabel: "rank", yLabel: "share of the energy kept", width: 480, height: 300),
    ])
  }

  /// At most 256 points, the first ones all of them; values that are zero to rounding are left out.
  private func points(_ value: (Int) -> Double) -> [(x: Double, y: Double)] {
    let count = max(spectrum.numericalRank, 1)
    var (points, index) = ([(x: Double, y: Double)](), 0)
    while index < count {
      points.append((Double(index + 1), value(index)))
      index += max(1, count / 192, index >= 64 ? count / 128 : 1)
    }
    if let last = points.last, last.x < Double(count) { points.append((Double(count), value(count - 1))) }
    return points
  }
}
