import LoRAKit

/// A picture rebuilt from few singular values, each channel of colour a matrix of its own.
struct SVDPictureStudy {
  let name: String
  let picture: Picture
  let keeping: Keeping

  /// The picture at one choice of ranks.
  private struct Rebuilt {
    let label: String
    let ranks: [Int]
    let picture: Picture
    /// Numbers in all factors.
    let parameters: Int
    /// ‖A − A_r‖_F / ‖A‖_F over all channels together.
    let relativeError: Double
  }

  func run(writesPictures: Bool) throws -> SVDResult {
    let channels = picture.matrices
    let names = channels.count == 1 ? ["grey"] : ["red", "green", "blue"]
    let shape = Spectrum(singularValues: [], rows: picture.height, columns: picture.width)
    _ = try keeping.ranks(for: shape, name: name)
    let decompositions = try channels.map { try $0.svd() }
    let summaries = try zip(names, decompositions).map { name, svd in
      try MatrixSummary(name: name, spectrum: svd.spectrum, keeping: keeping)
    }
    let rebuilt = keeping.labels.indices.map { choice in
      rebuild(choice, decompositions, summaries)
    }
    let table = table(rebuilt)
    return SVDResult(
      text: "\(name): \(picture.width) × \(picture.height), \(names.joined(separator: ", ")), "
        + "\(grouped(pixelCount)) numbers\n\n" + table.plainText,
      json: .init(matrices: summaries),
      report: Report(
        title: "\(name) in few numbers", summary: Self.summary, sections: sections(summaries, rebuilt, table: table),
        footer: "Made by lora svd."),
      pictures: writesPictures
        ? zip(keeping.fileLabels, rebuilt).map { ("\(name)-\($0).png", $1.picture) } : [])
  }

  static let summary =
    "Each channel of a picture is a matrix. Its largest singular values hold what the eye sees first; the more are kept, "
    + "the more detail returns."

  private var pixelCount: Int { picture.width * picture.height * (picture.channels == 1 ? 1 : 3) }

  private func rebuild(
    _ choice: Int, _ decompositions: [SingularValueDecomposition], _ summaries: [MatrixSummary]
  ) -> Rebuilt {
    let truncations = summaries.map { $0.truncations[choice] }
    let ranks = truncations.map(\.rank)
    let lost = zip(summaries, ranks).reduce(0) { $0 + $1.0.spectrum.tailEnergy(from: $1.1) }
    let total = summaries.reduce(0) { $0 + $1.spectrum.tailEnergy(from: 0) }
    return Rebuilt(
      label: keeping.labels[choice], ranks: ranks,
      picture: Picture(matrices: zip(decompositions, ranks).map { $0.truncated(to: $1).reconstructed() }),
      parameters: truncations.reduce(0) { $0 + $1.parameters },
      relativeError: total > 0 ? (lost / total).squareRoot() : 0)
  }

  private func table(_ rebuilt: [Rebuilt]) -> Table {
    Table(
      columns: [.text("kept"), "rank", "numbers", "of the picture", "relative error", "energy kept"],
      rows: rebuilt.map { rebuilt in
        let ranks =
          Set(rebuilt.ranks).count == 1 ? "\(rebuilt.ranks[0])" : rebuilt.ranks.map(String.init).joined(separator: ", ")
        return [
          rebuilt.label, ranks, grouped(rebuilt.parameters),
          "\(fixed(100 * Double(rebuilt.parameters) / Double(pixelCount), 1))%", fixed(rebuilt.relativeError, 4),
          "\(fixed(100 * (1 - rebuilt.relativeError * rebuilt.relativeError), 2))%",
        ]
      })
  }

  private func sections(_ summaries: [MatrixSummary], _ rebuilt: [Rebuilt], table: Table) -> [Report.Section] {
    let original = ImageGrid.Tile(picture, captions: [.init("original"), .init("\(grouped(pixelCount)) numbers")])
    let tiles = rebuilt.map { rebuilt in
      ImageGrid.Tile(
        rebuilt.picture,
        captions: [
          .init(rebuilt.label),
          .init("\(grouped(rebuilt.parameters)) numbers, error \(fixed(100 * rebuilt.relativeError, 1))%"),
        ])
    }
    return [
      .init(
        "Side by side",
        [
          .figure(ImageGrid(title: "", tiles: tiles + [original], tileWidth: 400)),
          .figure(
            table,
            caption: "The numbers of rank r in one channel are r (width + height). The error is relative, in the "
              + "Frobenius norm; no matrix of the rank has a smaller one."),
        ])
    ]
      + summaries.map { summary in
        .init(
          summaries.count == 1 ? "The spectrum" : "The spectrum of \(summary.name)",
          [
            .row([
              summary.spectrum.chart(title: "Singular values"), summary.spectrum.energyChart(title: "Energy kept"),
            ])
          ])
      }
  }
}
