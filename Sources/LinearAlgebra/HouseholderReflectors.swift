import LoRACKernels

/// A product of Householder reflections H₀ H₁ ⋯ H_{k−1}, each 1 − τ v vᵀ, kept as their vectors.
///
/// Applied a block at a time in compact form, 1 − V T Vᵀ with T upper triangular (Schreiber and Van Loan, SIAM J. Sci.
/// Stat. Comput. 10, 1989), so that nearly all work is products of matrices.
struct HouseholderReflectors {
  let rows: Int
  let count: Int
  /// Vector i is 0 before row i + offset and 1 there.
  let offset: Int
  /// [rows, count]: the vectors are its columns.
  let vectors: Scratch
  /// [count]
  let tau: Scratch

  /// Reflections that are applied together: as many as keep a product of matrices busy.
  private static let blockSize = 64

  init(rows: Int, count: Int, offset: Int) {
    self.rows = rows
    self.count = count
    self.offset = offset
    vectors = Scratch(zeros: rows * count)
    tau = Scratch(count)
  }

  /// C ← H₀ ⋯ H_{k−1} C for C [rows, columns].
  ///
  /// - Parameter isIdentity: C starts as the first columns of the identity, so each block changes no column before
  ///   its own.
  func apply(toLeftOf c: UnsafeMutablePointer<Float>, columns: Int, isIdentity: Bool = false) {
    let work = Scratch(2 * Self.blockSize * columns)
    for first in stride(from: 0, to: count, by: Self.blockSize).reversed() {
      let block = Block(self, first..<min(first + Self.blockSize, count))
      let left = isIdentity ? min(block.top, columns) : 0
      block.apply(toLeftOf: c + block.top * columns + left, stride: columns, columns: columns - left, work: work)
    }
  }

  /// C ← C (H₀ ⋯ H_{k−1})ᵀ for C [height, rows].
  func applyTransposed(toRightOf c: UnsafeMutablePointer<Float>, height: Int) {
    let work = Scratch(2 * Self.blockSize * height)
    for first in stride(from: 0, to: count, by: Self.blockSize).reversed() {
      let block = Block(self, first..<min(first + Self.blockSize, count))
      block.applyTransposed(toRightOf: c + block.top, stride: rows, height: height, work: work)
    }
  }

  /// Consecutive reflections as 1 − V T Vᵀ.
  struct Block {
    private let size: Int
    /// The first row that is not zero in any vector.
    let top: Int
    private let height: Int
    private let v: UnsafeMutablePointer<Float>
    private let vStride: Int
    /// Tᵀ, [size, size], lower triangular.
    private let t: Scratch

    init(_ reflectors: HouseholderReflectors, _ range: Range<Int>) {
      let (size, top) = (range.count, range.lowerBound + reflectors.offset)
      self.size = size
      self.top = top
      height = reflectors.rows - top
      vStride = reflectors.count
      v = reflectors.vectors.base + top * vStride + range.lowerBound
      t = Scratch(zeros: size * size)
      let gram = Scratch(size * size)
      ck_gemm(true, false, size, size, height, 1, v, vStride, v, vStride, 0, gram.base, size)
      // T[..<i, i] = −τᵢ T[..<i, ..<i] (VᵀV)[..<i, i], and τᵢ on the diagonal; here as rows of Tᵀ.
      let tau = reflectors.tau.base + range.lowerBound
      for i in 0..<size {
        let row = t.base + i * size
        for k in 0..<i {
          let (factor, other) = (-tau[i] * gram.base[i * size + k], t.base + k * size)
          for column in 0...k { row[column] += factor * other[column] }
        }
        row[i] = tau[i]
      }
    }

    /// C ← (1 − V T Vᵀ) C, or with Tᵀ; C starts at row `top`. `work` holds 2 · size · columns elements.
    func apply(
      toLeftOf c: UnsafeMutablePointer<Float>, stride: Int, columns: Int, transposed: Bool = false, work: Scratch
    ) {
      let (w, tw) = (work.base, work.base + size * columns)
      ck_gemm(true, false, size, columns, height, 1, v, vStride, c, stride, 0, w, columns)
      ck_gemm(!transposed, false, size, columns, size, 1, t.base, size, w, columns, 0, tw, columns)
      ck_gemm(false, false, height, columns, size, -1, v, vStride, tw, columns, 1, c, stride)
    }

    /// C ← C (1 − V T Vᵀ)ᵀ; C starts at column `top`. `work` holds 2 · size · height elements.
    func applyTransposed(toRightOf c: UnsafeMutablePointer<Float>, stride: Int, height rows: Int, work: Scratch) {
      let (w, wt) = (work.base, work.base + size * rows)
      ck_gemm(false, false, rows, size, height, 1, c, stride, v, vStride, 0, w, size)
      ck_gemm(false, false, rows, size, size, 1, w, size, t.base, size, 0, wt, size)
      ck_gemm(false, true, rows, height, size, -1, wt, size, v, vStride, 1, c, stride)
    }
  }
}

/// Aligned memory of the kernels' pool, given back when its last holder goes.
final class Scratch {
  let base: UnsafeMutablePointer<Float>
  private let bytes: Int

  /// Memory that is written before it is read.
  init(_ count: Int) {
    bytes = count * MemoryLayout<Float>.stride
    base = ck_allocate(bytes).bindMemory(to: Float.self, capacity: count)
  }

  init(zeros count: Int) {
    bytes = count * MemoryLayout<Float>.stride
    base = ck_allocate(bytes).bindMemory(to: Float.self, capacity: count)
    base.initialize(repeating: 0, count: count)
  }

  deinit { ck_deallocate(base, bytes) }
}
