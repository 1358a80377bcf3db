import LoRAKit

/// The idea behind LoRA in three matrices: one that is of low rank, one that nearly is, and a picture.
struct SVDDemonstration {
  let seed: UInt64

  func run() throws -> SVDResult {
    var generator = SeededGenerator(seed: seed)
    let small = try SmallMatrix(using: &generator)
    let noisy = try NoisyMatrix(using: &generator)
    let picture = try SVDPictureStudy(name: "sample", picture: .sample(), keeping: .ranks([5, 20, 50]))
      .run(writesPictures: false)
    let title = "Low rank: most of a matrix in few numbers"
    return SVDResult(
      text: [
        "1. A matrix of rank 2\n", small.text, "2. A matrix of rank 10 under noise\n", noisy.text, "3. A picture\n",
        picture.text,
        """

        That is what LoRA rests on: the change that a task asks of a weight matrix is nearly of low rank, so two thin \
        factors B and A are trained in its place.
        """,
      ].joined(separator: "\n"),
      json: .init(matrices: [small.summary, noisy.summary] + picture.json.matrices),
      report: Report(
        title: title,
        summary:
          "A matrix of rank r is the product of two thin ones, and most matrices that matter are close to such a "
          + "one. LoRA trains the two thin factors instead of the matrix.",
        sections: [small.section, noisy.section]
          + picture.report.sections.enumerated().map { index, section in
            index > 0 ? section : .init("3. A picture", [.prose(SVDPictureStudy.summary)] + section.blocks)
          },
        footer: "Made by lora svd --demo, seed \(seed)."))
  }
}

/// 10 × 10 numbers that are a product of 10 × 2 and 2 × 10, and give themselves away.
private struct SmallMatrix {
  private let w: Tensor
  private let b: Tensor
  private let a: Tensor
  private let largestDifference: Float
  let summary: MatrixSummary

  init(using generator: inout SeededGenerator) throws {
    w = Tensor.normal([10, 2], using: &generator).matmul(.normal([2, 10], using: &generator))
    let svd = try w.svd()
    summary = try MatrixSummary(name: "rank 2", spectrum: svd.spectrum, keeping: .ranks([2]))
    (b, a) = svd.truncated(to: 2).balanced()
    // A layer's output by both ways.
    let x = Tensor.normal([10, 1], using: &generator)
    let bias = Tensor.normal([10, 1], using: &generator)
    let (whole, factored) = (w.matmul(x) + bias, b.matmul(a.matmul(x)) + bias)
    largestDifference = (whole - factored).scalars.map(abs).max() ?? 0
  }

  private var values: [Float] { summary.spectrum.singularValues }

  var text: String {
    """
    W has 10 × 10 = 100 numbers:

    \(lines(w))

    Its singular values, two and then rounding:

      \(values.map { shortText(Double($0)) }.joined(separator: "  "))

    So W = B A, with B = U √S of 10 × 2 and A = √S Vᵀ of 2 × 10, 40 numbers:

    \(lines(b))

    \(lines(a))

    A layer can't tell them apart: W x + b and B (A x) + b differ by at most \(shortText(Double(largestDifference))).

    """
  }

  private func lines(_ matrix: Tensor) -> String {
    let rows = matrix.scalars.map { number in
      let text = fixed(number, 2)
      return String(repeating: " ", count: max(0, 6 - text.count)) + text
    }
    return stride(from: 0, to: rows.count, by: matrix.shape[1])
      .map { "  " + rows[$0..<$0 + matrix.shape[1]].joined(separator: " ") }.joined(separator: "\n")
  }

  var section: Report.Section {
    let limit = Double(max(w.scalars.map(abs).max() ?? 0, b.scalars.map(abs).max() ?? 0))
    return .init(
      "1. A matrix of rank 2",
      [
        .highlights([
          .init("100 → 40", "numbers in W, and in B and A"),
          .init(shortText(Double(largestDifference)), "largest difference of W x + b and B (A x) + b"),
          .init("\(summary.spectrum.numericalRank)", "singular values above rounding, of 10"),
        ]),
        .row(
          [
            Heatmap(title: "W, 10 × 10", w, limit: limit, width: 340),
            Heatmap(title: "B, 10 × 2", b, limit: limit, width: 140),
            Heatmap(title: "A, 2 × 10", a, limit: limit, width: 340),
          ], caption: "W is exactly B A: what seems to be 100 numbers is 40."),
        .figure(
          BarChart(
            title: "Singular values of W", categories: (1...10).map(String.init), series: [.init("σ", values)],
            xLabel: "index"), caption: "Two, and then nothing but rounding."),
      ])
  }
}

/// A matrix that is of low rank but for noise in every element, where rank and error trade off.
private struct NoisyMatrix {
  private static let (rows, columns, rank, noise) = (300, 200, 10, Float(0.5))
  private let signal: Tensor
  private let svd: SingularValueDecomposition
  private let ranks = [1, 2, 5, 10, 20, 50, 100, 200]
  private let found: Int
  let summary: MatrixSummary

  init(using generator: inout SeededGenerator) throws {
    signal = Tensor.normal([Self.rows, Self.rank], using: &generator)
      .matmul(.normal([Self.rank, Self.columns], using: &generator))
    svd = try (signal + .normal([Self.rows, Self.columns], deviation: Self.noise, using: &generator)).svd()
    summary = try MatrixSummary(name: "rank 10 and noise", spectrum: svd.spectrum, keeping: .ranks(ranks))
    found = svd.spectrum.rank(.optimalHardThreshold())
  }

  private var table: Table {
    Table(
      columns: ["rank", "numbers", "of the matrix", "error", "error without the noise"],
      rows: summary.truncations.map { truncation in
        let rebuilt = svd.truncated(to: truncation.rank).reconstructed()
        let share = 100 * Double(truncation.parameters) / Double(Self.rows * Self.columns)
        return [
          "\(truncation.rank)", grouped(truncation.parameters), "\(fixed(share, 1))%",
          fixed(truncation.relativeError, 4), fixed((rebuilt - signal).norm / signal.norm, 4),
        ]
      }, emphasizedRow: ranks.firstIndex(of: found))
  }

  private var conclusion: String {
    "The error falls with every rank, but beyond rank \(Self.rank) it is noise that is learnt: the distance from the "
      + "matrix without noise grows again. The threshold of Gavish and Donoho, which knows neither the rank nor the "
      + "noise, keeps \(found)."
  }

  var text: String {
    """
    \(Self.rows) × \(Self.columns) numbers: a matrix of rank \(Self.rank), and noise in every element.

    \(table.plainText)

    \(conclusion)

    """
  }

  var section: Report.Section {
    .init(
      "2. A matrix of rank \(Self.rank) under noise",
      [
        .figure(table, caption: conclusion),
        .row([
          summary.spectrum.chart(title: "Singular values"), summary.spectrum.energyChart(title: "Energy kept"),
        ]),
      ])
  }
}
