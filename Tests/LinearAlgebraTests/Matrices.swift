// Matrices with a known spectrum, and the measures that the tests of this folder share.
import Foundation
import LoRALinearAlgebra
import LoRATensors
import TestSupport
import Testing

/// A named spectrum of `count` values, largest first.
enum Decay: String, CaseIterable, Sendable {
  case powerLaw, exponential, exactRank, ties, zero

  func values(_ count: Int) -> [Float] {
    (0..<count).map { index in
      switch self {
      case .powerLaw: 1 / Float(index + 1)
      case .exponential: exp2(-Float(index) / 2)
      case .exactRank: index < 5 ? Float(5 - index) : 0
      case .ties: index < count / 2 ? 2 : 1
      case .zero: 0
      }
    }
  }
}

/// U diag(values) Vᵀ, [rows, columns], with random orthonormal U and V.
func matrix(_ values: [Float], rows: Int, columns: Int, seed: UInt64 = 1) throws -> Tensor {
  var generator = SeededGenerator(seed: seed)
  let u = try Tensor.normal([rows, values.count], using: &generator).qr().q
  let v = try Tensor.normal([columns, values.count], using: &generator).qr().q
  return (u * Tensor(values)).matmul(v, transposeOther: true)
}

/// ‖QᵀQ − 1‖_F: how far the columns are from orthonormal.
func departureFromOrthonormal(_ q: Tensor) -> Double {
  (q.matmul(q, transposeSelf: true) - .identity(q.shape[1])).norm
}

/// ‖x − y‖_F / ‖y‖_F
func relativeDifference(_ x: Tensor, _ y: Tensor) -> Double { (x - y).norm / max(y.norm, 1e-300) }

/// What NumPy said of one matrix; see Tests/Fixtures/linear-algebra.
struct Decomposed: Decodable, Sendable, CustomTestStringConvertible {
  let name: String
  let shape: [Int]
  let elements: [Float]
  let singularValues: [Double]
  let rank: Int
  let pseudoInverse: [Float]
  let r: [Float]

  var testDescription: String { name }
  var matrix: Tensor { Tensor(shape: shape, scalars: elements) }

  static let all: [Decomposed] = {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    let file = fixtures.appendingPathComponent("linear-algebra/decompositions.json")
    return try! decoder.decode([Decomposed].self, from: Data(contentsOf: file))
  }()
}
