import LoRAKit

/// The spectra of a file's matrices, one after the other so that no more than one is in memory.
struct SVDMatrixStudy {
  let name: String
  let matrices: [SVDInput.NamedMatrix]
  let skipped: [String]
  let keeping: Keeping?
  let isQuiet: Bool

  /// - Parameter sharing: the processes that share out the matrices; the first one's result is of all.
  func run(among sharing: Sharing = .alone) throws -> SVDResult {
    // Ranks that can't be are found before any work is done.
    if case .ranks = keeping {
      for matrix in matrices {
        let empty = Spectrum(singularValues: [], rows: matrix.shape[0], columns: matrix.shape[1])
        _ = try keeping?.ranks(for: empty, name: "\(name), \(matrix.name)")
      }
    }
    let own = sharing.own(matrices.map(\.count))
    let values = try withProgress("decomposing", unit: "numbers", isQuiet: isQuiet || matrices.count == 1) { progress in
      let counter = ProgressCounter(total: own.reduce(0) { $0 + matrices[$1].count }, progress)
      var found: [Int: [Float]] = [:]
      for index in own {
        let matrix = matrices[index]
        do { found[index] = try matrix.read().singularValues() } catch let error as LinearAlgebraError {
          throw InputError("\(name): \(matrix.name): \(error.description)")
        }
        try counter.advance(by: matrix.count, matrix.name)
      }
      return try sharing.gather(found)
    }
    let summaries = try matrices.indices.compactMap { index in
      let (matrix, spectrum) = (matrices[index], values[index])
      return try spectrum.map {
        try MatrixSummary(
          name: matrix.name,
          spectrum: Spectrum(singularValues: $0, rows: matrix.shape[0], columns: matrix.shape[1]), keeping: keeping)
      }
    }
    return SVDResult(summaries: summaries, report: report(summaries))
  }

  private func table(_ summaries: [MatrixSummary]) -> Table {
    var columns: [Table.Property<MatrixSummary>] = [
      .init("matrix") { .text($0.name) }, .init("shape") { .shape([$0.spectrum.rows, $0.spectrum.columns]) },
      .init("rank") { .count($0.spectrum.numericalRank) },
      .init("stable rank") { .decimal($0.spectrum.stableRank, 1) },
    ]
    for (share, name) in [(0.9, "90%"), (0.99, "99%"), (0.999, "99.9%")] {
      columns.append(.init(name) { .count($0.spectrum.rank(.energy(share))) })
    }
    for (index, label) in (keeping?.labels ?? ["rank 16"]).enumerated() {
      if case .energies = keeping { columns.append(.init("rank for \(label)") { .count($0.truncations[index].rank) }) }
      columns += [
        .init("numbers at \(label)") { .count($0.truncations[index].parameters) },
        .init("of all") {
          .share(Double($0.truncations[index].parameters) / Double($0.spectrum.rows * $0.spectrum.columns))
        },
        .init("error") { .number($0.truncations[index].relativeError) },
      ]
    }
    return Table(of: summaries, columns)
  }

  private func report(_ summaries: [MatrixSummary]) -> Report {
    let count = summaries.reduce(0) { $0 + $1.spectrum.rows * $1.spectrum.columns }
    // A chart holds as many lines as can be told apart.
    let shown = Array(summaries.prefix(64))
    let charts = stride(from: 0, to: shown.count, by: 8).map {
      MatrixSummary.charts(Array(shown[$0..<min($0 + 8, shown.count)]))
    }
    let more = summaries.count > shown.count ? " The spectra of the first \(shown.count) are drawn." : ""
    let leftOut = skipped.isEmpty ? "" : " Tensors left out: \(skipped.joined(separator: "; "))."
    return Report(
      title: "Spectra of \(name)",
      summary: "\(summaries.count.counted("matrix", "matrices")) of \(count.counted("number")) in "
        + "all.\(leftOut)",
      sections: [
        .init(
          "Ranks and errors",
          [
            .table(
              table(summaries),
              caption: "The rank counts singular values above rounding; the stable rank is ‖A‖² in the Frobenius norm "
                + "over ‖A‖² in the spectral norm. The percentages are ranks that keep so much of the energy, the sum "
                + "of squares. The error is relative, in the Frobenius norm; no matrix of the rank has a smaller one.")
          ]),
        .init(
          "Spectra",
          [
            .note("How fast the singular values fall tells how few numbers hold how much of a matrix.\(more)")
          ] + charts),
      ], members: MatrixSummary.members(summaries))
  }
}
