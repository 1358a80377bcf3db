import Foundation
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
    let summaries = [small.summary, noisy.summary] + picture.summaries
    return SVDResult(
      summaries: summaries,
      report: Report(
        title: "Low rank: most of a matrix in few numbers",
        summary:
          "That is what LoRA rests on: the change that a task asks of a weight matrix is nearly of low rank, so two "
          + "thin factors B and A are trained in its place.",
        sections: [small.section, noisy.section, .init("3. A picture", picture.report.sections.flatMap(\.blocks))],
        settings: [.init("seed", .text("\(seed)"))],
        members: MatrixSummary.members(summaries)))
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

  /// Numbers in lines.
  private func lines(_ matrix: Tensor) -> String {
    let numbers = matrix.scalars.map { number in
      let text = String(format: "%.1f", number)
      return String(repeating: " ", count: max(0, 4 - text.count)) + text
    }
    return stride(from: 0, to: numbers.count, by: matrix.shape[1])
      .map { "  " + numbers[$0..<$0 + matrix.shape[1]].joined(separator: " ") }.joined(separator: "\n")
  }

  var section: Report.Section {
    let values = summary.spectrum.singularValues.map { Double($0) }
    return .init(
      "1. A matrix of rank 2",
      [
        .terminal("W has 10 × 10 = 100 numbers:"), .terminal(lines(w)),
        .terminal("It is B A, with B of 10 × 2 and A of 2 × 10, 40 numbers:"), .terminal(lines(b)),
        .terminal(lines(a)), .note("With the singular value decomposition U S Vᵀ of W, B = U √S and A = √S Vᵀ."),
        .figure(
          MatrixProduct(title: "W = B × A", product: w, left: b, right: a, names: ["W", "B", "A"]),
          caption: "W is exactly B A: what seems to be 100 numbers is 40. One scale of colour for all three."),
        .highlights([
          .init("numbers in W, and in B and A", .change(.count(100), .count(40))),
          .init("largest difference of W x + b and B (A x) + b", .number(Double(largestDifference))),
          .init("singular values above rounding, of 10", .count(summary.spectrum.numericalRank)),
        ]),
        .table(Table(columns: (1...10).map { .init("σ\($0)") }, rows: [values.map { .number($0) }])),
        .figure(
          BarChart(
            title: "Singular values of W", categories: (1...10).map(String.init), series: [.init("", values)],
            xLabel: "index", yLabel: "σ", width: 480, height: 280), caption: "Two, and then nothing but rounding."),
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
      of: summary.truncations,
      [
        .init("rank") { .count($0.rank) }, .init("numbers") { .count($0.parameters) },
        .init("of the matrix") { .share(Double($0.parameters) / Double(Self.rows * Self.columns)) },
        .init("error") { .share($0.relativeError) },
        .init("error without the noise") { truncation in
          .share(Double((svd.truncated(to: truncation.rank).reconstructed() - signal).norm / signal.norm))
        },
      ], emphasizedRow: ranks.firstIndex(of: found))
  }

  var section: Report.Section {
    .init(
      "2. A matrix of rank \(Self.rank) under noise",
      [
        .prose("\(Self.rows) × \(Self.columns) numbers: a matrix of rank \(Self.rank), and noise in every element."),
        .table(table),
        .prose(
          "The error falls with every rank, but beyond rank \(Self.rank) it is noise that is learnt: the distance from the "
            + "matrix without noise grows again. The threshold of Gavish and Donoho, which knows neither the rank nor the "
            + "noise, keeps \(found)."),
        MatrixSummary.charts([summary]),
      ])
  }
}
