import LoRACOpenBLAS
import LoRATensors

/// The few LAPACK routines that are used, as Swift functions over row-major memory.
///
/// LAPACK is column-major: a row-major [m, n] matrix is, to it, the transpose with leading dimension n. Each function
/// here takes and gives row-major matrices and says which factorisation of the transpose it asks for; nothing is
/// copied to turn a matrix around. Workspace sizes are asked for first, as LAPACK wants it.
enum LAPACK {
  /// LAPACK's `info` > 0: the iteration stopped short.
  struct NotConverged: Error {}

  /// A = U diag(S) Vᵀ by QR iteration. A is destroyed. The transpose's left vectors are A's right ones.
  ///
  /// - Parameters:
  ///   - u: [m, uColumns] with uColumns min(m, n) or, full, m; nil for the singular values alone.
  ///   - vt: [vRows, n] with vRows min(m, n) or, full, n; nil for the singular values alone.
  static func gesvd(
    _ a: UnsafeMutablePointer<Float>, rows m: Int, columns n: Int, full: Bool, s: UnsafeMutablePointer<Float>,
    u: UnsafeMutablePointer<Float>?, vt: UnsafeMutablePointer<Float>?
  ) throws {
    var (rows, columns, info) = (Int32(n), Int32(m), Int32(0))
    var uColumns = Int32(full ? m : min(m, n))
    let job = letter(u == nil ? "N" : full ? "A" : "S")
    withWorkspace { work, workCount in
      var (jobU, jobV) = (job, job)
      lapack_sgesvd(&jobU, &jobV, &rows, &columns, a, &rows, s, vt, &rows, u, &uColumns, work, &workCount, &info)
    }
    if info > 0 { throw NotConverged() }
    expect(info == 0, "sgesvd: argument \(-info) is wrong for shape \([m, n])")
  }

  /// The SVD of the k × k upper bidiagonal matrix with this diagonal and superdiagonal: B = U diag(S) Vᵀ by divide and
  /// conquer. S replaces the diagonal, the superdiagonal is destroyed. u, vt: [k, k], or nil for the values alone.
  ///
  /// To LAPACK row-major B is lower bidiagonal, which costs it a rotation of all vectors. With rows and columns in
  /// reverse it is upper bidiagonal again; the vectors' elements are put in order afterwards.
  static func bdsdc(
    diagonal: UnsafeMutablePointer<Float>, superdiagonal: UnsafeMutablePointer<Float>, count k: Int,
    vectors: (u: UnsafeMutablePointer<Float>, vt: UnsafeMutablePointer<Float>)?
  ) throws {
    useOneThread()
    var (order, info) = (Int32(k), Int32(0))
    var (shape, job) = (letter("U"), letter(vectors == nil ? "N" : "I"))
    let work = Scratch(vectors == nil ? 4 * k : 3 * k * k + 4 * k)
    var integers = [Int32](repeating: 0, count: 8 * k)
    reverse(diagonal, count: k)
    reverse(superdiagonal, count: k - 1)
    lapack_sbdsdc(
      &shape, &job, &order, diagonal, superdiagonal, vectors?.vt, &order, vectors?.u, &order, nil, nil, work.base,
      &integers, &info)
    if info > 0 { throw NotConverged() }
    expect(info == 0, "sbdsdc: argument \(-info) is wrong for order \(k)")
    guard let (u, vt) = vectors else { return }
    reverse(u, count: k * k)
    for row in 0..<k {
      reverse(u + row * k, count: k)
      reverse(vt + row * k, count: k)
    }
  }

  /// The LU factorisation of the n × n matrix that is the transpose of row-major `a`, in its place.
  /// - Returns: the pivots and an estimate of 1 / (‖A‖₁ ‖A⁻¹‖₁), 0 where a pivot is.
  static func getrf(
    _ a: UnsafeMutablePointer<Float>, count n: Int, norm: Float
  ) -> (pivots: [Int32], reciprocalCondition: Float) {
    useOneThread()
    var (order, info, norm, condition) = (Int32(n), Int32(0), norm, Float(0))
    var pivots = [Int32](repeating: 0, count: n)
    lapack_sgetrf(&order, &order, a, &order, &pivots, &info)
    expect(info >= 0, "sgetrf: argument \(-info) is wrong for order \(n)")
    guard info == 0 else { return (pivots, 0) }
    var kind = letter("1")
    var work = [Float](repeating: 0, count: 4 * n)
    var integers = [Int32](repeating: 0, count: n)
    lapack_sgecon(&kind, &order, a, &order, &norm, &condition, &work, &integers, &info)
    return (pivots, condition)
  }

  /// Solves op(A) X = B in the place of B, from `getrf`. To LAPACK the rows of `b` are the columns of B.
  static func getrs(
    _ a: UnsafePointer<Float>, count n: Int, pivots: [Int32], transposed: Bool, _ b: UnsafeMutablePointer<Float>,
    columns: Int
  ) {
    useOneThread()
    var (order, count, info) = (Int32(n), Int32(columns), Int32(0))
    var operation = letter(transposed ? "T" : "N")
    lapack_sgetrs(&operation, &order, &count, a, &order, pivots, b, &order, &info)
    expect(info == 0, "sgetrs: argument \(-info) is wrong for order \(n)")
  }

  private static func reverse(_ elements: UnsafeMutablePointer<Float>, count: Int) {
    var buffer = UnsafeMutableBufferPointer(start: elements, count: count)
    buffer.reverse()
  }

  /// Calls `body` twice: with a count of −1, when it writes the count it wants, and with that much memory.
  private static func withWorkspace(_ body: (UnsafeMutablePointer<Float>, inout Int32) -> Void) {
    useOneThread()
    var wanted: Float = 0
    var count: Int32 = -1
    body(&wanted, &count)
    count = Int32(wanted.nextUp)
    let work = UnsafeMutablePointer<Float>.allocate(capacity: Int(count))
    defer { work.deallocate() }
    body(work, &count)
  }

  private static func letter(_ character: Unicode.Scalar) -> CChar { CChar(character.value) }

  /// One thread: OpenBLAS' products give other bits with another number of threads, and nearly all the work that could
  /// be shared is done by the kernels.
  private static func useOneThread() {
    #if !canImport(Darwin)
      openblas_set_num_threads(1)
    #endif
  }
}
