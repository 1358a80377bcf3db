import Foundation
import LoRAPageEngine
import LoRATensors
import TestSupport
import Testing

@Suite struct EngineTests {
  @Test("eˣ and ln x are those of the C library to three units in the last place")
  func functions() {
    for x in stride(from: Float(-80), through: 80, by: 0.37) {
      let expected = Float(Foundation.exp(Double(x)))
      #expect(abs(exponential(x) - expected) <= 3 * expected.ulp, "e^\(x)")
      #expect(abs(logarithm(expected) - x) <= 3 * max(x.magnitude, 0.1).ulp, "ln \(expected)")
    }
    #expect(exponential(-100) == 0)
  }

  @Test("Images are drawn in the order of the standard library's shuffle")
  func shuffle() {
    let indices = (0..<37).map { 3 * $0 }
    var generator = SeededGenerator(seed: 5)
    var shuffled = Shuffled(indices, seed: 5)
    for _ in 0..<3 {
      let order = indices.shuffled(using: &generator)
      #expect((0..<10).flatMap { _ in shuffled.next(4) } == order)  // 9 times 4 and once 1
    }
  }

  @Test("The gradient of the cross-entropy is its finite difference")
  func crossEntropyGradient() {
    let logits: [Float] = [0.3, -1.2, 2.1, 0.7, 0.4, -0.6]
    let labels = [2, 0]
    let (loss, gradient) = crossEntropy(logits, labels, classes: 3)
    // −(ln softmax(0.3, −1.2, 2.1)₂ + ln softmax(0.7, 0.4, −0.6)₀)/2
    let first = log(exp(0.3) + exp(-1.2) + exp(2.1)) - 2.1
    let second = log(exp(0.7) + exp(0.4) + exp(-0.6)) - 0.7
    #expect(abs(Double(loss) - (first + second) / 2) < 1e-6)
    for i in logits.indices {
      var (above, below) = (logits, logits)
      above[i] += 0.01
      below[i] -= 0.01
      let difference =
        (crossEntropy(above, labels, classes: 3).loss - crossEntropy(below, labels, classes: 3).loss) / 0.02
      #expect(abs(gradient[i] - difference) < 1e-4)
    }
  }

  @Test("Singular values: of a matrix known by hand, and of factors as of their product")
  func spectra() {
    // [[3, 0, 0], [0, 0, −4]] has the values 4 and 3.
    #expect(singularValues([3, 0, 0, 0, 0, -4], rows: 2, columns: 3) == [4, 3])
    var generator = SeededGenerator(seed: 2)
    let layer = Dense(
      inputs: 11, outputs: 7, weight: [Float](repeating: 0, count: 77), bias: [Float](repeating: 0, count: 7))
    var factors = LowRank(beside: layer, rank: 3, using: &generator)
    for i in factors.b.indices { factors.b[i] = generator.unitFloat() - 0.5 }
    let values = singularValues(factors, scale: 1.7)
    let whole = singularValues(factors.delta(scale: 1.7), rows: 7, columns: 11)
    #expect(values.count == 3)
    for i in 0..<3 { #expect(abs(values[i] - whole[i]) < 1e-5 * whole[0]) }
    for i in 3..<7 { #expect(whole[i] < 1e-5 * whole[0]) }
  }

  private static let sourceRoot = URL(fileURLWithPath: #filePath).appendingPathComponent("../../..").standardizedFileURL
  private static let committed = sourceRoot.appendingPathComponent("Sources/Page/Resources/engine.wasm")

  @Test("The committed engine is what its source builds")
  func built() throws {
    let output = FileManager.default.temporaryDirectory.appendingPathComponent("engine-\(UUID().uuidString).wasm")
    defer { try? FileManager.default.removeItem(at: output) }
    let build = Process()
    build.executableURL = Self.sourceRoot.appendingPathComponent("Scripts/page/build-engine.sh")
    build.arguments = [output.path]
    try build.run()
    build.waitUntilExit()
    if build.terminationStatus == 2 {
      print("skipped: this toolchain can't build for the web")
      return
    }
    #expect(build.terminationStatus == 0)
    let (fresh, kept) = (try Data(contentsOf: output), try Data(contentsOf: Self.committed))
    func compiler(_ engine: Data) -> Data.SubSequence? {
      engine.range(of: Data("compiler".utf8), options: .backwards).map { engine[$0.upperBound...] }
    }
    guard let used = compiler(fresh), compiler(kept) == used else {
      print("skipped: the engine was built by another compiler")
      return
    }
    #expect(fresh == kept, "Build it anew: Scripts/page/build-engine.sh Sources/Page/Resources/engine.wasm")
  }
}
