// How decompositions of matrices look in a notebook.
import LoRALinearAlgebra
import LoRATensors

extension Spectrum: CustomPlaygroundDisplayConvertible {
  /// The singular values; on a logarithmic axis where they span much.
  public var playgroundDescription: Any {
    let isWide = (singularValues.last ?? 0) < 1e-2 * (singularValues.first ?? 0)
    return LineChart(
      title: "Singular values of a \(rows) × \(columns) matrix",
      series: [.init("", singularValues)], xLabel: "index", yLabel: "σ", yScale: isWide ? .logarithmic : .linear,
      width: 560, height: 280
    ).playgroundDescription
  }
}

extension SingularValueDecomposition: CustomPlaygroundDisplayConvertible {
  public var playgroundDescription: Any { spectrum.playgroundDescription }
}

extension LowRankFactors: CustomPlaygroundDisplayConvertible {
  /// Shapes, numbers and the error.
  public var playgroundDescription: Any {
    Table(
      title: "A \(rows) × \(columns) matrix, approximated by factors of rank \(rank)",
      columns: ["U", "S", "Vᵀ", "numbers in B and A", "in the matrix", "‖A − U S Vᵀ‖ / ‖A‖"],
      rows: [
        [
          .shape(u.shape), .shape([rank]), .shape(vTransposed.shape), .count(parameterCount), .count(rows * columns),
          "\(error.isEstimate ? "≈ " : "")\(shortText(relativeFrobeniusError))",
        ]
      ]
    ).playgroundDescription
  }
}
