// Orthogonal matrices from skew-symmetric ones: what OFT and its kin multiply weights by.

import LoRATensors

enum Rotations {
  /// (I + Q)(I − Q)⁻¹ of each of n matrices, [n, s, s]: Cayley's transform, orthogonal where Q is skew-symmetric.
  ///
  /// I − Q has an inverse then, since Q's eigenvalues are imaginary. Worked out in double precision.
  static func cayley(_ q: Tensor) -> Tensor {
    let (count, size) = (q.shape[0], q.shape[1])
    return Tensor(shape: q.shape) { out in
      q.withUnsafeBufferPointer { q in
        for index in 0..<count {
          let block = (0..<size * size).map { Double(q[index * size * size + $0]) }
          let rotation = cayley(block, size)
          for (place, value) in rotation.enumerated() { out[index * size * size + place] = Float(value) }
        }
      }
    }
  }

  /// Solves (I − Q) R = I + Q by elimination; the two commute.
  private static func cayley(_ q: [Double], _ size: Int) -> [Double] {
    var left = q.map { -$0 }
    var right = q
    for i in 0..<size {
      left[i * size + i] += 1
      right[i * size + i] += 1
    }
    for column in 0..<size {
      let pivot = (column..<size).max { abs(left[$0 * size + column]) < abs(left[$1 * size + column]) }!
      if pivot != column {
        for j in 0..<size {
          left.swapAt(pivot * size + j, column * size + j)
          right.swapAt(pivot * size + j, column * size + j)
        }
      }
      let inverse = 1 / left[column * size + column]
      for j in 0..<size {
        left[column * size + j] *= inverse
        right[column * size + j] *= inverse
      }
      for row in 0..<size where row != column {
        let factor = left[row * size + column]
        guard factor != 0 else { continue }
        for j in 0..<size {
          left[row * size + j] -= factor * left[column * size + j]
          right[row * size + j] -= factor * right[column * size + j]
        }
      }
    }
    return right
  }
}
