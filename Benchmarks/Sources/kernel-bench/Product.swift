// Products of matrices as training and merging ask for them, against OpenBLAS's.
import CBLAS
import LoRACKernels
import Measuring

/// C = A B of m×n, with k products summed for each element.
struct Product {
  var name: String
  var transposeA = false, transposeB = false
  var m: Int, n: Int, k: Int

  /// x Wᵀ forward, dy W backward, dyᵀ x for the weights, the thin products of LoRA.
  static let all: [Product] =
    (isShortest ? [10] : [10, 32, 64, 256]).flatMap { batch in
      [
        Product(name: "forward x Wᵀ", transposeB: true, m: batch, n: 2000, k: 1000),
        Product(name: "backward dy W", m: batch, n: 1000, k: 2000),
        Product(name: "weights dyᵀ x", transposeA: true, m: 2000, n: 1000, k: batch),
        Product(name: "LoRA x Aᵀ", transposeB: true, m: batch, n: 4, k: 1000),
        Product(name: "LoRA h Bᵀ", transposeB: true, m: batch, n: 2000, k: 4),
        Product(name: "LoRA dy B", m: batch, n: 4, k: 2000),
        Product(name: "LoRA dyᵀ h", transposeA: true, m: 2000, n: 4, k: batch),
        Product(name: "LoRA dhᵀ x", transposeA: true, m: 4, n: 1000, k: batch),
        Product(name: "LoRA dh A", m: batch, n: 1000, k: 4),
      ]
    }
    + [
      Product(name: "merge B A", m: 2000, n: 1000, k: 8),
      Product(name: "square", m: 64, n: 64, k: 64),
      Product(name: "square", m: 512, n: 512, k: 512),
      Product(name: "square", m: 2048, n: 2048, k: 2048),
      Product(name: "square A Bᵀ", transposeB: true, m: 1024, n: 1024, k: 1024),
      Product(name: "square Aᵀ B", transposeA: true, m: 1024, n: 1024, k: 1024),
    ].filter { !isShortest || $0.k < 1024 }

  func measure(in table: Table) {
    let (a, b) = (randomValues(m * k), randomValues(k * n))
    var ours = [Float](repeating: 0, count: m * n)
    var theirs = ours
    let (strideA, strideB) = (transposeA ? m : k, transposeB ? k : n)
    table.show("\(name) \(m)×\(n), k = \(k)", work: 2e-9 * Double(m) * Double(n) * Double(k)) {
      a.withUnsafeBytes { a in
        b.withUnsafeBytes { b in
          ours.withUnsafeMutableBufferPointer { ours in
            var product = ck_product(
              m: m, n: n, k: k, alpha: 1, beta: 0,
              a: ck_factor(
                elements: a.baseAddress, stride: strideA, transposed: transposeA, bfloat16: false, rounds: false,
                encoded: nil, bytes: false),
              b: ck_factor(
                elements: b.baseAddress, stride: strideB, transposed: transposeB, bfloat16: false, rounds: false,
                encoded: nil, bytes: false),
              c: ours.baseAddress, ldc: n)
            ck_multiply(&product)
          }
        }
      }
    } _: {
      cblas_sgemm(
        CblasRowMajor, transposeA ? CblasTrans : CblasNoTrans, transposeB ? CblasTrans : CblasNoTrans, blasint(m),
        blasint(n), blasint(k), 1, a, blasint(strideA), b, blasint(strideB), 0, &theirs, blasint(n))
    }
    let difference = zip(ours, theirs).map { abs($0 - $1) }.max()!
    check(difference < 1e-4 * Float(k).squareRoot(), "\(name): the two differ by \(difference)")
  }
}
