// Products with a diagonal matrix, and the first columns of a matrix.

import LoRATensors

extension Tensor {
  /// diag(d) · self, for self [rows, columns] and d [rows].
  func scaledRows(by d: [Float]) -> Tensor {
    self * Tensor(shape: [d.count, 1], scalars: d)
  }

  /// self · diag(d), for self [rows, columns] and d [columns].
  func scaledColumns(by d: [Float]) -> Tensor {
    self * Tensor(d)
  }

  /// [rows, columns] → [rows, count]
  func leadingColumns(_ count: Int) -> Tensor {
    count == shape[1] ? self : sliced(axis: 1, 0..<count)
  }
}
