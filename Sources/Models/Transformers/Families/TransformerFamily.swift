// Which transformers are known: a family is a file here, and a word in `all`.

import LoRAFiles
import LoRATensors

/// Models of one form, and how their config.json says what they are.
package struct TransformerFamily: Sendable {
  /// `model_type` of config.json.
  package let types: [String]
  /// What they are made for.
  package let kind: ModelKind
  /// The description of one.
  let describe: @Sendable (ModelConfiguration) throws -> TransformerDescription

  init(
    _ types: String..., kind: ModelKind,
    describe: @escaping @Sendable (ModelConfiguration) throws -> TransformerDescription
  ) {
    (self.types, self.kind, self.describe) = (types, kind, describe)
  }

  /// Those that are known.
  package static let all: [TransformerFamily] = [
    .llama, .mistral, .qwen2, .qwen3, .gemma, .gemma2, .gemma3, .phi3, .smolLM3, .olmo2, .granite, .gpt2, .bert,
    .roberta,
    .distilBERT, .electra, .mpnet, .modernBERT,
  ]

  /// The family of a folder.
  ///
  /// - Parameter kind: what it has to be made for, if anything.
  static func of(_ json: ModelConfiguration, kind: ModelKind? = nil) throws -> TransformerFamily {
    guard let type = try json.text("model_type") else { throw json.missing("model_type") }
    let candidates = all.filter { kind == nil || $0.kind == kind }
    guard let family = candidates.first(where: { $0.types.contains(type) }) else {
      let known = candidates.flatMap(\.types).joined(separator: ", ")
      throw json.unsupported(
        "model_type", .string(type), supported: kind == .decoder ? "\(known) as language models" : known)
    }
    return family
  }
}

extension TransformerDescription {
  /// What a config.json describes, every field that changes the mathematics being accounted for.
  ///
  /// - Throws: `CheckpointError` where the kind or a field's value is not supported.
  package init(_ json: ModelConfiguration, as kind: ModelKind? = nil) throws {
    self = try TransformerFamily.of(json, kind: kind).describe(json)
    guard heads % keyHeads == 0 else {
      throw json.unsupported(
        "num_key_value_heads", .integer(keyHeads), supported: "a divisor of num_attention_heads (\(heads))")
    }
    guard (1...65536).contains(headSize) else {
      throw json.unsupported("head_dim", .integer(headSize), supported: "1 to 65536")
    }
    labels = try json.labels()
    head.padding = json.json["pad_token_id"]?.integer
    try json.finish()
  }
}

extension ModelConfiguration {
  /// The length of a head's vectors where the file doesn't say: hidden / heads.
  func headSize(hidden: Int, heads: Int, _ hiddenName: String, _ headsName: String) throws -> Int {
    guard hidden % heads == 0 else {
      throw unsupported(hiddenName, .integer(hidden), supported: "a multiple of \(headsName) (\(heads))")
    }
    return hidden / heads
  }

  /// By layer, whether its attention is called "sliding_attention"; nil where the file doesn't say.
  func slidingLayers(_ layers: Int) throws -> [Bool]? {
    try byLayer("layer_types", layers: layers, expected: "full_attention or sliding_attention") {
      $0.string == "sliding_attention" ? true : $0.string == "full_attention" ? false : nil
    }
  }

  /// The window of sliding attention; nil where the file says null.
  func window(default fallback: Int? = nil) throws -> Int? {
    if isNull("sliding_window") { return nil }
    if json["sliding_window"] == nil { return fallback }
    return try integer("sliding_window")
  }
}
