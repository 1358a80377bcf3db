// The kernels against the platform's OpenBLAS, in one run, by one and by all threads.
//
//   swift run -c release --package-path Benchmarks kernel-bench [words of a name …]
//
// A product's time is the median of repeated calls, ours and OpenBLAS's in turn; its result is compared with
// OpenBLAS's. OpenBLAS chooses its kernels itself, unless OPENBLAS_CORETYPE tells it: the first line names them.
// Other kernels are compared with a copy of memory (memcpy) of as many bytes as they read and write.
import CKernels
import COpenBLAS
import Foundation

func median(_ times: [Double]) -> Double { times.sorted()[times.count / 2] }

func seconds(_ body: () -> Void) -> Double {
  let clock = ContinuousClock()
  let start = clock.now
  body()
  let (seconds, attoseconds) = (clock.now - start).components
  return Double(seconds) + Double(attoseconds) * 1e-18
}

/// Medians of two bodies that are run in turn for about a tenth of a second each, so that what disturbs one disturbs both.
func medians(_ ours: () -> Void, _ theirs: () -> Void) -> (Double, Double) {
  ours()
  theirs()
  let once = seconds(ours) + seconds(theirs)
  let inner = max(1, Int(2e-5 / max(once, 1e-9)))
  let rounds = min(max(Int(0.2 / (once * Double(inner))), 3), 300)
  var times: ([Double], [Double]) = ([], [])
  for _ in 0..<rounds {
    times.0.append(seconds { for _ in 0..<inner { ours() } } / Double(inner))
    times.1.append(seconds { for _ in 0..<inner { theirs() } } / Double(inner))
  }
  return (median(times.0), median(times.1))
}

struct Product {
  var name: String
  var transposeA = false, transposeB = false
  var m: Int, n: Int, k: Int
}

/// What training and merging ask for: x Wᵀ forward, dy W backward, dyᵀ x for the weights, the thin products of LoRA.
let products: [Product] =
  [10, 32, 64, 256].flatMap { batch in
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
  } + [
    Product(name: "merge B A", m: 2000, n: 1000, k: 8),
    Product(name: "square", m: 64, n: 64, k: 64),
    Product(name: "square", m: 512, n: 512, k: 512),
    Product(name: "square", m: 2048, n: 2048, k: 2048),
    Product(name: "square A Bᵀ", transposeB: true, m: 1024, n: 1024, k: 1024),
    Product(name: "square Aᵀ B", transposeA: true, m: 1024, n: 1024, k: 1024),
  ]

func values(_ count: Int) -> [Float] {
  var generator = SystemRandomNumberGenerator()
  return (0..<count).map { _ in Float.random(in: -1...1, using: &generator) }
}

func pad(_ text: String, _ width: Int) -> String { text + String(repeating: " ", count: max(0, width - text.count)) }

func column(_ number: Double) -> String { String(format: "%8.1f", number) }

let wanted = CommandLine.arguments.dropFirst()
func isWanted(_ name: String) -> Bool { wanted.allSatisfy { name.contains($0) } }

let threadCounts = Array(Set([1, Int(ck_thread_count())])).sorted()
print(
  "instruction set \(String(cString: ck_instruction_set())); OpenBLAS's kernels: \(String(cString: openblas_get_corename()))"
)
print(pad("Gflop/s, ours / OpenBLAS (ratio)", 42) + threadCounts.map { pad("\($0) thread(s)", 30) }.joined())

for product in products where isWanted(product.name) {
  let (m, n, k) = (product.m, product.n, product.k)
  let a = values(m * k)
  let b = values(k * n)
  var c = [Float](repeating: 0, count: m * n)
  var d = c
  let lda = product.transposeA ? m : k
  let ldb = product.transposeB ? k : n
  var line = pad("\(product.name) \(m)×\(n), k = \(k)", 42)
  for threads in threadCounts {
    ck_set_thread_count(Int32(threads))
    openblas_set_num_threads(Int32(threads))
    let (ours, theirs) = medians(
      { ck_gemm(product.transposeA, product.transposeB, m, n, k, 1, a, lda, b, ldb, 0, &c, n) },
      {
        cblas_sgemm(
          CblasRowMajor, product.transposeA ? CblasTrans : CblasNoTrans, product.transposeB ? CblasTrans : CblasNoTrans,
          blasint(m), blasint(n), blasint(k), 1, a, blasint(lda), b, blasint(ldb), 0, &d, blasint(n))
      })
    let work = 2e-9 * Double(m) * Double(n) * Double(k)
    line += "\(column(work / ours)) / \(column(work / theirs)) " + pad(String(format: "(%.2f)", theirs / ours), 8)
  }
  print(line)
  let worst = zip(c, d).reduce(0) { max($0, abs($1.0 - $1.1)) }
  if !(worst < 1e-4 * Float(k).squareRoot()) {
    print("  the two disagree by \(worst)")
    exit(1)
  }
}

/// A kernel that moves `bytes` and is otherwise cheap.
struct Pass {
  var name: String
  var bytes: Int
  var run: () -> Void
}

let count = 1 << 22
var (weight, gradient, m, v) = (values(count), values(count), values(count), [Float](repeating: 1, count: count))
var halves = [UInt16](repeating: 0, count: count)
let passes = [
  Pass(name: "Adam step", bytes: 28 * count) {
    ck_adam_step(&weight, gradient, &m, &v, count, 1e-3, 0.9, 0.999, 1e-8, 0, true, 10, 1)
  },
  Pass(name: "sum of squares", bytes: 4 * count) { _ = ck_sum_of_squares(gradient, count) },
  Pass(name: "exp", bytes: 8 * count) { ck_unary(CK_EXP, gradient, &m, count) },
  Pass(name: "erf", bytes: 8 * count) { ck_unary(CK_ERF, gradient, &m, count) },
  Pass(name: "gelu", bytes: 8 * count) { ck_unary(CK_GELU, gradient, &m, count) },
  Pass(name: "softmax of rows of 1024", bytes: 8 * count) { ck_softmax_rows(false, gradient, &m, count / 1024, 1024) },
  Pass(name: "layer norm of rows of 1024", bytes: 8 * count) {
    ck_rms_norm(gradient, nil, 1e-5, &m, &v, count / 1024, 1024)
  },
  Pass(name: "float32 to float16", bytes: 6 * count) { ck_f32_to_f16(gradient, &halves, count) },
  Pass(name: "float16 to float32", bytes: 6 * count) { ck_f16_to_f32(halves, &m, count) },
  Pass(name: "float32 to bfloat16", bytes: 6 * count) { ck_f32_to_bf16(gradient, &halves, count) },
  Pass(name: "bfloat16 to float32", bytes: 6 * count) { ck_bf16_to_f32(halves, &m, count) },
  Pass(name: "transpose 2048×2048", bytes: 8 * count) { ck_permute(2, [2048, 2048], gradient, [1, 2048], &m) },
]

print("\n" + pad("GB/s, ours / memcpy on one thread (ratio)", 42))
for pass in passes where isWanted(pass.name) {
  let from = ck_allocate(pass.bytes / 2)!
  let to = ck_allocate(pass.bytes / 2)!
  memset(from, 1, pass.bytes / 2)
  var line = pad(pass.name, 42)
  for threads in threadCounts {
    ck_set_thread_count(Int32(threads))
    let (ours, theirs) = medians(pass.run) { memcpy(to, from, pass.bytes / 2) }
    let work = 1e-9 * Double(pass.bytes)
    line += "\(column(work / ours)) / \(column(work / theirs)) " + pad(String(format: "(%.2f)", theirs / ours), 8)
  }
  print(line)
  ck_deallocate(from, pass.bytes / 2)
  ck_deallocate(to, pass.bytes / 2)
}

if isWanted("dispatch") {
  ck_set_thread_count(2)
  let times = (0..<10_000).map { _ in seconds(dispatchEmptyJob) }
  print("\na parallel job of two empty parts takes \(String(format: "%.2f", median(times) * 1e6)) µs (median)")
}
