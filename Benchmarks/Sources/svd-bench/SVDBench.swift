import LoRAKit

@main struct SVDBench {
  static func main() throws {
    var generator = SeededGenerator(seed: 1)
    let sizes = CommandLine.arguments.count > 1 ? [(Int(CommandLine.arguments[1])!, Int(CommandLine.arguments[2])!, 3)] : [(256, 256, 9), (1024, 1024, 5), (4096, 1024, 3), (2048, 2048, 3)]
    let clock = ContinuousClock()
    for (m, n, k) in sizes {
      let a = Tensor.normal([m, n], using: &generator)
      var times: [Double] = []
      for _ in 0..<k { times.append(try clock.measure { _ = try a.svd() } / .seconds(1)) }
      print(m, n, "svd", times.sorted()[k / 2])
      times = []
      for _ in 0..<k { times.append(try clock.measure { _ = try a.qr() } / .seconds(1)) }
      print(m, n, "qr", times.sorted()[k / 2])
    }
  }
}
