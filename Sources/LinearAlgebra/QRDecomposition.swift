import Tensors

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
    let work = UnsafeMutablePointer<Float>.allocate(capacity: m * n)
    defer { work.deallocate() }
    scaled.withUnsafeBufferPointer { work.initialize(from: $0.baseAddress!, count: $0.count) }
    var signs = [Float](repeating: 1, count: k)
    var r: Tensor?
    LAPACK.qr(work, rows: m, columns: n) {
      r = Tensor(shape: [k, n]) { r in
        r.initialize(repeating: 0)
        for i in 0..<k {
          if work[i * n + i] < 0 { signs[i] = -1 }
          for j in i..<n { r[i * n + j] = signs[i] * work[i * n + j] }
        }
      }
    }
    let q = Tensor(shape: [m, k]) { q in
      for i in 0..<m {
        for j in 0..<k { q[i * k + j] = signs[j] * work[i * n + j] }
      }
    }
    return QRDecomposition(q: q, r: r!)
  }
}
