// Models whose frozen weights stay bfloat16 in the mapped file, against the same weights widened to float32.
import Foundation
import LoRAKit
import TestSupport
import Testing

private let folder = fixtures.appendingPathComponent("models")

/// A model's folder with its weights rounded to bfloat16, stored as such or as float32.
private func rounded(_ source: URL, as format: NumberFormat, in directory: TemporaryFolder) throws -> URL {
  let url = directory.file("\(source.lastPathComponent)-\(format.rawValue)")
  guard !FileManager.default.fileExists(atPath: url.path) else { return url }
  try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  let tensors = try Checkpoint(source).tensors.map { stored in
    let narrow = try StoredTensor(name: stored.name, stored.tensor(), as: .bf16)
    return try StoredTensor(name: stored.name, narrow.tensor(), as: format)
  }
  try SafetensorsWriter.write(tensors, to: url.appendingPathComponent("model.safetensors"))
  try FileManager.default.copyItem(
    at: source.appendingPathComponent("config.json"), to: url.appendingPathComponent("config.json"))
  return url
}

/// A decoder, or a classifier: what the tests need of either.
private struct Subject {
  let model: any Module
  let decoder: (any LanguageModel)?
  let classifier: SequenceClassifier?

  init(_ url: URL) throws {
    var generator = SeededGenerator(seed: 1)
    classifier =
      url.lastPathComponent.contains("bert") ? try SequenceClassifier(contentsOf: url, using: &generator) : nil
    decoder = classifier == nil ? try languageModel(contentsOf: url) : nil
    model = classifier ?? decoder!
  }

  private static let ids = [[3, 17, 5, 29, 8, 2, 11, 30], [1, 6, 6, 13]]

  func recompute() {
    classifier?.body.recomputes = true
    decoder?.recomputes = true
  }

  func logits() -> Tensor {
    classifier.map { $0(TokenRows(ids: Self.ids)) } ?? decoder!.logits(TokenRows(ids: Self.ids))
  }

  func loss() -> Tensor {
    classifier.map { $0(TokenRows(ids: Self.ids)).crossEntropy([2, 0]) } ?? decoder!.loss(TokenRows(ids: Self.ids))
  }
}

private func isClose(_ a: Tensor, _ b: Tensor, _ tolerance: Double = 1e-5) -> Bool {
  a.shape == b.shape && (a - b).norm <= tolerance * b.norm
}

@Suite("Models with a base of bfloat16")
struct NarrowBaseTests {
  private static let names = ["tiny-llama", "tiny-llama3", "tiny-mistral", "tiny-qwen2", "tiny-gpt2", "tiny-bert"]

  private let temporary: TemporaryFolder

  init() throws { temporary = try TemporaryFolder() }

  private func pair(_ source: URL) throws -> (narrow: Subject, wide: Subject) {
    (
      try Subject(rounded(source, as: .bf16, in: temporary)), try Subject(rounded(source, as: .f32, in: temporary))
    )
  }

  @Test("matrices stay bfloat16, vectors are widened, and logits are those of the widened weights", arguments: names)
  func logits(name: String) throws {
    let (narrow, wide) = try pair(folder.appendingPathComponent(name))
    for (item, other) in zip(narrow.model.parameters, wide.model.parameters) {
      let weight = item.parameter.original
      #expect(weight.byteCount == (weight.rank == 2 ? 2 : 4) * weight.count, "\(item.name)")
      #expect(weight.isIdentical(to: other.parameter.original), "\(item.name)")
    }
    #expect(isClose(narrow.logits(), wide.logits()))
    guard let decoder = narrow.decoder, let other = wide.decoder else { return }
    func text(_ model: some LanguageModel) -> [Int] {
      Array(Continuation(of: [3, 17, 5], by: model, limit: 9, using: SeededGenerator(seed: 0)))
    }
    let texts = [text(decoder), text(other)]
    #expect(texts[0] == texts[1] && texts[0].count == 9)
  }

  @Test(
    "training has the losses of the widened base at every step, and leaves the base alone",
    arguments: ["tiny-llama", "tiny-gpt2", "tiny-bert"], FineTuningRecipe.Method.allCases)
  func training(name: String, method: FineTuningRecipe.Method) throws {
    for recomputes in [false, true] {
      let (narrow, wide) = try pair(folder.appendingPathComponent(name))
      let base = narrow.logits()
      var recipe = FineTuningRecipe()
      (recipe.method, recipe.rank, recipe.alpha) = (method, 2, 3)
      let losses = try [narrow, wide].map { subject in
        if recomputes { subject.recompute() }
        var generator = SeededGenerator(seed: 4)
        try recipe.prepare(subject.model, using: &generator)
        // Plain descent: Adam's first steps are the sign of a gradient, which rounding can turn.
        let trainer = Trainer(SGD(subject.model.trainableParameters, learningRate: 0.05))
        return try (0..<6).map { _ in try trainer.step { subject.loss() }.loss }
      }
      #expect(losses[0].first! > losses[0].last!)
      for (a, b) in zip(losses[0], losses[1]) { #expect(abs(a - b) < 1e-5 * abs(b), "recomputes \(recomputes)") }
      for item in narrow.model.parameters where item.parameter.shape.count == 2 {
        #expect(item.parameter.original.byteCount == (method == .full ? 4 : 2) * item.parameter.original.count)
      }
      // Folded in, the adapters give the same; the weights are then float32.
      guard method != .full else { continue }
      let adapted = narrow.logits()
      try narrow.model.foldAdapter()
      #expect(isClose(narrow.logits(), adapted))
      #expect(!isClose(adapted, base))
    }
  }

  @Test("an adapter trained on it is written for the base, and gives the same on it again")
  func written() throws {
    let narrow = try pair(folder.appendingPathComponent("tiny-llama")).narrow
    var recipe = FineTuningRecipe()
    (recipe.method, recipe.rank) = (.pissa, 2)
    var generator = SeededGenerator(seed: 4)
    try recipe.prepare(narrow.model, using: &generator)
    let trainer = Trainer(SGD(narrow.model.trainableParameters, learningRate: 0.05))
    for _ in 0..<3 { try trainer.step { narrow.loss() } }
    let url = temporary.file("adapter")
    try StoredAdapter(of: narrow.model, url: url).write(peft: url)
    let again = try Subject(temporary.file("tiny-llama-BF16"))
    try StoredAdapter(peft: url).attach(to: again.model)
    #expect(isClose(again.logits(), narrow.logits()))
  }

  @Test("a matrix of bfloat16 at an odd byte stays as it is stored, and reads the same")
  func unaligned() throws {
    let header =
      #"{"u":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"#
      + #""x":{"dtype":"BF16","shape":[1,2],"data_offsets":[1,5]}} "#
    let length = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Data($0) }
    let url = temporary.file("x.safetensors")
    // 1.5 and −2 are 0x3FC0 and 0xC000.
    try (length + Data(header.utf8) + Data([9, 0xC0, 0x3F, 0x00, 0xC0])).write(to: url)
    let x = try #require(SafetensorsFile(url)["x"]).sharedTensor()
    #expect(x.scalars == [1.5, -2] && x.byteCount == 4)
  }

  @Test(
    "a real model in bfloat16 gives the logits of its widened weights",
    .enabled(if: sharedData != nil, "needs shared/data"))
  func stories() throws {
    let source = try #require(sharedData).appendingPathComponent("models/stories260K")
    let url = temporary.file("stories")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    for (file, copy) in [("model-bf16.safetensors", "model.safetensors"), ("config.json", "config.json")] {
      try FileManager.default.copyItem(at: source.appendingPathComponent(file), to: url.appendingPathComponent(copy))
    }
    let narrow = try languageModel(contentsOf: url)
    let wide = try languageModel(contentsOf: rounded(url, as: .f32, in: temporary))
    #expect(narrow.outputWeight.byteCount == 2 * narrow.outputWeight.count)
    let rows = TokenRows(ids: [[1, 403, 407, 261, 378, 90, 31, 260], Array(20..<140)])
    #expect(isClose(narrow.logits(rows), wide.logits(rows)))
    #expect(abs(narrow.loss(rows).item - wide.loss(rows).item) < 1e-5)
  }
}
