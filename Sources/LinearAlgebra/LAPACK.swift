import CKernels
import COpenBLAS

/// The few LAPACK routines that are used, as Swift functions over row-major memory.
///
/// LAPACK is column-major: a row-major [m, n] matrix is, to it, the transpose with leading dimension n. Each function
/// here takes and gives row-major matrices and says which factorisation of the transpose it asks for; nothing is
/// copied to turn a matrix around. Workspace sizes are asked for first, as LAPACK wants it.
enum LAPACK {
  /// LAPACK's `info` > 0: the iteration stopped short.
  struct NotConverged: Error {}

  /// A = U diag(S) Vᵀ by divide and conquer. A is destroyed. The transpose's left vectors are A's right ones.
  ///
  /// - Parameters:
  ///   - u: [m, uColumns] with uColumns min(m, n) or m.
  ///   - vt: [vRows, n] with vRows min(m, n) or n; both thin or both full.
  static func gesdd(
    _ a: UnsafeMutablePointer<Float>, rows m: Int, columns n: Int, full: Bool, s: UnsafeMutablePointer<Float>,
    u: UnsafeMutablePointer<Float>, vt: UnsafeMutablePointer<Float>
  ) throws {
    var (rows, columns, info) = (Int32(n), Int32(m), Int32(0))
    var uColumns = Int32(full ? m : min(m, n))
    let job = letter(full ? "A" : "S")
    var integers = [Int32](repeating: 0, count: 8 * min(m, n))
    withWorkspace { work, workCount in
      var job = job
      lapack_sgesdd(
        &job, &rows, &columns, a, &rows, s, vt, &rows, u, &uColumns, work, &workCount, &integers, &info)
    }
    if info > 0 { throw NotConverged() }
    precondition(info == 0, "sgesdd: argument \(-info) is wrong for shape \([m, n])")
  }

  /// A = U diag(S) Vᵀ by QR iteration; u and vt as in `gesdd`, both nil for the singular values alone.
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
    precondition(info == 0, "sgesvd: argument \(-info) is wrong for shape \([m, n])")
  }

  /// A = Q R: R stands in the upper triangle of `a` when `readR` is called, and Q in its first min(m, n) columns on
  /// return. To LAPACK this is the LQ factorisation of the transpose.
  static func qr(_ a: UnsafeMutablePointer<Float>, rows m: Int, columns n: Int, readR: () -> Void) {
    var (rows, columns, rank, info) = (Int32(n), Int32(m), Int32(min(m, n)), Int32(0))
    var tau = [Float](repeating: 0, count: min(m, n))
    withWorkspace { lapack_sgelqf(&rows, &columns, a, &rows, &tau, $0, &$1, &info) }
    precondition(info == 0, "sgelqf: argument \(-info) is wrong for shape \([m, n])")
    readR()
    withWorkspace { lapack_sorglq(&rank, &columns, &rank, a, &rows, tau, $0, &$1, &info) }
    precondition(info == 0, "sorglq: argument \(-info) is wrong for shape \([m, n])")
  }

  /// The SVD of the k × k upper bidiagonal matrix with this diagonal and superdiagonal: B = U diag(S) Vᵀ by divide and
  /// conquer. S replaces the diagonal, the superdiagonal is destroyed. B upper is, row-major, Bᵀ lower.
  static func bdsdc(
    diagonal: UnsafeMutablePointer<Float>, superdiagonal: UnsafeMutablePointer<Float>, count k: Int,
    u: UnsafeMutablePointer<Float>, vt: UnsafeMutablePointer<Float>
  ) throws {
    useThreads()
    var (order, info) = (Int32(k), Int32(0))
    var (shape, vectors) = (letter("L"), letter("I"))
    var work = [Float](repeating: 0, count: 3 * k * k + 4 * k)
    var integers = [Int32](repeating: 0, count: 8 * k)
    lapack_sbdsdc(
      &shape, &vectors, &order, diagonal, superdiagonal, vt, &order, u, &order, nil, nil, &work, &integers, &info)
    if info > 0 { throw NotConverged() }
    precondition(info == 0, "sbdsdc: argument \(-info) is wrong for order \(k)")
  }

  /// Calls `body` twice: with a count of −1, when it writes the count it wants, and with that much memory.
  private static func withWorkspace(_ body: (UnsafeMutablePointer<Float>, inout Int32) -> Void) {
    useThreads()
    var wanted: Float = 0
    var count: Int32 = -1
    body(&wanted, &count)
    count = Int32(wanted.nextUp)
    let work = UnsafeMutablePointer<Float>.allocate(capacity: Int(count))
    defer { work.deallocate() }
    body(work, &count)
  }

  private static func letter(_ character: Unicode.Scalar) -> CChar { CChar(character.value) }

  /// As many threads as the kernels use.
  private static func useThreads() {
    #if !canImport(Darwin)
      openblas_set_num_threads(ck_thread_count())
    #endif
  }
}
