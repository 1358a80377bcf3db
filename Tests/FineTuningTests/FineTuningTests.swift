// Training on models: recomputation, parts of a batch, windows, streams of text, and what keeps the best.
import Foundation
import LoRAAdapters
import LoRAFiles
import LoRAFineTuning
import LoRAFormats
import LoRALinearAlgebra
import LoRAModels
import LoRANetworks
import LoRATensors
import LoRATraining
import TestSupport
import Testing

private let folder = fixtures.appendingPathComponent("models")

private func tokenizer(_ name: String) throws -> Tokenizer {
  try Tokenizer(contentsOf: folder.appendingPathComponent("tokenizer-\(name).json"))
}

@Suite("Fine-tuning")
struct FineTuningTests {
  /// Non-zero B, so that every adapter has a gradient in A too.
  private func adapt(_ model: some Module, dropout: Float, method: FineTuningRecipe.Method) throws {
    var recipe = FineTuningRecipe()
    (recipe.method, recipe.rank, recipe.alpha, recipe.dropout) = (method, 2, 3, dropout)
    var generator = SeededGenerator(seed: 4)
    try recipe.prepare(model, using: &generator)
    for item in model.allParameters where item.name.hasSuffix(".b") {
      try item.parameter.assignOriginal(.normal(item.parameter.shape, deviation: 0.3, using: &generator))
    }
  }

  @Test(
    "computing layers again gives the same gradients, bit for bit, to every adapter",
    arguments: ["tiny-llama", "tiny-qwen2", "tiny-gpt2", "tiny-bert"], [Float(0), 0.3])
  func recomputation(name: String, dropout: Float) throws {
    func gradients(recomputes: Bool) throws -> [String: Tensor] {
      let url = folder.appendingPathComponent(name)
      let ids = [[3, 17, 5, 29, 8], [1, 6, 6, 13]]
      var generator = SeededGenerator(seed: 1)
      let classifier = name == "tiny-bert" ? try SequenceClassifier(contentsOf: url, using: &generator) : nil
      let decoder = classifier == nil ? try languageModel(contentsOf: url) : nil
      classifier?.body.recomputes = recomputes
      decoder?.recomputes = recomputes
      let model: any Module = classifier ?? decoder!
      try adapt(model, dropout: dropout, method: .lora)
      let parameters = model.trainableParameters
      let (_, gradients) = parameters.valueAndGradients {
        classifier.map { $0(TokenRows(ids: ids)).crossEntropy([2, 0]) } ?? decoder!.loss(TokenRows(ids: ids))
      }
      return Dictionary(
        uniqueKeysWithValues: try parameters.map { ($0.name, try #require(gradients[$0.parameter], "\($0.name)")) })
    }
    let (kept, recomputed) = (try gradients(recomputes: false), try gradients(recomputes: true))
    #expect(kept.count > 10 && kept.keys == recomputed.keys)
    for (name, gradient) in kept {
      #expect(gradient.norm > 0, "\(name)")
      #expect(gradient.isIdentical(to: recomputed[name]!), "\(name)")
    }
  }

  @Test(
    "a batch in parts is one batch: the same loss and the same step", arguments: [FineTuningRecipe.Method.lora, .dora])
  func accumulation(method: FineTuningRecipe.Method) throws {
    func train(parts: [[Int]]) throws -> (loss: Float, parameters: [Tensor]) {
      let model = try languageModel(contentsOf: folder.appendingPathComponent("tiny-llama3"))
      try adapt(model, dropout: 0, method: method)
      let sequences = [[3, 17, 5, 29, 8], [1, 6, 6, 13], [9, 2, 4]]
      let predictions = sequences.map { Float($0.count - 1) }
      let all = predictions.reduce(0, +)
      let trainer = Trainer(SGD(model.trainableParameters, learningRate: 0.1))
      let report = try trainer.step(shares: parts.map { $0.reduce(0) { $0 + predictions[$1] } / all }) { part in
        model.loss(TokenRows(ids: parts[part].map { sequences[$0] }))
      }
      return (report.loss, model.trainableParameters.map(\.parameter.original))
    }
    let whole = try train(parts: [[0, 1, 2]])
    let inParts = try train(parts: [[0, 2], [1]])
    #expect(abs(whole.loss - inParts.loss) < 1e-5)
    for (a, b) in zip(whole.parameters, inParts.parameters) { #expect((a - b).norm < 1e-5 * (1 + a.norm)) }
  }

  @Test("a new DoRA changes nothing, and its output path is the formed value's, in both layouts")
  func dora() throws {
    for name in ["tiny-llama", "tiny-gpt2"] {
      let model = try languageModel(contentsOf: folder.appendingPathComponent(name))
      let rows = TokenRows(ids: [[3, 17, 5, 29, 8]])
      let before = model.logits(rows)
      var recipe = FineTuningRecipe()
      (recipe.method, recipe.rank, recipe.alpha) = (.dora, 3, 5)
      var generator = SeededGenerator(seed: 4)
      try recipe.prepare(model, using: &generator)
      #expect((model.logits(rows) - before).norm < 1e-5 * before.norm)
      for item in model.allParameters where item.name.hasSuffix(".b") || item.name.hasSuffix("magnitude") {
        let noise = Tensor.normal(item.parameter.shape, deviation: 0.3, using: &generator)
        try item.parameter.assignOriginal(item.parameter.original + noise)
      }
      let adapted = model.logits(rows)
      #expect((adapted - before).norm > 0.1 * before.norm)
      // Within `caching` the formed values are used.
      #expect((Parameter.caching { model.logits(rows) } - adapted).norm < 1e-5 * adapted.norm)
      // Paper, equation 5, for one weight: m ∘ V / ‖V‖ by output.
      let item = try #require(model.attachedAdapters.first)
      let dora = try #require(item.adapter as? DoRA)
      let sum = item.weight.original + dora.lora.delta
      let isTransposed = item.weight.layout == .inputsByOutputs
      let rowsOfSum = isTransposed ? sum.transposed() : sum
      let norms = rowsOfSum.squared().sum(axis: 1, keepingAxis: true).squareRoot()
      let expected = rowsOfSum / norms * dora.magnitude.original.reshaped([norms.count, 1])
      let seen = isTransposed ? item.weight.value.transposed() : item.weight.value
      #expect((seen - expected).norm < 1e-5 * expected.norm)
    }
  }

  /// The adapter as a PEFT folder holds it, on a fresh copy of its model.
  private func again(_ model: some Module, _ name: String) throws -> (any LanguageModel, StoredAdapter) {
    let temporary = try TemporaryFolder()
    let url = temporary.file("adapter")
    try StoredAdapter(of: model, url: url).write(peft: url)
    let fresh = try languageModel(contentsOf: folder.appendingPathComponent(name))
    let stored = try StoredAdapter(peft: url)
    try stored.attach(to: fresh)
    return (fresh, stored)
  }

  @Test(
    "PiSSA and OLoRA start without effect from the weight's own part, and are written for the untouched base",
    arguments: [FineTuningRecipe.Method.pissa, .olora], ["tiny-llama", "tiny-gpt2"])
  func principalStarts(method: FineTuningRecipe.Method, name: String) throws {
    let model = try languageModel(contentsOf: folder.appendingPathComponent(name))
    let rows = TokenRows(ids: [[3, 17, 5, 29, 8]])
    let before = model.logits(rows)
    var recipe = FineTuningRecipe()
    (recipe.method, recipe.rank, recipe.alpha) = (method, 3, 5)
    var generator = SeededGenerator(seed: 4)
    try recipe.prepare(model, using: &generator)
    #expect((model.logits(rows) - before).norm < 1e-5 * before.norm)
    let item = try #require(model.attachedAdapters.first)
    let lora = try #require(item.adapter as? LoRA)
    let weight = item.weight.layout == .outputsByInputs ? item.weight.original : item.weight.original.transposed()
    let product = lora.b.original.matmul(lora.a.original)
    if method == .pissa {
      // s B A is the best approximation of rank 3 (Eckart and Young).
      let best = try weight.svd().truncated(to: 3).reconstructed()
      #expect((product * lora.scale - best).norm < 1e-4 * best.norm)
    } else {
      // Q's columns are orthonormal, and B A is the projection of W's first columns.
      let gram = lora.b.original.matmul(lora.b.original, transposeSelf: true)
      #expect((gram - .identity(3)).norm < 1e-5)
      #expect((product.sliced(axis: 1, 0..<3) - weight.sliced(axis: 1, 0..<3)).norm < 1e-4 * weight.norm)
    }
    // One step of training, and the adapter has an effect that survives the way through a PEFT folder.
    let trainer = Trainer(SGD(model.trainableParameters, learningRate: 0.05))
    try trainer.step { model.loss(rows) }
    let adapted = model.logits(rows)
    #expect((adapted - before).norm > 1e-3 * before.norm)
    let (fresh, stored) = try again(model, name)
    #expect((fresh.logits(rows) - adapted).norm < 1e-4 * adapted.norm)
    #expect(stored.configuration.rank == 6 && stored.configuration.alpha == 10)
  }

  @Test(
    "adapters of a quantised model begin with the best approximation of what quantising lost",
    arguments: ["tiny-llama", "tiny-gpt2"])
  func quantisationStart(name: String) throws {
    let url = folder.appendingPathComponent(name)
    let (model, original) = (try languageModel(contentsOf: url), try languageModel(contentsOf: url))
    for item in model.adaptableWeights {  // to multiples of 1/8, of which each weight of these models has a few
      let coarse = item.parameter.original.scalars.map { ($0 * 8).rounded() / 8 }
      try item.parameter.assignOriginal(Tensor(shape: item.parameter.shape, scalars: coarse))
    }
    var recipe = FineTuningRecipe()
    (recipe.rank, recipe.alpha) = (3, 5)
    var generator = SeededGenerator(seed: 4)
    try recipe.prepare(model, using: &generator)
    let share = try model.startAdapters(from: original)
    let weights = Dictionary(uniqueKeysWithValues: original.adaptableWeights.map { ($0.path, $0.parameter.original) })
    var (before, after) = (0.0, 0.0)
    for item in model.attachedAdapters {
      let (wanted, stored) = (try #require(weights[item.path]), item.weight.original)
      let lost = wanted - stored
      // Eckart and Young: no other matrix of rank 3 is nearer.
      let rest = lost - (try lost.svd().truncated(to: 3).reconstructed())
      #expect((wanted - item.weight.value).norm < 1.01 * rest.norm + 1e-6)
      before += Double(lost.norm * lost.norm)
      after += Double((wanted - item.weight.value).norm * (wanted - item.weight.value).norm)
    }
    #expect(share > 0.1 && share < 1 && abs(after / before - (1 - share)) < 1e-3)

    let other = try languageModel(
      contentsOf: folder.appendingPathComponent(name == "tiny-llama" ? "tiny-gpt2" : "tiny-llama"))
    #expect(throws: AttachmentError.self) { try model.startAdapters(from: other) }
    try model.removeAdapter()
    recipe.method = .dora
    try recipe.prepare(model, using: &generator)
    #expect(throws: AttachmentError.self) { try model.startAdapters(from: original) }
  }

  @Test(
    "where one weight has nothing to start from, none gets an adapter",
    arguments: [FineTuningRecipe.Method.pissa, .olora])
  func noStart(method: FineTuningRecipe.Method) throws {
    let model = try languageModel(contentsOf: folder.appendingPathComponent("tiny-llama"))
    let weight = try #require(model.parameter(named: "model.layers.1.mlp.down_proj.weight"))
    try weight.assignOriginal(weight.original * Float.nan)
    var recipe = FineTuningRecipe()
    (recipe.method, recipe.rank) = (method, 3)
    var generator = SeededGenerator(seed: 4)
    let trainable = model.trainableCount
    #expect(throws: LinearAlgebraError.self) { try recipe.prepare(model, using: &generator) }
    #expect(model.attachedAdapters.isEmpty && model.trainableCount == trainable)
  }

  @Test("bias modes train the biases that they name", arguments: [PEFTConfiguration.Bias.none, .loraOnly, .all])
  func biases(mode: PEFTConfiguration.Bias) throws {
    let model = try languageModel(contentsOf: folder.appendingPathComponent("tiny-llama"))
    let rows = TokenRows(ids: [[3, 17, 5, 29, 8]])
    var recipe = FineTuningRecipe()
    (recipe.rank, recipe.targets, recipe.bias) = (2, .names(["q_proj", "v_proj"]), mode)
    var generator = SeededGenerator(seed: 4)
    try recipe.prepare(model, using: &generator)
    let trained = model.attachedAdapters.compactMap { $0.adapter is Replacement ? $0.path : nil }
    switch mode {
    case .none: #expect(trained.isEmpty)
    case .loraOnly:
      #expect(trained.count == 4 && trained.allSatisfy { $0.hasSuffix("q_proj.bias") || $0.hasSuffix("v_proj.bias") })
    case .all: #expect(trained.count == 14)  // seven linear maps in each of two layers
    }
    try Trainer(SGD(model.trainableParameters, learningRate: 0.1)).step { model.loss(rows) }
    let (fresh, stored) = try again(model, "tiny-llama")
    #expect(stored.configuration.bias == mode && stored.configuration.selection.saved.isEmpty)
    #expect((fresh.logits(rows) - model.logits(rows)).norm < 1e-5 * model.logits(rows).norm)
  }

  @Test("windows cover a text once, and of a completion only its own tokens are predicted")
  func windows() throws {
    let tokenizer = try tokenizer("metaspace")
    let text = "the quick brown fox jumps over the lazy dog, and the dog didn't care"
    let ids = tokenizer.encode(text).ids.map(Int.init)
    let windows = try TokenWindows(text, tokenizer: tokenizer, length: 7)
    let all = try windows.windows()
    #expect(all.flatMap(\.ids) == Array(ids.prefix(all.reduce(0) { $0 + $1.ids.count })))
    #expect(ids.count - all.reduce(0) { $0 + $1.ids.count } <= 1)
    #expect(windows.predictions == all.reduce(0) { $0 + $1.ids.count - 1 })
    #expect(windows.longest == 7 && windows.largestID == all.flatMap(\.ids).max())
  }

  @Test("a long text is cut up for the tokenizer where nobody can tell", arguments: ["gpt2", "llama3", "metaspace"])
  func pieces(name: String) throws {
    let temporary = try TemporaryFolder()
    var random = SeededGenerator(seed: 3)
    let words = ["the", " ", "  ", "\n", "fox", "'s", "é", "日本", "🙂", ", ", "didn't", " a", "\n\n", "12345"]
    var text = ""
    while text.utf8.count < 1_200_000 { text += words.randomElement(using: &random)! }
    let file = temporary.file("long.txt")
    try Data(text.utf8).write(to: file)
    let tokenizer = try tokenizer(name)
    let windows = try TokenWindows(contentsOf: file, tokenizer: tokenizer, length: 1000)
    let whole = tokenizer.encode([text])[0].ids.map(Int.init)
    #expect(
      try windows.windows().flatMap(\.ids)
        == Array(whole.prefix(whole.count % 1000 == 1 ? whole.count - 1 : whole.count)))
  }

  @Test("of prompts with completions, the tokens, the mask and the loss are those of transformers")
  func completions() throws {
    struct Reference: Decodable {
      struct Example: Decodable {
        var prompt: String
        var completion: String
        var spans: Bool
        var ids: [Int]
        var labels: [Int]
        var removed: Int
      }
      var end: Int32
      var length: Int
      var loss: Float
      var examples: [Example]
    }
    let reference = try JSONDecoder().decode(
      Reference.self, from: Data(contentsOf: folder.appendingPathComponent("completions.json")))
    var tokenizer = try tokenizer("metaspace")
    tokenizer.special.end = reference.end
    let tooLong = (String(repeating: "fox ", count: reference.length), "over")
    let windows = try TokenWindows(
      reference.examples.map { ($0.prompt, $0.completion) } + [tooLong], tokenizer: tokenizer, length: reference.length)
    #expect(windows.count == reference.examples.count && windows.leftOutCount == 1)
    for (window, expected) in zip(try windows.windows(), reference.examples) {
      #expect(window.ids == expected.ids && window.targets == expected.labels, "\(expected.prompt)")
    }
    #expect(windows.spannedCount == reference.examples.count { $0.spans })
    #expect(windows.removedCount > reference.examples.reduce(0) { $0 + $1.removed })
    let model = try languageModel(contentsOf: folder.appendingPathComponent("small-decoder"))
    let (tokens, targets) = try windows.batch(Array(0..<windows.count))
    #expect(abs(model.loss(tokens, targets: targets).item - reference.loss) < 1e-5)
  }

  @Test("bad lines of a jsonl file are named")
  func badLines() throws {
    let temporary = try TemporaryFolder()
    let file = temporary.file("data.jsonl")
    try Data("{\"text\":\"a\"}\n\n{\"prompt\":\"b\"}\n".utf8).write(to: file)
    #expect {
      try TokenWindows(contentsOf: file, tokenizer: tokenizer("gpt2"), length: 8)
    } throws: {
      "\($0)".contains("found the columns “prompt” in line 3, expected a text under “text”")
    }
    try Data("{\"text\":\"a\u{2028}b\"}\r\n{\"text\"}\r\n".utf8).write(to: file)
    #expect {
      try TokenWindows(contentsOf: file, tokenizer: tokenizer("gpt2"), length: 8)
    } throws: {
      "\($0)".contains("no valid JSON (byte 7: expected ':', found '}') in line 2")
    }
    try Data([0x61, 0xFF]).write(to: file)
    #expect {
      try TokenWindows(contentsOf: file, tokenizer: tokenizer("gpt2"), length: 8)
    } throws: {
      "\($0)".contains("bytes that are not UTF-8 in line 1")
    }
  }

  @Test(
    "text streamed token by token is the text decoded at once", arguments: ["gpt2", "llama3", "metaspace", "wordpiece"])
  func streams(name: String) throws {
    let tokenizer = try tokenizer(name)
    for text in ["the quick brown fox, 日本語 🙂 and é", "  two  spaces\nline", "a"] {
      let ids = tokenizer.encode(text, addingSpecialTokens: false).ids.map(Int.init)
      var stream = TextStream(tokenizer)
      var pieces = ids.map { stream.append($0) }
      pieces.append(stream.finish())
      #expect(pieces.joined() == tokenizer.decode(ids.map(Int32.init)))
      #expect(!pieces.dropLast().contains { $0.contains("\u{FFFD}") } || name == "wordpiece")
    }
  }

  @Test("bytes that make no character are given out while others come, at most three tokens late")
  func brokenCharacters() throws {
    let tokenizer = try tokenizer("gpt2")
    // Four bytes; the first two of them, over and over, never make a character.
    let bytes = tokenizer.encode("🙂", addingSpecialTokens: false).ids.map(Int.init)
    try #require(bytes.count == 4)
    var stream = TextStream(tokenizer)
    let ids = (0..<20).flatMap { _ in bytes.prefix(2) } + bytes
    var pieces = ids.map { stream.append($0) }
    #expect(pieces[..<3].joined().isEmpty)
    for place in 4..<40 { #expect(!(pieces[place] + pieces[place - 1]).isEmpty, "\(place)") }
    #expect(pieces.last?.hasSuffix("🙂") == true)
    pieces.append(stream.finish())
    #expect(pieces.joined() == tokenizer.decode(ids.map(Int32.init)))
  }

  @Test("writing stops before a stop text, also one that comes in pieces")
  func stops() throws {
    let models = try TemporaryFolder()
    let base = models.file("decoder")
    try FileManager.default.copyItem(at: folder.appendingPathComponent("small-decoder"), to: base)
    try FileManager.default.copyItem(
      at: folder.appendingPathComponent("tokenizer-metaspace.json"), to: base.appendingPathComponent("tokenizer.json"))
    let generator = try TextGenerator(model: base)
    var options = SamplingOptions()
    options.temperature = 1
    let whole = try generator.write(after: "the fox", limit: 30, options: options, seed: 5)
    #expect(whole.text.count > 12)
    let characters = Array(whole.text)
    let stop = String(characters[5..<9])
    var streamed = ""
    let stopped = try generator.write(after: "the fox", limit: 30, options: options, stops: [stop], seed: 5) {
      streamed += $0
      return true
    }
    #expect(stopped.text == String(whole.text[..<whole.text.range(of: stop)!.lowerBound]) && streamed == stopped.text)
    // The same seed writes the same, and the caller may stop it.
    #expect(try generator.write(after: "the fox", limit: 30, options: options, seed: 5).text == whole.text)
    #expect(
      try generator.write(after: "the fox", limit: 30, options: options, seed: 5) { _ in false }.tokens < whole.tokens)
  }
}
