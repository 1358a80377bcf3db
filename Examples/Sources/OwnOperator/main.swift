// The SVD of an operator of one's own: running sums, a triangle of 50,000 × 50,000 ones, 10 GB that nobody forms.
//
// Its singular values are known: σₖ = 1 / (2 sin((2k − 1) π / (4n + 2))), since A⁻¹ takes differences of neighbours, and
// the inverse of A Aᵀ is tridiagonal.

import Foundation
import LoRALinearAlgebra
import LoRATensors

/// (A x)ᵢ = x₀ + … + xᵢ: products with A and with Aᵀ are all that an operator has to offer.
struct RunningSum: LinearOperator {
  let size: Int
  var rows: Int { size }
  var columns: Int { size }

  func times(_ x: Tensor) -> Tensor { summed(x, order: Array(0..<size)) }
  func transposedTimes(_ x: Tensor) -> Tensor { summed(x, order: (0..<size).reversed()) }

  /// [size, k] → [size, k], added up along the rows in that order, in double precision.
  private func summed(_ x: Tensor, order: [Int]) -> Tensor {
    let count = x.shape[1]
    return Tensor(shape: x.shape) { result in
      x.withUnsafeBufferPointer { x in
        var sums = [Double](repeating: 0, count: count)
        for row in order {
          for column in 0..<count {
            sums[column] += Double(x[row * count + column])
            result[row * count + column] = Float(sums[column])
          }
        }
      }
    }
  }
}

let operation = RunningSum(size: 50_000)
let factors = try operation.randomizedSVD(rank: 8)

print(" k      found      exact  relative error")
var worst = 0.0
for (index, found) in factors.singularValues.enumerated() {
  let exact = 1 / (2 * sin(Double(2 * index + 1) * .pi / Double(4 * operation.size + 2)))
  let error = abs(Double(found) - exact) / exact
  worst = max(worst, error)
  print(String(format: "%2d %10.2f %10.2f  %.1e", index + 1, found, exact, error))
}
print("Rank 8 leaves", String(format: "%.1f%%", 100 * factors.relativeFrobeniusError), "of the Frobenius norm.")
guard worst < 1e-3 else { fatalError("the singular values should be those of the formula") }
