import Foundation
import LoRAFiles
import LoRAModels
import LoRATensors
import TestSupport
import Testing

// Transformers against the transformers library: tiny ones of every kind (Tests/Fixtures/models/make_models.py) and the real ones.

private let folder = fixtures.appendingPathComponent("models")

@Suite("Transformers")
struct TransformerTests {
  private struct Reference: Decodable {
    struct Case: Decodable {
      var ids: [Int]
      var segments: [Int]?
      var hidden: [Float]?
      var logits: [Float]
      var loss: Float?
      var greedy: [Int]?
    }
    var cases: [Case]
    var parameters: [String]
  }

  private func reference(_ name: String) throws -> Reference {
    try JSONDecoder().decode(
      Reference.self, from: Data(contentsOf: folder.appendingPathComponent("\(name)/reference.json")))
  }

  private static let decoders = [
    "tiny-llama", "tiny-llama3", "tiny-yarn", "tiny-yarn-qwen2", "tiny-dynamic", "tiny-mistral", "tiny-qwen2",
    "tiny-gpt2",
  ]

  @Test("decoders give the logits, losses and greedy texts of transformers", arguments: decoders)
  func decoder(name: String) throws {
    let model = try languageModel(contentsOf: folder.appendingPathComponent(name))
    let reference = try reference(name)
    #expect(Set(model.parameters.map(\.name)) == Set(reference.parameters))
    for item in reference.cases {
      #expect(largestDifference(model.logits(TokenRows(ids: [item.ids])), item.logits) < 2e-5, "\(item.ids)")
      if let loss = item.loss { #expect(abs(model.loss(TokenRows(ids: [item.ids])).item - loss) < 1e-5) }
      var continuation = Continuation(of: item.ids, by: model, limit: 6, using: SeededGenerator(seed: 0))
      while continuation.next() != nil {}
      #expect(continuation.ids == item.greedy)
    }
  }

  @Test("sequences packed together give what each gives alone", arguments: decoders)
  func packing(name: String) throws {
    let model = try languageModel(contentsOf: folder.appendingPathComponent(name))
    let cases = try reference(name).cases
    let together = model.logits(TokenRows(ids: cases.map(\.ids)))
    #expect(largestDifference(together, cases.flatMap(\.logits)) < 2e-5)
  }

  @Test("tokens read through the cache, in pieces, give the logits of the whole", arguments: decoders)
  func cache(name: String) throws {
    let model = try languageModel(contentsOf: folder.appendingPathComponent(name))
    let item = try reference(name).cases[0]
    func last(_ model: some LanguageModel) -> [Tensor] {
      let cache = KeyValueCache(for: model, capacity: 12)
      return [0..<5, 5..<6, 6..<12].map { model.nextLogits(Array(item.ids[$0]), cache: cache) }
    }
    for (logits, row) in zip(last(model), [4, 5, 11]) {
      #expect(largestDifference(logits, Array(item.logits[(row * 32)..<(row * 32 + 32)])) < 2e-5)
    }
  }

  @Test("a classifier gives the token vectors and logits of transformers")
  func bert() throws {
    var generator = SeededGenerator(seed: 1)
    let model = try SequenceClassifier(contentsOf: folder.appendingPathComponent("tiny-bert"), using: &generator)
    let reference = try reference("tiny-bert")
    #expect(model.labels == ["bad", "fair", "good"])
    #expect(Set(model.parameters.map(\.name)) == Set(reference.parameters))
    let rows = TokenRows(
      reference.cases.map {
        Encoding(ids: $0.ids.map(Int32.init), segments: $0.segments!.map(Int32.init))
      })
    #expect(largestDifference(model.body(rows), reference.cases.flatMap { $0.hidden! }) < 2e-5)
    #expect(largestDifference(model(rows), reference.cases.flatMap(\.logits)) < 2e-5)
  }

  @Test("other labels than the folder's get a new head, drawn by the seed")
  func newHead() throws {
    let url = folder.appendingPathComponent("tiny-bert")
    func head(_ seed: UInt64) throws -> Tensor {
      var generator = SeededGenerator(seed: seed)
      return try SequenceClassifier(contentsOf: url, labels: ["a", "b"], using: &generator).output.weight.original
    }
    #expect(try head(1).isIdentical(to: head(1)) && !head(1).isIdentical(to: head(2)))
    #expect(try head(1).shape == [2, 16])
  }

  // MARK: Real models

  private struct SentenceReference: Decodable {
    struct Sentence: Decodable {
      var text: String
      var embedding: [Float]
      var pooled: [Float]
      var firstStates: [[Float]]?

      enum CodingKeys: String, CodingKey {
        case text
        case embedding
        case pooled = "pooler_output"
        case firstStates = "hidden_states_first_token_first_8"
      }
    }
    var sentences: [Sentence]
  }

  @Test("MiniLM embeds sentences as sentence-transformers does", .enabled(if: sharedData != nil, "needs shared/data"))
  func miniLM() throws {
    let url = try #require(sharedData).appendingPathComponent("models/all-MiniLM-L6-v2")
    let model = try Transformer(contentsOf: url)
    let tokenizer = try Tokenizer(contentsOf: url)
    let reference = try JSONDecoder().decode(
      SentenceReference.self, from: Data(contentsOf: url.appendingPathComponent("reference.json")))
    let rows = TokenRows(tokenizer.encode(reference.sentences.map(\.text)))
    let embeddings = model.sentenceEmbeddings(rows)
    #expect(largestDifference(embeddings, reference.sentences.flatMap(\.embedding)) < 1e-5)
    let states = model.hiddenStates(rows)
    #expect(largestDifference(model.pooled(states.last!, rows), reference.sentences.flatMap(\.pooled)) < 1e-5)
    for (state, expected) in zip(states, try #require(reference.sentences[0].firstStates)) {
      #expect(zip(state.scalars, expected).allSatisfy { abs($0 - $1) < 1e-4 })
    }
  }

  @Test("stories260K tells its story", .enabled(if: sharedData != nil, "needs shared/data"))
  func stories() throws {
    let url = try #require(sharedData).appendingPathComponent("models/stories260K")
    let model = try languageModel(contentsOf: url)
    let tokenizer = try Tokenizer(contentsOf: url)
    let ids = Array(Continuation(of: [1], by: model, limit: 64, using: SeededGenerator(seed: 0)))
    #expect(
      tokenizer.decode(ids.map(Int32.init)).hasPrefix(
        "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw "
          + "a big, red ball. She wanted to play with it, but it was too high."))
  }

  // MARK: Sampling

  @Test("filters leave the tokens that they should, and draws follow the probabilities")
  func sampling() {
    let logits = Tensor([2, 1, 0, -1, -2].map { Float($0) })
    func drawn(_ change: (inout SamplingOptions) -> Void, after ids: [Int] = []) -> [Int: Int] {
      var options = SamplingOptions()
      options.temperature = 1
      change(&options)
      var generator = SeededGenerator(seed: 3)
      return Dictionary(
        (0..<4000).map { _ in (options.draw(logits, after: ids, using: &generator), 1) }, uniquingKeysWith: +)
    }
    // softmax: 0.636, 0.234, 0.086, 0.032, 0.012
    let all = drawn { _ in }
    #expect(abs(Double(all[0]!) / 4000 - 0.636) < 0.03 && abs(Double(all[1]!) / 4000 - 0.234) < 0.03)
    #expect(Set(drawn { $0.topK = 2 }.keys) == [0, 1])
    #expect(Set(drawn { $0.topP = 0.9 }.keys) == [0, 1, 2])
    #expect(Set(drawn { $0.topP = 0.1 }.keys) == [0])
    #expect(Set(drawn { $0.minP = 0.1 }.keys) == [0, 1, 2])
    #expect(Set(drawn { $0.temperature = 0 }.keys) == [0])
    // 2 / 4 = 0.5 is less than 1.
    #expect(Set(drawn({ ($0.temperature, $0.repetitionPenalty) = (0, 4) }, after: [0]).keys) == [1])
    #expect(drawn { $0.temperature = 10 }[4]! > 400)
  }

  // MARK: Bad input

  /// A copy of a tiny model with another config.json.
  private func changed(_ name: String, _ changes: [String: JSON?]) throws -> URL {
    let copy = FileManager.default.temporaryDirectory.appendingPathComponent("model-\(UUID())")
    try FileManager.default.copyItem(at: folder.appendingPathComponent(name), to: copy)
    let file = copy.appendingPathComponent("config.json")
    var json = try JSON(parsing: String(contentsOf: file, encoding: .utf8))
    for (key, value) in changes { json[key] = value }
    try Data(json.compact.utf8).write(to: file)
    return copy
  }

  private func message(_ name: String, _ changes: [String: JSON?]) throws -> String {
    let url = try changed(name, changes)
    defer { try? FileManager.default.removeItem(at: url) }
    var generator = SeededGenerator(seed: 1)
    do {
      if name == "tiny-bert" {
        _ = try SequenceClassifier(contentsOf: url, using: &generator)
      } else {
        _ = try languageModel(contentsOf: url)
      }
      return ""
    } catch { return "\(error)" }
  }

  @Test("what a configuration asks for and is not supported is named")
  func unsupported() throws {
    #expect(
      try message("tiny-llama", ["hidden_act": "laplace"]).contains("hidden_act is \"laplace\", which is not supported")
    )
    #expect(try message("tiny-llama", ["model_type": "mamba"]).contains("model_type is \"mamba\""))
    #expect(try message("tiny-llama3", ["rope_parameters": ["rope_type": "proportional"]]).contains("\"proportional\""))
    #expect(try message("tiny-llama", ["num_key_value_heads": 3]).contains("num_key_value_heads is 3"))
    #expect(try message("tiny-gpt2", ["add_cross_attention": true]).contains("add_cross_attention"))
    #expect(try message("tiny-bert", ["position_embedding_type": "relative_key"]).contains("position_embedding_type"))
    #expect(try message("tiny-bert", ["hidden_size": nil]).contains("has no hidden_size"))
    #expect(try message("tiny-bert", ["hidden_size": -4]).contains("hidden_size is -4, expected a positive integer"))
  }

  @Test("every tensor is accounted for: missing, misshapen and unexpected ones are listed")
  func account() throws {
    let missing = try message("tiny-llama", ["num_hidden_layers": 3])
    #expect(missing.contains("missing: model.layers.2.input_layernorm.weight [16]"))
    let unexpected = try message("tiny-mistral", ["num_hidden_layers": 1])
    #expect(unexpected.contains("unexpected: model.layers.1.self_attn.q_proj.weight"))
    #expect(try message("tiny-qwen2", ["vocab_size": 33]).contains("has shape [32, 16], expected [33, 16]"))
    #expect(try message("tiny-gpt2", ["n_layer": 40]).contains("more"))
  }
}
