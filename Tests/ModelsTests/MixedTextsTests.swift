// Transformers and digits in batches of mixed adapters: each text's numbers are those of that text alone.
import Foundation
import LoRAAdapters
import LoRAModels
import LoRANetworks
import LoRATensors
import TestSupport
import Testing

private let names: [String?] = ["a", "b", nil, "dora", "a", nil, "b", "dora", "a"]
/// Shorter and longer than what is multiplied together.
private let lengths = [5, 33, 2, 48, 1, 37, 20, 3, 32]

/// Adapters of several ranks, scales and kinds, with B and magnitudes that are not those of the start.
private func adapt(_ model: some Module, _ every: Targets, _ some: Targets) throws {
  var generator = SeededGenerator(seed: 5)
  try model.attach(LoRAConfiguration(rank: 2, alpha: 3, name: "a"), to: every, using: &generator)
  try model.attach(
    LoRAConfiguration(rank: 3, alpha: 7, scaling: .rankStabilized, name: "b"), to: some, using: &generator)
  try model.attach(LoRAConfiguration(rank: 1, alpha: 2, form: .dora, name: "dora"), to: some, using: &generator)
  for item in model.allParameters where item.name.hasSuffix(".b") || item.name.hasSuffix("magnitude") {
    try item.parameter.assignOriginal(
      item.parameter.original + .normal(item.parameter.shape, deviation: 0.2, using: &generator))
  }
}

private func texts(vocabulary: Int) -> [[Int]] {
  lengths.enumerated().map { text, length in (0..<length).map { (text * 31 + $0 * 17 + $0 * $0) % vocabulary } }
}

@Suite("Mixed batches of models")
struct MixedTextsTests {
  @Test(
    "a decoder's logits of each text are, bit for bit, those of the text alone with its adapter",
    arguments: ["tiny-llama", "tiny-qwen2", "tiny-gpt2"])
  func decoder(name: String) throws {
    let folder = try TemporaryFolder()
    try writeEnlarged(name, to: folder.url)
    let model = try languageModel(contentsOf: folder.url)
    let isGPT2 = name == "tiny-gpt2"
    try adapt(
      model, isGPT2 ? .pattern(".*(wte|c_.*)") : .pattern(".*(_proj|embed_tokens|lm_head)"),
      .names([isGPT2 ? "c_attn" : "q_proj"]))
    let texts = texts(vocabulary: model.vocabulary)
    let mixed = try model.withAdapters(rows: names) { model.logits(TokenRows(ids: texts)) }
    let packing = Packing(lengths: lengths)
    for (index, text) in texts.enumerated() {
      let alone = try model.withAdapters(names[index].map { [$0] } ?? []) { model.logits(TokenRows(ids: [text])) }
      #expect(
        mixed.sliced(axis: 0, packing[index]).isIdentical(to: alone), "\(text.count) tokens, \(names[index] ?? "base")")
      let base = model.withAdaptersDisabled { model.logits(TokenRows(ids: [text])) }
      #expect(alone.isIdentical(to: base) == (names[index] == nil))
    }
  }

  @Test("a classifier's logits of each text are, bit for bit, those of the text alone with its adapter")
  func encoder() throws {
    let folder = try TemporaryFolder()
    try writeEnlarged("tiny-bert", to: folder.url)
    var generator = SeededGenerator(seed: 1)
    let model = try SequenceClassifier(contentsOf: folder.url, using: &generator)
    try adapt(model, .allLinear, .names(["query", "pooler.dense"]))
    let texts = texts(vocabulary: 100)
    let mixed = try model.withAdapters(rows: names) { model(TokenRows(ids: texts)) }
    #expect(mixed.shape == [texts.count, 3])
    for (index, text) in texts.enumerated() {
      let alone = try model.withAdapters(names[index].map { [$0] } ?? []) { model(TokenRows(ids: [text])) }
      #expect(mixed.sliced(axis: 0, index..<index + 1).isIdentical(to: alone), "\(text.count) tokens")
    }
  }

  @Test("a digit classifier's rows likewise")
  func digits() throws {
    var generator = SeededGenerator(seed: 1)
    let model = DigitClassifier(inputs: 784, hidden: (100, 57), using: &generator)
    try adapt(model, .allLinear, .names(["hidden1", "output"]))
    let images = randomTensor([names.count * 5, 784], seed: 7)
    let rows = (0..<images.shape[0]).map { names[($0 * 4) % names.count] }
    let mixed = try model.withAdapters(rows: rows) { model(images) }
    for row in rows.indices {
      let alone = try model.withAdapters(rows[row].map { [$0] } ?? []) { model(images.sliced(axis: 0, row..<row + 1)) }
      #expect(mixed.sliced(axis: 0, row..<row + 1).isIdentical(to: alone), "row \(row)")
    }
  }

  @Test("layers computed again for the gradient use the adapters of their pass, also when its scope is over")
  func recomputation() throws {
    let folder = try TemporaryFolder()
    try writeEnlarged("tiny-llama", to: folder.url)
    let model = try languageModel(contentsOf: folder.url)
    try adapt(model, .pattern(".*_proj"), .names(["q_proj"]))
    let parameters = model.trainableParameters
    let tokens = TokenRows(ids: texts(vocabulary: model.vocabulary))
    func gradients(recomputes: Bool, _ pass: () throws -> Tensor) throws -> Gradients {
      model.recomputes = recomputes
      return try parameters.valueAndGradients(pass).gradients
    }
    for pass in [
      { try model.withAdapters(["a"]) { model.loss(tokens) } },
      { try model.withAdapters(rows: names) { model.logits(tokens).squared().mean() } },
    ] {
      let (kept, again) = (try gradients(recomputes: false, pass), try gradients(recomputes: true, pass))
      #expect(kept.count > 0 && kept.count == again.count)
      for item in parameters {
        guard let gradient = kept[item.parameter] else { continue }
        #expect(again[item.parameter]?.isIdentical(to: gradient) == true, "\(item.name)")
      }
    }
  }
}
