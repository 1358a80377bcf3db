import Foundation
import LoRACKernels
import Testing

struct ProductShape: CustomTestStringConvertible, Sendable {
  var m: Int, n: Int, k: Int
  var testDescription: String { "\(m)×\(n)×\(k)" }

  // One for every way through the code, and its edges: few rows, few columns, a small and a large depth, more than one
  // block along each side, sizes around a register and a tile.
  static let all = [
    (1, 1, 1), (3, 5, 2), (10, 77, 1000), (7, 200, 65), (33, 40, 100), (40, 65, 300), (100, 70, 300), (15, 33, 16),
    (2, 129, 2100), (200, 4, 500), (300, 3, 17), (64, 64, 64), (65, 31, 63), (350, 70, 20), (5, 2100, 3), (1, 300, 70),
    (300, 1, 70), (1, 400, 576), (13, 17, 0), (0, 4, 4), (4, 0, 4), (70, 2100, 270),
  ].map { ProductShape(m: $0.0, n: $0.1, k: $0.2) }
}

@Suite("Kernels: matrix products", .serialized)
struct ProductKernelTests {
  /// Σ_p op(A)[i, p] · op(B)[p, j], and the sum of magnitudes that bounds its rounding error.
  private static func reference(
    _ a: [Float], _ rowA: Int, _ stepA: Int, _ b: [Float], _ stepB: Int, _ columnB: Int, _ k: Int, _ i: Int, _ j: Int
  ) -> (sum: Double, magnitude: Double) {
    var sum = 0.0
    var magnitude = 0.0
    for p in 0..<k {
      let term = Double(a[i * rowA + p * stepA]) * Double(b[p * stepB + j * columnB])
      sum += term
      magnitude += abs(term)
    }
    return (sum, magnitude)
  }

  @Test(
    "a product equals its double-precision sum, however operands lie and threads share it", arguments: ProductShape.all)
  func products(shape: ProductShape) {
    let (m, n, k) = (shape.m, shape.n, shape.k)
    var source = PlainSource(m * 7919 + n * 104729 + k)
    for layout in 0..<8 {
      let (transposeA, transposeB, narrow) = (layout & 1 != 0, layout & 2 != 0, layout & 4 != 0)
      let lda = (transposeA ? m : k) + layout % 3 + 1
      let ldb = (transposeB ? k : n) + layout % 2 + 1
      let ldc = n + 2
      let a = source.values((transposeA ? k : m) * lda + 1)
      var b = source.values((transposeB ? n : k) * ldb + 1)
      var halves = [UInt16](repeating: 0, count: b.count)
      if narrow {
        ck_f32_to_bf16(b, &halves, b.count)
        ck_bf16_to_f32(halves, &b, b.count)
      }
      let (alpha, beta): (Float, Float) = [(1, 0), (-1.5, 1), (0.5, 0.75), (0, 0.5)][layout % 4]
      // With beta = 0, C is written without being read.
      let before = beta == 0 ? [Float](repeating: .nan, count: m * ldc + 1) : source.values(m * ldc + 1)
      let result = withEveryThreadCount {
        var c = before
        a.withUnsafeBytes { a in
          func multiply(_ b: UnsafeRawBufferPointer) {
            c.withUnsafeMutableBufferPointer { c in
              var product = ck_product(
                m: m, n: n, k: k, alpha: alpha, beta: beta,
                a: ck_factor(
                  elements: a.baseAddress, stride: lda, transposed: transposeA, bfloat16: false, rounds: false,
                  encoded: nil, bytes: false),
                b: ck_factor(
                  elements: b.baseAddress, stride: ldb, transposed: transposeB, bfloat16: narrow, rounds: false,
                  encoded: nil, bytes: false),
                c: c.baseAddress, ldc: ldc)
              ck_multiply(&product)
            }
          }
          if narrow { halves.withUnsafeBytes(multiply) } else { b.withUnsafeBytes(multiply) }
        }
        return c
      }
      var worst = 0.0
      var untouched = true
      for i in 0..<m {
        for j in 0..<n {
          var (sum, magnitude) = Self.reference(
            a, transposeA ? 1 : lda, transposeA ? lda : 1, b, transposeB ? 1 : ldb, transposeB ? ldb : 1, k, i, j)
          sum *= Double(alpha)
          magnitude *= abs(Double(alpha))
          if beta != 0 {
            sum += Double(beta) * Double(before[i * ldc + j])
            magnitude += abs(Double(beta) * Double(before[i * ldc + j]))
          }
          let error = abs(Double(result[i * ldc + j]) - sum) / max(magnitude, 1e-30)
          worst = error.isNaN ? .infinity : max(worst, error)
        }
        for j in n..<ldc { untouched = untouched && result[i * ldc + j].bitPattern == before[i * ldc + j].bitPattern }
      }
      #expect(worst < 1e-6, "transposed \(transposeA) \(transposeB), bfloat16 \(narrow)")
      #expect(untouched)
    }
  }

  @Test(
    "a batched product is each product", arguments: [(5, 64, 64, 32), (3, 20, 130, 90), (40, 3, 4, 5), (1, 9, 9, 9)])
  func batched(count: Int, m: Int, n: Int, k: Int) {
    var source = PlainSource(count)
    let a = source.values(count * m * k)
    for repeatsB in [false, true] {
      let b = source.values((repeatsB ? 1 : count) * n * k)
      let strideB = repeatsB ? 0 : n * k
      let result = withEveryThreadCount {
        var c = [Float](repeating: .nan, count: count * m * n)
        a.withUnsafeBytes { a in
          b.withUnsafeBytes { b in
            c.withUnsafeMutableBufferPointer { c in
              var first = ck_product(
                m: m, n: n, k: k, alpha: 1, beta: 0,
                a: ck_factor(
                  elements: a.baseAddress, stride: k, transposed: false, bfloat16: false, rounds: false, encoded: nil,
                  bytes: false),
                b: ck_factor(
                  elements: b.baseAddress, stride: k, transposed: true, bfloat16: false, rounds: false, encoded: nil,
                  bytes: false),
                c: c.baseAddress,
                ldc: n)
              ck_multiply_batch(&first, count, m * k, strideB, m * n)
            }
          }
        }
        return c
      }
      var worst = 0.0
      for index in 0..<count {
        for i in 0..<m {
          for j in 0..<n {
            let (sum, magnitude) = Self.reference(
              Array(a[index * m * k..<(index + 1) * m * k]), k, 1, Array(b[index * strideB..<index * strideB + n * k]),
              1,
              k, k, i, j)
            worst = max(worst, abs(Double(result[(index * m + i) * n + j]) - sum) / magnitude)
          }
        }
      }
      #expect(worst < 1e-6)
    }
  }
}
