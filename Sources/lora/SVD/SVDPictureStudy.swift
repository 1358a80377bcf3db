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
    return SVDResult(
      summaries: summaries,
      report: Report(
        title: "The picture \(name) in few numbers",
        summary: "\(name): \(picture.width) × \(picture.height), \(names.joined(separator: ", ")), "
          + "\(pixelCount.counted("number")).",
        sections: sections(summaries, rebuilt), members: MatrixSummary.members(summaries)),
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
      of: rebuilt,
      [
        .init("kept") { .text($0.label) },
        .init("rank") { rebuilt in
          Set(rebuilt.ranks).count == 1 ? .count(rebuilt.ranks[0]) : .list(rebuilt.ranks.map { .count($0) })
        },
        .init("numbers") { .count($0.parameters) },
        .init("of the picture") { .share(Double($0.parameters) / Double(pixelCount)) },
        .init("relative error") { .share($0.relativeError) },
        .init("energy kept") { .share(1 - $0.relativeError * $0.relativeError) },
      ])
  }

  private func sections(_ summaries: [MatrixSummary], _ rebuilt: [Rebuilt]) -> [Report.Section] {
    let original = ImageGrid.Tile(picture, captions: [.init("original"), .init(pixelCount.counted("number"))])
    let tiles = rebuilt.map { rebuilt in
      ImageGrid.Tile(
        rebuilt.picture,
        captions: [
          .init(rebuilt.label),
          .init(
            "\(rebuilt.parameters.counted("number")), error \(Report.Value.share(rebuilt.relativeError).text)"),
        ])
    }
    return [
      .init(
        "Side by side",
        [
          .note(Self.summary), .figure(ImageGrid(title: "", tiles: tiles + [original], tileWidth: 400)),
          .table(
            table(rebuilt),
            caption: "The numbers of rank r in one channel are r (width + height). The error is relative, in the "
              + "Frobenius norm; no matrix of the rank has a smaller one."),
        ]),
      // Red, green and blue in their colours.
      .init("Spectra", [MatrixSummary.charts(summaries, tints: summaries.count == 3 ? [5, 2, 0] : [])]),
    ]
  }
}
