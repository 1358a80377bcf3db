import LoRAKit

/// The spectra of a file's matrices, one after the other so that no more than one is in memory.
struct SVDMatrixStudy {
  let name: String
  let matrices: [SVDInput.NamedMatrix]
  let skipped: [String]
  let keeping: Keeping?
  let isQuiet: Bool

  func run() throws -> SVDResult {
    let total = matrices.reduce(0) { $0 + $1.shape.reduce(1, *) }
    let bar = ProgressBar("decomposing", total: total, unit: " numbers", isQuiet: isQuiet || matrices.count == 1)
    // Ranks that can't be are found before any work is done.
    if case .ranks = keeping {
      for matrix in matrices {
        let empty = Spectrum(singularValues: [], rows: matrix.shape[0], columns: matrix.shape[1])
        _ = try keeping?.ranks(for: empty, name: "\(name), \(matrix.name)")
      }
    }
    let summaries = try matrices.map { matrix in
      let spectrum: Spectrum
      do { spectrum = try matrix.read().spectrum() } catch let error as LinearAlgebraError {
        bar.abandon()
        throw InputError("\(name): \(matrix.name): \(error.description)")
      }
      bar.advance(by: matrix.shape.reduce(1, *), note: matrix.name)
      return try MatrixSummary(name: matrix.name, spectrum: spectrum, keeping: keeping)
    }
    bar.finish()
    let table = table(summaries)
    let note = skipped.isEmpty ? "" : "\n\nTensors left out: \(skipped.joined(separator: "; "))."
    return SVDResult(
      text: table.plainText + note, json: .init(matrices: summaries), report: report(summaries, table: table))
  }

  private func table(_ summaries: [MatrixSummary]) -> Table {
    let labels = keeping?.labels ?? ["rank 16"]
    var columns: [Table.Column] = [.text("matrix"), "shape", "rank", "stable rank", "90%", "99%", "99.9%"]
    for label in labels {
      if case .energies = keeping { columns.append(.init("rank for \(label)")) }
      columns += [.init("numbers at \(label)"), "error"]
    }
    let rows = summaries.map { summary in
      let spectrum = summary.spectrum
      var row = [
        summary.name, "\(spectrum.rows)×\(spectrum.columns)", "\(spectrum.numericalRank)",
        fixed(spectrum.stableRank, 1),
      ]
      row += [0.9, 0.99, 0.999].map { "\(spectrum.rank(.energy($0)))" }
      for truncation in summary.truncations {
        if case .energies = keeping { row.append("\(truncation.rank)") }
        let share = 100 * Double(truncation.parameters) / Double(spectrum.rows * spectrum.columns)
        row += ["\(grouped(truncation.parameters)) (\(fixed(share, 1))%)", shortText(truncation.relativeError)]
      }
      return row
    }
    return Table(columns: columns, rows: rows)
  }

  private func report(_ summaries: [MatrixSummary], table: Table) -> Report {
    let count = summaries.reduce(0) { $0 + $1.spectrum.rows * $1.spectrum.columns }
    return Report(
      title: "Spectra of \(name)",
      summary: "\(summaries.count == 1 ? "One matrix" : "\(summaries.count) matrices") of \(grouped(count)) numbers in "
        + "all. How fast the singular values fall tells how few numbers hold how much of a matrix.",
      sections: [
        .init(
          "Ranks and errors",
          [
            .figure(
              table,
              caption: "The rank counts singular values above rounding; the stable rank is ‖A‖² in the Frobenius norm "
                + "over ‖A‖² in the spectral norm. The percentages are ranks that keep so much of the energy, the sum "
                + "of squares. The error is relative, in the Frobenius norm; no matrix of the rank has a smaller one.")
          ])
      ]
        + summaries.map { summary in
          .init(
            summary.name,
            [
              .row([
                summary.spectrum.chart(title: "Singular values"),
                summary.spectrum.energyChart(title: "Energy kept"),
              ])
            ])
        },
      footer: "Made by lora svd.")
  }
}
