// A tiny model of every family against transformers and peft (Tests/Fixtures/models/make_families.py).
import Foundation
import LoRAAdapters
import LoRAFiles
import LoRAFormats
import LoRAModels
import LoRANetworks
import LoRATensors
import TestSupport
import Testing

private let folder = fixtures.appendingPathComponent("models/families")

private struct Reference: Decodable {
  var ids: [[Int]]
  var segments: [[Int]]?
  var logits: [[Float]]
  var loss: Float?
  var greedy: [Int]?
  var labels: [String]?
  var parameters: [String]
  var adapters: [String: [Float]]?

  init(_ name: String) throws {
    self = try JSONDecoder().decode(
      Reference.self, from: Data(contentsOf: folder.appendingPathComponent("\(name)/reference.json")))
  }

  /// The cases' tokens with their segments.
  var rows: [TokenRows] {
    ids.indices.map { index in
      TokenRows([
        Encoding(
          ids: ids[index].map(Int32.init), segments: (segments ?? ids.map { $0.map { _ in 0 } })[index].map(Int32.init))
      ])
    }
  }

  var together: TokenRows {
    TokenRows(
      ids.indices.map { index in
        Encoding(
          ids: ids[index].map(Int32.init), segments: (segments ?? ids.map { $0.map { _ in 0 } })[index].map(Int32.init))
      })
  }
}

/// The fixtures of one sort, and those that have adapters.
private func names(classifiers: Bool, adapted: Bool = false) -> [String] {
  ((try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []).sorted().filter { name in
    guard let reference = try? Reference(name) else { return false }
    return (reference.labels != nil) == classifiers && (!adapted || reference.adapters != nil)
  }
}

@Suite("Families of models")
struct FamilyTests {
  private func classifier(_ name: String) throws -> SequenceClassifier {
    var generator = SeededGenerator(seed: 1)
    return try SequenceClassifier(contentsOf: folder.appendingPathComponent(name), using: &generator)
  }

  @Test("every family has its model here")
  func completeness() throws {
    let types = try (names(classifiers: false) + names(classifiers: true)).map { name in
      try JSON(parsing: String(contentsOf: folder.appendingPathComponent("\(name)/config.json"), encoding: .utf8))[
        "model_type"]?.string
    }
    for type in TransformerFamily.all.flatMap(\.types) { #expect(types.contains(type), "\(type)") }
  }

  // MARK: Decoders

  @Test(
    "decoders give the logits, the loss and the parameters' names of transformers", arguments: names(classifiers: false)
  )
  func decoder(name: String) throws {
    let model = try languageModel(contentsOf: folder.appendingPathComponent(name))
    let reference = try Reference(name)
    #expect(Set(model.parameters.map(\.name)) == Set(reference.parameters))
    for (ids, logits) in zip(reference.ids, reference.logits) {
      #expect(largestDifference(model.logits(TokenRows(ids: [ids])), logits) < 1e-4, "\(ids)")
    }
    let loss = model.loss(TokenRows(ids: [reference.ids[0]])).item
    #expect(abs(loss - (try #require(reference.loss))) < 1e-5)
  }

  @Test(
    "of the first Gemma's two names for its activation the older counts, and \"gelu\" means its approximation by tanh")
  func gemmaActivation() throws {
    try withTemporaryDirectory { copy in
      let place = copy.appendingPathComponent("gemma")
      try FileManager.default.copyItem(at: folder.appendingPathComponent("gemma"), to: place)
      let file = place.appendingPathComponent("config.json")
      var json = try #require(JSONSerialization.jsonObject(with: Data(contentsOf: file)) as? [String: Any])
      (json["hidden_act"], json["hidden_activation"]) = ("gelu", "relu")
      try JSONSerialization.data(withJSONObject: json).write(to: file)
      let reference = try Reference("gemma")
      let hidden = try languageModel(contentsOf: place).hiddenStates(reference.rows[0], cache: nil)
      let own = try languageModel(contentsOf: folder.appendingPathComponent("gemma"))
      #expect(hidden.scalars == own.hiddenStates(reference.rows[0], cache: nil).scalars)
    }
  }

  @Test("they go on as transformers does, beyond their windows", arguments: names(classifiers: false))
  func greedy(name: String) throws {
    let model = try languageModel(contentsOf: folder.appendingPathComponent(name))
    let expected = try #require(try Reference(name).greedy)
    var continuation = Continuation(of: Array(expected.prefix(9)), by: model, limit: 9, using: SeededGenerator(seed: 0))
    while continuation.next() != nil {}
    #expect(continuation.ids == expected)
  }

  @Test("packed, and read in pieces through the cache, they give the same", arguments: names(classifiers: false))
  func packedAndCached(name: String) throws {
    let model = try languageModel(contentsOf: folder.appendingPathComponent(name))
    let reference = try Reference(name)
    #expect(largestDifference(model.logits(reference.together), reference.logits.flatMap { $0 }) < 1e-4)
    let (ids, logits) = (reference.ids[0], reference.logits[0])
    let cache = KeyValueCache(for: model, capacity: ids.count)
    for piece in [0..<4, 4..<5, 5..<ids.count] {
      let next = model.nextLogits(Array(ids[piece]), cache: cache).scalars
      let row = logits[(piece.upperBound - 1) * model.vocabulary..<piece.upperBound * model.vocabulary]
      #expect(zip(next, row).allSatisfy { abs($0 - $1) < 1e-4 }, "\(piece)")
    }
  }

  @Test(
    "layers computed again for the gradient give the gradient of layers that are kept",
    arguments: names(classifiers: false))
  func recomputed(name: String) throws {
    let model = try languageModel(contentsOf: folder.appendingPathComponent(name))
    let rows = TokenRows(ids: try Reference(name).ids)
    let kept = model.valueAndGradients { model.loss(rows) }
    model.recomputes = true
    let again = model.valueAndGradients { model.loss(rows) }
    for item in model.trainableParameters {
      let (one, other) = (kept.gradients[item.parameter], again.gradients[item.parameter])
      #expect(one.map { largestDifference($0, other!.scalars) < 1e-6 } ?? (other == nil), "\(item.name)")
    }
  }

  // MARK: Classifiers

  @Test("classifiers give the logits and the parameters' names of transformers", arguments: names(classifiers: true))
  func classifier(name: String) throws {
    let model = try classifier(name)
    let reference = try Reference(name)
    #expect(model.isOwn && model.labels == reference.labels)
    // transformers builds a pooler for some heads that do without it, and doesn't store it.
    #expect(Set(model.parameters.map(\.name)) == Set(reference.parameters))
    for (rows, logits) in zip(reference.rows, reference.logits) {
      #expect(largestDifference(model(rows), logits) < 1e-4)
    }
    #expect(largestDifference(model(reference.together), reference.logits.flatMap { $0 }) < 1e-4)
  }

  @Test("without its head a classifier's folder is a transformer, and with other labels its last layer is new")
  func heads() throws {
    for name in names(classifiers: true) {
      let url = folder.appendingPathComponent(name)
      let body = try Transformer(contentsOf: url)
      #expect(body(try Reference(name).together).shape[1] == body.description.hidden)
      func output(_ seed: UInt64) throws -> (output: Tensor, dense: Tensor?) {
        var generator = SeededGenerator(seed: seed)
        let model = try SequenceClassifier(contentsOf: url, labels: ["a", "b", "c", "d"], using: &generator)
        #expect(!model.isOwn && model.output.weight.shape[0] == 4)
        return (model.output.weight.original, model.dense?.weight.original)
      }
      let (one, other) = (try output(1), try output(2))
      #expect(!one.output.isIdentical(to: other.output))
      #expect(one.dense.map { $0.isIdentical(to: other.dense!) } ?? true, "the dense layer is the folder's: \(name)")
    }
  }

  @Test("the last token of a text is the last that is no padding")
  func lastToken() throws {
    let model = try classifier("llama-score")  // its pad_token_id is 0
    func logits(_ ids: [Int]) -> [Float] { model(TokenRows(ids: [ids])).scalars }
    // Tokens after it are not seen.
    #expect(zip(logits([3, 15, 0, 0]), logits([3, 15])).allSatisfy { abs($0 - $1) < 1e-5 })
    #expect(zip(logits([0, 0]), logits([0])).allSatisfy { abs($0 - $1) < 1e-5 })
    #expect(!zip(logits([3, 15, 1]), logits([3, 15])).allSatisfy { abs($0 - $1) < 1e-3 })
  }

  @Test("logits become what config.json says: one class of all, each by itself, a score")
  func answers() throws {
    func probabilities(_ name: String, _ changes: [String: JSON]) throws -> [Float] {
      let temporary = try TemporaryFolder()
      let url = try changed(name, changes, in: temporary)
      var generator = SeededGenerator(seed: 1)
      let model = try SequenceClassifier(contentsOf: url, using: &generator)
      return TextClassifier.Prediction(logits: [0.5, -1].suffix(model.labels.count), answer: model.answer).probabilities
    }
    // 1 / (1 + e) = 0.2689
    #expect(abs(try probabilities("electra-wide", [:])[0] - 0.2689) < 1e-4)
    #expect(
      try probabilities(
        "electra-wide", ["sentence_transformers": ["activation_fn": "torch.nn.modules.linear.Identity"]]) == [-1])
    #expect(try probabilities("electra-wide", ["problem_type": "regression"]) == [-1])
    #expect(
      try probabilities("camembert", ["problem_type": "multi_label_classification"]).reduce(0, +) != 1)
    #expect(abs(try probabilities("camembert", [:]).reduce(0, +) - 1) < 1e-6)
  }

  // MARK: Adapters

  @Test(
    "LoRA, DoRA and rsLoRA adapters give what peft gives",
    arguments: names(classifiers: false, adapted: true) + names(classifiers: true, adapted: true))
  func adapters(name: String) throws {
    let reference = try Reference(name)
    for (kind, expected) in try #require(reference.adapters) {
      let adapter = try StoredAdapter(peft: folder.appendingPathComponent("\(name)/\(kind)"))
      let output: Tensor
      if reference.labels == nil {
        let model = try languageModel(contentsOf: folder.appendingPathComponent(name))
        try adapter.attach(to: model)
        output = model.logits(reference.rows[0])
      } else {
        let model = try classifier(name)
        try adapter.attach(to: model)
        output = model(reference.rows[0])
      }
      #expect(largestDifference(output, expected) < 1e-4, "\(kind)")
    }
  }
  // MARK: What is not honoured

  /// A copy of a fixture whose config.json says something else.
  private func changed(_ name: String, _ changes: [String: JSON], in temporary: TemporaryFolder) throws -> URL {
    let url = temporary.file(name)
    try FileManager.default.copyItem(at: folder.appendingPathComponent(name), to: url)
    let file = url.appendingPathComponent("config.json")
    var json = try JSON(parsing: String(contentsOf: file, encoding: .utf8))
    for (key, value) in changes { json[key] = value }
    try Data(json.compact.utf8).write(to: file)
    return url
  }

  @Test(
    "a field that changes the mathematics and isn't honoured is an error that names it",
    arguments: [
      ("llama", "sliding_window", 4), ("llama", "attn_logit_softcapping", 30.0), ("llama", "logits_scaling", 2.0),
      ("llama", "partial_rotary_factor", 0.5), ("llama", "layer_types", ["sliding_attention", "full_attention"]),
      ("llama", "num_local_experts", 4), ("llama", "final_logit_softcapping", 30), ("llama", "rope_interleaved", true),
      ("mistral", "layer_types", ["full_attention", "sliding_attention"]), ("mistral", "query_pre_attn_scalar", 5),
      ("qwen3", "layer_types", ["chunked_attention", "full_attention"]), ("qwen3", "layer_types", ["full_attention"]),
      ("gemma3_text", "attn_logit_softcapping", 20.0), ("gemma2", "use_bidirectional_attention", true),
      ("granite", "qk_layernorm", true), ("olmo2", "clip_qkv", 8.0), ("phi3", "sliding_window", 0),
      ("smollm3", "no_rope_layers", [1, 2, 1]), ("gpt2", "rope_scaling", ["type": "linear", "factor": 2]),
      ("bert", "is_decoder", true), ("roberta", "position_embedding_type", "relative_key_query"),
      ("mpnet", "relative_attention_num_buckets", 16), ("modernbert", "classifier_pooling", "max"),
      ("modernbert", "local_attention", -1), ("electra", "embedding_size", 0), ("distilbert", "n_heads", 5),
    ] as [(String, String, JSON)])
  func unhonoured(name: String, field: String, value: JSON) throws {
    let temporary = try TemporaryFolder()
    let url = try changed(name, [field: value], in: temporary)
    let error = #expect(throws: CheckpointError.self) { try Transformer(contentsOf: url) }
    #expect(error?.description.contains(field == "n_heads" ? "dim" : field) == true, "\(error?.description ?? "")")
    // Null is as good as nothing.
    if field != "embedding_size", field != "n_heads", field != "local_attention" {
      let other = try TemporaryFolder()
      let plain = try changed(name, [field: .null], in: other)
      if field != "relative_attention_num_buckets" { _ = try Transformer(contentsOf: plain) }
    }
  }

  // MARK: The documentation

  @Test("docs/models.md lists what runs")
  func documentation() throws {
    let root = fixtures.deletingLastPathComponent().deletingLastPathComponent()
    let text = try String(contentsOf: root.appendingPathComponent("docs/models.md"), encoding: .utf8)
    let found = text.split(separator: "\n").filter { $0.hasPrefix("| `") }.map { row in
      row.split(separator: "|").prefix(3).map { $0.trimmingCharacters(in: .whitespaces) }
    }
    let all = names(classifiers: false) + names(classifiers: true)
    let expected = try TransformerFamily.all.flatMap { family in
      try family.types.map { type in
        let fixture = try #require(
          all.first {
            (try? Checkpoint(folder.appendingPathComponent($0)))?.configuration?["model_type"]?.string == type
          })
        let checkpoint = try Checkpoint(folder.appendingPathComponent(fixture))
        let head = try TransformerDescription(ModelConfiguration(checkpoint)).head.modules
        return [
          "`\(type)`", family.kind == .decoder ? "decoder" : "encoder", head.map { "`\($0)`" }.joined(separator: ", "),
        ]
      }
    }
    #expect(found == expected)
    if found != expected { print(expected.map { "| \($0.joined(separator: " | ")) | |" }.joined(separator: "\n")) }
  }
}
