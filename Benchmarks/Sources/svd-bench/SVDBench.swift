import LoRAKit

@main struct SVDBench {
  static func main() throws {
    var generator = SeededGenerator(seed: 1)
    let clock = ContinuousClock()
    func low(_ f: () throws -> Void) rethrows -> Double {
      try f()
      return try (0..<7).map { _ in try clock.measure { try f() } / .milliseconds(1) }.min()!
    }
    let a = Tensor.normal([4096, 4096], using: &generator)
    for w in [16, 24, 32, 40, 48, 64, 72, 80, 96, 128] {
      let x = Tensor.normal([4096, w], using: &generator)
      let xt = x.transposed()
      print(w, "ax", low { _ = a.matmul(x) }, "aTx", low { _ = a.matmul(x, transposeSelf: true) }, "xT aT", low {_ = x.matmul(a, transposeSelf: true, transposeOther: true)}, "xt aT", low { _ = xt.matmul(a, transposeOther: true)}, "xt a", low { _ = xt.matmul(a)}, "qr", try low { _ = try x.qr() })
    }
    for r in [16, 64] { print(r, try low { _ = try a.randomizedSVD(rank: r) }) }
    for (m, n) in [(256, 256), (1024, 1024), (4096, 1024), (2048, 2048)] {
      let a = Tensor.normal([m, n], using: &generator)
      print(m, n, "svd", try low { _ = try a.svd() }, "values", try low { _ = try a.singularValues() }, "qr", try low { _ = try a.qr() })
    }
  }
}
