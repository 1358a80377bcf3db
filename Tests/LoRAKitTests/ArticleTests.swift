// The code of the articles (Sources/LoRAKit/LoRAKit.docc) compiles, runs and does what they say. Between two markers stand
// an article's blocks of code, word for word.

import Foundation
import LoRAKit
import TestSupport
import Testing

@Suite("Articles")
struct ArticleTests {
  @Test("a base that never saw a nine learns it from an adapter, loses it without, and finds it again in a folder")
  func firstAdapter() throws {
    let place = try TemporaryFolder()
    let folder = place.file("nine")
    // FirstAdapter
    let digits = try MNIST.sample()
    var generator = SeededGenerator(seed: 0)
    let model = DigitClassifier(hidden: (128, 64), using: &generator)

    func train(_ model: DigitClassifier, on images: LabelledImages, rate: Float) throws {
      let trainer = Trainer(Adam(model.trainableParameters, learningRate: rate))
      for start in stride(from: 0, to: images.count, by: 40) {
        let (inputs, labels) = images.batch(start..<min(start + 40, images.count))
        try trainer.step { model(inputs).crossEntropy(labels) }
      }
    }

    func accuracy(of model: DigitClassifier, on images: LabelledImages) -> Double {
      let (inputs, labels) = images.batch(0..<images.count)
      let answers = model(inputs).argmaxRows()
      return ClassificationResult(labels: labels, predictions: answers, classCount: 10).accuracy
    }

    try train(model, on: digits.train.filter { $0 != 9 }, rate: 1e-3)  // it has never seen a nine
    let before = accuracy(of: model, on: digits.test.filter { $0 == 9 })  // and knows none
    // end
    // FirstAdapter
    try model.attach(
      LoRAConfiguration(rank: 4, alpha: 8), to: .names(["hidden1", "hidden2", "output"]), using: &generator)
    try train(model, on: digits.train, rate: 3e-3)
    let after = accuracy(of: model, on: digits.test.filter { $0 == 9 })
    // end
    // FirstAdapter
    let share = Double(model.trainableCount) / Double(model.parameters.reduce(0) { $0 + $1.parameter.original.count })
    try model.enableAdapters([])  // the base again, bit for bit
    let without = accuracy(of: model, on: digits.test.filter { $0 == 9 })
    try model.enableAdapters(["default"])
    // end
    // FirstAdapter
    try StoredAdapter(of: model, url: folder).write(peft: folder)

    let stored = try StoredAdapter(contentsOf: folder)
    try model.removeAdapter()
    try stored.attach(to: model)
    let again = accuracy(of: model, on: digits.test.filter { $0 == 9 })  // as before it was stored
    // end
    #expect(before == 0 && without == 0 && after > 0.7 && again == after)
    #expect(share < 0.06)
  }

  @Test("a weight that is parametrized by classes of one function, folded")
  func parametrizations() throws {
    var generator = SeededGenerator(seed: 1)
    let layer = Linear(inputs: 5, outputs: 5, using: &generator)
    // Parametrizations
    final class Symmetric: Parametrization {
      func value(of x: Tensor) -> Tensor { (x + x.transposed()) / 2 }
    }
    try layer.weight.parametrize(by: Symmetric())
    // end
    // Parametrizations
    final class Scaled: Parametrization {
      let scale: Parameter
      var isEnabled = true
      init(_ weight: Parameter) { scale = Parameter(.ones([weight.outputs, 1])) }
      func value(of w: Tensor) -> Tensor { w * scale.value }
    }
    let scaled = Scaled(layer.weight)
    try layer.weight.parametrize(by: scaled)
    // end
    #expect(layer.allParameters.map(\.name).contains("weight.parametrizations.1.scale"))
    let seen = layer.weight.value
    // Parametrizations
    layer.weight.fold()  // symmetric and scaled for good, and a plain weight again
    // end
    #expect(!layer.weight.isParametrized && layer.weight.original.isIdentical(to: seen))
    #expect(seen.isIdentical(to: seen.transposed()))
  }

  @Test("adapters are attached, switched, folded, and read from a folder")
  func adapters() throws {
    var generator = SeededGenerator(seed: 2)
    let model = DigitClassifier(inputs: 9, hidden: (12, 11), classes: 10, using: &generator)
    let images = randomTensor([3, 9], seed: 3)
    let bare = model(images)
    // Adapters
    try model.attach(LoRAConfiguration(rank: 4, alpha: 8, name: "upright"), to: .allLinear, using: &generator)
    try model.attach(LoRAConfiguration(rank: 8, alpha: 8, name: "slanted"), to: .names(["hidden1"]), using: &generator)
    // end
    for item in model.allParameters where item.name.hasSuffix(".b") {
      try item.parameter.assignOriginal(.normal(item.parameter.shape, using: &generator))
    }
    let place = try TemporaryFolder()
    let folder = place.file("slanted")
    try StoredAdapter(of: model, named: "slanted", url: folder).write(peft: folder)
    try model.enableAdapters(["upright"])
    let upright = model(images)
    // Adapters
    try model.enableAdapters(["slanted"])  // this one alone
    let base = model.withAdaptersDisabled { model(images) }  // bit for bit what the base gives
    try model.removeAdapter(named: "slanted")
    try model.foldAdapter(named: "upright")  // W becomes W + (α/r) B A
    // end
    #expect(base.isIdentical(to: bare) && model.attachedAdapters.isEmpty)
    #expect(relativeDifference(model(images), upright) < 1e-5 && relativeDifference(upright, bare) > 1e-2)
    // Adapters
    let stored = try StoredAdapter(contentsOf: folder)
    try stored.attach(to: model, named: "elsewhere")
    // end
    #expect(model.attachedAdapters.map(\.path) == ["hidden1"])
  }

  @Test("a matrix by few directions")
  func lowRank() throws {
    let weight = randomTensor([40, 30], seed: 4)
    let tuned = weight + randomTensor([40, 3], seed: 5).matmul(randomTensor([3, 30], seed: 6))
    // LowRank
    let decomposition = try weight.svd()
    let rank = decomposition.spectrum.rank(.energy(0.99))  // the smallest rank that keeps 99% of ‖W‖²
    let factors = decomposition.truncated(to: 16)
    let error = factors.relativeFrobeniusError  // ‖W − W₁₆‖ / ‖W‖
    let (b, a) = factors.balanced()  // W ≈ B A, both of like size
    // end
    // LowRank
    let sketch = try weight.randomizedSVD(rank: 16)
    let enough = try weight.randomizedSVD(relativeError: 0.1)  // as many directions as that takes
    // end
    // LowRank
    let change = try Difference(tuned, weight).randomizedSVD(rank: 4)  // the difference is never formed
    let update = try svd(ofProduct: b, a)  // of B A, from two thin QRs and a small SVD
    // end
    #expect(relativeDifference(b.matmul(a), factors.reconstructed()) < 1e-5)
    #expect(sketch.rank == 16 && enough.rank > 16 && change.relativeFrobeniusError < 1e-3)
    #expect(rank > 16 && abs(error - factors.error.frobenius / weight.norm) < 1e-5)
    #expect(abs(update.singularValues[0] - factors.singularValues[0]) < 1e-4 * factors.singularValues[0])
  }

  @Test("tensors are written and read, and a merge reports what it changed")
  func files() throws {
    let place = try TemporaryFolder()
    let url = place.file("model.safetensors")
    let matrix = randomTensor([5, 7], seed: 7)
    // Files
    try SafetensorsWriter.write([StoredTensor(name: "hidden1.weight", matrix, as: .bf16)], to: url)
    // end
    // Files
    let file = try TensorFile(url)
    for tensor in file.tensors { print(tensor.name, tensor.shape, tensor.format) }
    let weight = try file["hidden1.weight"]?.tensor()
    // end
    #expect(relativeDifference(try #require(weight), matrix) < 1e-2)
    let base = try Checkpoint(url)
    let (a, b) = (randomTensor([2, 7], seed: 8), randomTensor([5, 2], seed: 9))
    let adapter = try StoredAdapter(
      url: place.url, configuration: PEFTConfiguration(),
      modules: [
        StoredModule(path: "hidden1", a: StoredTensor(name: "a", a), b: StoredTensor(name: "b", b), alpha: 3)
      ])
    let output = place.file("merged.safetensors")
    // Files
    let report = try Merge(base: base, adapters: [(adapter, weight: 1)]).run(to: output)
    let change = report.total.relativeUpdate  // ‖ΔW‖ / ‖W‖ over all tensors that changed
    // end
    let expected = (b.matmul(a) * 1.5).norm / weight!.norm
    #expect(abs(change - expected) < 1e-4 * expected)
  }

  @Test(
    "every block of code in an article is one of these",
    arguments: ["FirstAdapter", "Parametrizations", "Adapters", "LowRank", "Files"])
  func blocks(_ article: String) throws {
    let catalogue = repositoryRoot.appendingPathComponent("Sources/LoRAKit/LoRAKit.docc")
    let text = try String(contentsOf: catalogue.appendingPathComponent("\(article).md"), encoding: .utf8)
    let shown = text.components(separatedBy: "```swift\n").dropFirst().map { $0.components(separatedBy: "```")[0] }
    let source = try String(contentsOf: URL(fileURLWithPath: #filePath), encoding: .utf8)
    let run = source.components(separatedBy: "    // \(article)\n").dropFirst().map { block in
      block.components(separatedBy: "    // end\n")[0].replacing("\n    ", with: "\n").dropFirst(4)
    }
    #expect(!shown.isEmpty && Set(shown) == Set(run.map(String.init)))
  }
}
