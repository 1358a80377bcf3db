import LoRATensors

/// A = Q R with orthonormal columns in Q and R upper triangular.
///
/// No element on R's diagonal is negative. Where the columns are linearly independent that makes the decomposition
/// unique.
public struct QRDecomposition: Sendable {
  /// [rows, k], k = min(rows, columns).
  public let q: Tensor
  /// [k, columns]
  public let r: Tensor
}

extension Tensor {
  /// The thin QR decomposition of a matrix, by Householder reflections (Golub and Van Loan, Matrix Computations,
  /// 4th edition, section 5.2).
  ///
  /// - Throws: `LinearAlgebraError` where this is no matrix, is empty, or holds NaN or infinity.
  /// - Complexity: O(rows · columns · min(rows, columns))
  public func qr() throws -> QRDecomposition {
    let input = try MatrixInput(self, "qr")
    let scaled = input.householderQR()
    guard input.exponent != 0 else { return scaled }
    let r = scaled.r.scaled(byPowerOfTwo: input.exponent)
    guard r.isFinite else { throw LinearAlgebraError.overflow(operation: "qr", shape: shape) }
    return QRDecomposition(q: scaled.q, r: r)
  }
}

extension MatrixInput {
  /// Q R of the scaled matrix.
  func householderQR() -> QRDecomposition {
    let (m, n, k) = (rows, columns, Swift.min(rows, columns))
    let work = Scratch(m * n)
    scaled.withUnsafeBufferPointer { work.base.update(from: $0.baseAddress!, count: $0.count) }
    let factored = HouseholderQR(work.base, rows: m, columns: n)
    var signs = [Float](repeating: 1, count: k)
    let r = Tensor(shape: [k, n]) { r in
      factored.writeR(to: r.baseAddress!)
      for i in 0..<k where r[i * n + i] < 0 {
        signs[i] = -1
        for j in i..<n { r[i * n + j] = -r[i * n + j] }
      }
    }
    let q = Tensor(shape: [m, k]) { factored.writeQ(to: $0.baseAddress!) }
    return QRDecomposition(q: signs.contains(-1) ? q.scaledColumns(by: signs) : q, r: r)
  }
}
