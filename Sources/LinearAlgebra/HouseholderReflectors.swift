import LoRACKernels
import LoRATensors

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
      multiply(
        Factor(v, stride: vStride, transposed: true), Factor(v, stride: vStride), m: size, n: size, k: height,
        to: gram.base, stride: size)
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
      multiply(
        Factor(v, stride: vStride, transposed: true), Factor(c, stride: stride), m: size, n: columns, k: height,
        to: w, stride: columns)
      multiply(
        Factor(t.base, stride: size, transposed: !transposed), Factor(w, stride: columns), m: size, n: columns, k: size,
        to: tw, stride: columns)
      multiply(
        Factor(v, stride: vStride), Factor(tw, stride: columns), m: height, n: columns, k: size, alpha: -1, beta: 1,
        to: c, stride: stride)
    }

    /// C ← C (1 − V T Vᵀ)ᵀ; C starts at column `top`. `work` holds 2 · size · height elements.
    func applyTransposed(toRightOf c: UnsafeMutablePointer<Float>, stride: Int, height rows: Int, work: Scratch) {
      let (w, wt) = (work.base, work.base + size * rows)
      multiply(
        Factor(c, stride: stride), Factor(v, stride: vStride), m: rows, n: size, k: height, to: w, stride: size)
      multiply(
        Factor(w, stride: size), Factor(t.base, stride: size), m: rows, n: size, k: size, to: wt, stride: size)
      multiply(
        Factor(wt, stride: size), Factor(v, stride: vStride, transposed: true), m: rows, n: height, k: size, alpha: -1,
        beta: 1, to: c, stride: stride)
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
