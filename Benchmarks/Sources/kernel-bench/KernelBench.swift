// The kernels against the platform's OpenBLAS, in one run, by one and by all threads.
//
//     swift run -c release --package-path Benchmarks kernel-bench [--only "LoRA"]     # names with this in them
//
// A product's time is the median of repeated calls, ours and OpenBLAS's in turn; its result is compared with
// OpenBLAS's. OpenBLAS chooses its kernels itself, unless OPENBLAS_CORETYPE tells it: the first line names them.
// Other kernels are compared with a copy of memory (memcpy) of as many bytes as they read and write; their results with
// the formula on some elements.
import CBLAS
import Foundation
import LoRACKernels
import Measuring

@main
struct KernelBench {
  static func main() {
    let kernels = String(cString: openblas_get_corename())
    print("instruction set \(String(cString: ck_instruction_set())); OpenBLAS's kernels: \(kernels)")
    let table = Table(threadCounts: Set([1, Int(ck_thread_count())]).sorted())

    table.showTitle("Gflop/s, ours / OpenBLAS (ratio)")
    for product in Product.all where isWanted(product.name) { product.measure(in: table) }

    print()
    table.showTitle("GB/s, ours / memcpy on one thread (ratio)")
    for pass in Pass.all(count: isShortest ? 1 << 16 : 1 << 22) where isWanted(pass.name) { pass.measure(in: table) }

    if isWanted("dispatch") {
      ck_set_thread_count(2)
      let times = (0..<(isShortest ? 100 : 10_000)).map { _ in seconds(runEmptyJob) }
      print("\na parallel job of two empty parts takes \(String(format: "%.2f", median(times) * 1e6)) µs (median)")
    }
  }
}

/// Outside of main, whose closures belong to the main thread: a part may run on any.
func runEmptyJob() { ck_parallel(2, { _, _ in }, nil) }

/// A row a kernel, a column a number of threads.
struct Table {
  let threadCounts: [Int]

  func showTitle(_ title: String) {
    print(padded(title, 44) + threadCounts.map { padded("\($0) thread(s)", 30) }.joined())
  }

  /// `work` in billions of whatever the title says.
  func show(_ name: String, work: Double, _ ours: () -> Void, _ theirs: () -> Void) {
    var line = padded(name, 44)
    for threads in threadCounts {
      ck_set_thread_count(Int32(threads))
      openblas_set_num_threads(Int32(threads))
      let (ours, theirs) = Table.medians(ours, theirs)
      let ratio = String(format: "(%.2f)", theirs / ours)
      line += String(format: "%8.1f / %8.1f ", work / ours, work / theirs) + padded(ratio, 8)
    }
    print(line)
  }

  /// Medians of two bodies that are run in turn for about a tenth of a second each, so that what disturbs one disturbs
  /// both.
  private static func medians(_ ours: () -> Void, _ theirs: () -> Void) -> (Double, Double) {
    ours()
    theirs()
    let once = seconds(ours) + seconds(theirs)
    let inner = max(1, Int(2e-5 / max(once, 1e-9)))
    let rounds = isShortest ? 1 : min(max(Int(0.2 / (once * Double(inner))), 3), 300)
    var times: ([Double], [Double]) = ([], [])
    for _ in 0..<rounds {
      times.0.append(seconds { for _ in 0..<inner { ours() } } / Double(inner))
      times.1.append(seconds { for _ in 0..<inner { theirs() } } / Double(inner))
    }
    return (median(times.0), median(times.1))
  }
}

func randomValues(_ count: Int) -> [Float] { (0..<count).map { _ in Float.random(in: -1...1) } }
