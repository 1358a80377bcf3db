import Foundation
import LoRAKit
import TestSupport
import Testing

@Suite("README")
struct ReadmeTests {
  /// The lines between the two markers below stand in the README, word for word.
  @Test("the library's ten lines in the README compile, run, and are these")
  func tenLines() throws {
    // README begins
    var generator = SeededGenerator(seed: 0)
    let digits = try MNIST.sample()
    let model = DigitClassifier(using: &generator)  // 784-1000-2000-10; it knows nothing of LoRA
    try model.attach(LoRAConfiguration(rank: 4, alpha: 8), to: .names(["hidden1", "hidden2"]), using: &generator)

    let trainer = Trainer(Adam(model.trainableParameters, learningRate: 1e-3))  // A and B, nothing else
    for start in stride(from: 0, to: 1000, by: 10) {
      let batch = digits.train.batch(start..<start + 10)
      try trainer.step { model(batch.inputs).crossEntropy(batch.labels) }
    }
    print("\(model.trainableCount) numbers, loss \(trainer.losses[0]) → \(trainer.losses[99])")
    try model.enableAdapters([])  // the base again, bit for bit
    try model.foldAdapter()  // or W + (α/r) B A for good
    // README ends
    #expect(trainer.losses.count == 100)
    #expect(trainer.losses.suffix(10).reduce(0, +) < trainer.losses.prefix(10).reduce(0, +))
    #expect(model.attachedAdapters.isEmpty)

    let source = try String(contentsOf: URL(fileURLWithPath: #filePath), encoding: .utf8)
    let begin = try #require(source.range(of: "    // README begins\n"))
    let end = try #require(source.range(of: "    // README ends\n"))
    let snippet = source[begin.upperBound..<end.lowerBound].split(separator: "\n", omittingEmptySubsequences: false)
      .map { $0.hasPrefix("    ") ? $0.dropFirst(4) : $0 }.joined(separator: "\n")
    let readme = try String(contentsOf: repositoryRoot.appendingPathComponent("README.md"), encoding: .utf8)
    #expect(readme.contains(snippet))
  }
}
