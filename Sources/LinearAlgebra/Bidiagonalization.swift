import LoRACKernels
import LoRATensors

/// A = Q B Pᵀ with B upper bidiagonal, for a matrix of at least as many rows as columns: the first half of the
/// singular value decomposition.
///
/// LAPACK's blocked reduction (xGEBRD, xLABRD; Dongarra, Sorensen and Hammarling, J. Comput. Appl. Math. 27, 1989)
/// with one change: it reads the matrix twice a column, for y = Aᵀv and for x = A u, and those reads are nearly all of
/// its time. Here one sweep by rows does both: row by row it takes x, with it the next column c, and sums Aᵀc, from
/// which Aᵀv of the next reflector follows (see CKernels' householder.c). Half the bytes move.
struct Bidiagonalization {
  let rows: Int
  let columns: Int
  /// [columns]
  var diagonal: [Float]
  /// [columns − 1] values above the diagonal, then one that is not used.
  var superdiagonal: [Float]
  /// Q as `columns` reflections of [rows].
  let left: HouseholderReflectors
  /// P as columns − 1 reflections of [columns], the first of which keeps row 0.
  let right: HouseholderReflectors

  /// Columns reduced before the rest of the matrix is brought up to date.
  private static let panelWidth = 32
  private static let lanes = 16

  /// - Parameter source: [rows, columns], rows ≥ columns, not changed.
  init(_ source: UnsafePointer<Float>, rows m: Int, columns n: Int) {
    expect(m >= n && n > 0, "Bidiagonalization: shape \([m, n]) has more columns than rows")
    rows = m
    columns = n
    diagonal = Array(repeating: 0, count: n)
    superdiagonal = Array(repeating: 0, count: n)
    left = HouseholderReflectors(rows: m, count: n, offset: 0)
    right = HouseholderReflectors(rows: n, count: max(n - 1, 0), offset: 1)

    // Rows start on a cache line, an odd number of lines apart: else whole columns share few sets of the cache.
    let stride = ((n + Self.lanes - 1) / Self.lanes | 1) * Self.lanes
    let a = Scratch(m * stride)
    for i in 0..<m {
      (a.base + i * stride).update(from: source + i * n, count: n)
      (a.base + i * stride + n).update(repeating: 0, count: stride - n)
    }
    var panel = Panel(a: a, stride: stride, rows: m, columns: n)

    for first in Swift.stride(from: 0, to: n, by: Self.panelWidth) {
      let size = min(Self.panelWidth, n - first)
      for step in 0..<size {
        let pivot = first + step
        let reflection = panel.reduceColumn(pivot, step: step)
        diagonal[pivot] = reflection.beta
        left.tau.base[pivot] = reflection.tau
        if pivot + 1 < n {
          let reflection = panel.reduceRow(pivot, step: step, columnReflection: reflection)
          superdiagonal[pivot] = reflection.beta
          right.tau.base[pivot] = reflection.tau
        } else {
          panel.finishLastColumn(step: step, columnReflection: reflection)
        }
      }
      panel.copyVectors(from: first, size: size, left: left, right: right)
      if first + size < n { panel.updateMatrix(from: first + size, size: size) }
    }
  }

  private struct Reflection {
    var beta: Float = 0
    var tau: Float = 0
    var scale: Float = 0
  }

  /// The matrix and what one panel adds: A stands for A − P Qᵀ.
  private struct Panel {
    let a: Scratch
    let stride: Int
    let rows: Int
    let columns: Int
    /// [rows, width] and [stride, width], width = 2 · panelWidth: v, x and y, u of each step beside each other.
    let p: Scratch
    let q: Scratch
    /// The pivot's column c, from row `pivot` on, and with it Aᵀc, Pᵀc and Σ c² in parts.
    let c: Scratch
    let sums: Scratch
    let pSums: Scratch
    var parts: Int
    var squares = [Double](repeating: 0, count: Int(CK_BIDIAGONAL_CHUNKS))
    /// The pivot's row r, then u, [stride].
    let u: Scratch
    let qSums: Scratch
    let coefficients: Scratch

    let width = 2 * Bidiagonalization.panelWidth

    init(a: Scratch, stride: Int, rows: Int, columns: Int) {
      (self.a, self.stride, self.rows, self.columns) = (a, stride, rows, columns)
      let chunks = Int(CK_BIDIAGONAL_CHUNKS)
      p = Scratch(zeros: rows * width)
      q = Scratch(zeros: stride * width)
      c = Scratch(zeros: rows)
      sums = Scratch(zeros: chunks * stride)
      pSums = Scratch(zeros: chunks * width)
      u = Scratch(zeros: stride)
      qSums = Scratch(zeros: chunks * width)
      coefficients = Scratch(zeros: 2 * width)
      parts = 0
      // The first column, with u = 0.
      sweepRows(from: 0, step: 0, nextColumn: 0, vScale: 0, tau: 0)
    }

    private func active(_ step: Int) -> Int {
      let lanes = Bidiagonalization.lanes
      return (2 * step + 2 + lanes - 1) / lanes * lanes
    }

    /// The reflection that clears the pivot's column below the diagonal.
    func reduceColumn(_ pivot: Int, step: Int) -> Reflection {
      var reflection = Reflection()
      ck_reflector(
        c.base[pivot], squares[..<parts].reduce(0, +), &reflection.beta, &reflection.tau, &reflection.scale)
      return reflection
    }

    /// y, then the reflection that clears the pivot's row right of the superdiagonal, then x and the next column.
    mutating func reduceRow(_ pivot: Int, step: Int, columnReflection: Reflection) -> Reflection {
      let (next, active) = (pivot + 1, active(step))
      let pRow = p.base + pivot * width
      let (qTimesV, qTimesRow) = (coefficients.base, coefficients.base + width)
      for k in 0..<width {
        var sum: Float = 0
        for part in 0..<parts { sum += pSums.base[part * width + k] }
        qTimesV[k] = (sum - columnReflection.beta * pRow[k]) * columnReflection.scale
        qTimesRow[k] = pRow[k]
      }
      pRow[2 * step] = 1
      let count = columns - next
      var columnSweep = ck_bidiagonal_columns()
      columnSweep.columns = count
      columnSweep.row = UnsafePointer(a.base + pivot * stride + next)
      columnSweep.q = q.base + next * width
      columnSweep.ldq = width
      columnSweep.active = active
      columnSweep.y_column = 2 * step
      columnSweep.beta = columnReflection.beta
      columnSweep.scale = columnReflection.scale
      columnSweep.tau = columnReflection.tau
      columnSweep.q_times_v = UnsafePointer(qTimesV)
      columnSweep.q_times_row = UnsafePointer(qTimesRow)
      columnSweep.sums = UnsafePointer(sums.base + next)
      columnSweep.sums_stride = stride
      columnSweep.sums_count = Int32(parts)
      columnSweep.r = u.base + next
      columnSweep.q_sums = qSums.base
      var rowSquares = squares
      let columnParts = rowSquares.withUnsafeMutableBufferPointer {
        columnSweep.squares = $0.baseAddress
        return Int(ck_bidiagonal_sweep_columns(&columnSweep))
      }

      var reflection = Reflection()
      ck_reflector(
        u.base[next], rowSquares[..<columnParts].reduce(0, +), &reflection.beta, &reflection.tau, &reflection.scale)
      let qRow = q.base + next * width
      let (pTimesU, pTimesNext) = (coefficients.base, coefficients.base + width)
      for k in 0..<width {
        var sum: Float = 0
        for part in 0..<columnParts { sum += qSums.base[part * width + k] }
        pTimesU[k] = (sum - reflection.beta * qRow[k]) * reflection.scale
        pTimesNext[k] = qRow[k]
      }
      u.base[pivot] = 0
      u.base[next] = 1
      q.base[next * width + 2 * step + 1] = 1
      for j in next + 1..<max(columns, next + 1) {
        let value = u.base[j] * reflection.scale
        u.base[j] = value
        q.base[j * width + 2 * step + 1] = value
      }
      sweepRows(from: next, step: step, nextColumn: next, vScale: columnReflection.scale, tau: reflection.tau)
      return reflection
    }

    private mutating func sweepRows(from first: Int, step: Int, nextColumn: Int, vScale: Float, tau: Float) {
      guard first < rows else { return }
      let start = nextColumn / Bidiagonalization.lanes * Bidiagonalization.lanes
      var sweep = ck_bidiagonal_rows()
      sweep.rows = rows - first
      sweep.columns =
        (columns - start + Bidiagonalization.lanes - 1) / Bidiagonalization.lanes * Bidiagonalization.lanes
      sweep.a = UnsafePointer(a.base + first * stride + start)
      sweep.lda = stride
      sweep.p = p.base + first * width
      sweep.ldp = width
      sweep.active = active(step)
      sweep.v_column = 2 * step
      sweep.v_scale = vScale
      sweep.c = c.base + first
      sweep.u = UnsafePointer(u.base + start)
      sweep.tau = tau
      sweep.p_times_u = UnsafePointer(coefficients.base)
      sweep.p_times_next = UnsafePointer(coefficients.base + width)
      sweep.next_column = nextColumn - start
      sweep.sums = sums.base + start
      sweep.sums_stride = stride
      sweep.p_sums = pSums.base
      parts = squares.withUnsafeMutableBufferPointer {
        sweep.squares = $0.baseAddress
        return Int(ck_bidiagonal_sweep_rows(&sweep))
      }
    }

    /// v of the last column, which no row sweep follows.
    func finishLastColumn(step: Int, columnReflection: Reflection) {
      p.base[(columns - 1) * width + 2 * step] = 1
      for i in columns..<max(rows, columns) { p.base[i * width + 2 * step] = c.base[i] * columnReflection.scale }
    }

    func copyVectors(from first: Int, size: Int, left: HouseholderReflectors, right: HouseholderReflectors) {
      for i in first..<rows {
        for step in 0..<min(size, i - first + 1) {
          left.vectors.base[i * left.count + first + step] = p.base[i * width + 2 * step]
        }
      }
      for j in first + 1..<max(columns, first + 1) {
        for step in 0..<min(size, j - first, right.count - first) {
          right.vectors.base[j * right.count + first + step] = q.base[j * width + 2 * step + 1]
        }
      }
    }

    /// A ← A − P Qᵀ for the rows and columns that are left, and Aᵀc with it.
    mutating func updateMatrix(from first: Int, size: Int) {
      let (pRest, qRest) = (p.base + first * width, q.base + first * width)
      let count = columns - first
      multiply(
        Factor(pRest, stride: width), Factor(qRest, stride: width, transposed: true), m: rows - first, n: count,
        k: width, alpha: -1, beta: 1, to: a.base + first * stride + first, stride: stride)
      for j in first..<columns {
        for part in 1..<max(parts, 1) { sums.base[j] += sums.base[part * stride + j] }
      }
      for part in 1..<max(parts, 1) {
        for k in 0..<width { pSums.base[k] += pSums.base[part * width + k] }
      }
      multiply(
        Factor(qRest, stride: width), Factor(pSums.base, stride: 1), m: count, n: 1, k: width, alpha: -1, beta: 1,
        to: sums.base + first, stride: 1)
      squares[0] = squares[..<parts].reduce(0, +)
      parts = 1
      pSums.base.update(repeating: 0, count: width)
      p.base.update(repeating: 0, count: rows * width)
      q.base.update(repeating: 0, count: stride * width)
    }
  }
}
