import LoRACKernels

/// The QR factorisation of a row-major matrix by blocks (LAPACK's geqrf): a panel of columns at a time, then one
/// product of matrices for all columns right of it.
struct HouseholderQR {
  let rows: Int
  let columns: Int
  /// Q as k = min(rows, columns) reflections.
  let reflectors: HouseholderReflectors
  /// The matrix, [rows, columns]; R stands on and above the diagonal, what is below it is of no use.
  private let matrix: UnsafeMutablePointer<Float>

  var rank: Int { min(rows, columns) }

  /// Factors `matrix` in place; it must outlive this value's use of R.
  init(_ matrix: UnsafeMutablePointer<Float>, rows: Int, columns: Int) {
    let k = min(rows, columns)
    let width = Int(CK_PANEL)
    self.rows = rows
    self.columns = columns
    self.matrix = matrix
    reflectors = HouseholderReflectors(rows: rows, count: k, offset: 0)
    let panel = Scratch(rows * width)
    let work = Scratch(2 * width * columns)
    for first in stride(from: 0, to: k, by: width) {
      let (size, height) = (min(width, k - first), rows - first)
      let corner = matrix + first * columns + first
      for i in 0..<height {
        let (row, source) = (panel.base + i * width, corner + i * columns)
        row.update(from: source, count: size)
        (row + size).update(repeating: 0, count: width - size)
      }
      ck_householder_panel(height, Int32(size), panel.base, reflectors.tau.base + first)
      for i in 0..<height {
        let row = panel.base + i * width
        let vector = reflectors.vectors.base + (first + i) * k + first
        if i < size {
          (corner + i * columns + i).update(from: row + i, count: size - i)
          vector.update(from: row, count: i)
          vector[i] = 1
        } else {
          vector.update(from: row, count: size)
        }
      }
      let rest = columns - first - size
      if rest > 0 {
        HouseholderReflectors.Block(reflectors, first..<first + size)
          .apply(toLeftOf: corner + size, stride: columns, columns: rest, transposed: true, work: work)
      }
    }
  }

  /// Writes R, [min(rows, columns), columns].
  func writeR(to r: UnsafeMutablePointer<Float>) {
    for i in 0..<rank {
      let row = r + i * columns
      row.update(repeating: 0, count: i)
      (row + i).update(from: matrix + i * columns + i, count: columns - i)
    }
  }

  /// Writes the thin Q, [rows, min(rows, columns)].
  func writeQ(to q: UnsafeMutablePointer<Float>) {
    q.update(repeating: 0, count: rows * rank)
    for i in 0..<rank { q[i * rank + i] = 1 }
    reflectors.apply(toLeftOf: q, columns: rank, isIdentity: true)
  }
}
