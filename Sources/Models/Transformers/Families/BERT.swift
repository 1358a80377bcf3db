// BERT (Devlin et al. 2018): a bidirectional encoder with learnt positions and segments and a norm after each sum.

extension TransformerFamily {
  static let bert = TransformerFamily("bert", kind: .encoder) { json in
    var bert = try TransformerDescription(bert: json, body: "bert")
    try bert.setSegments(json)
    bert.names[.pooler] = "pooler.dense"
    bert.head = HeadDescription(pooling: .first, usesPooler: true, output: "classifier", hasOutputBias: true)
    return bert
  }
}

extension TransformerDescription {
  /// What BERT and its kin have in common. Their files change the rest afterwards.
  init(bert json: ModelConfiguration, body: String) throws {
    try json.require("position_embedding_type", "absolute")
    try json.require("is_decoder", false)
    try json.require("add_cross_attention", false)
    vocabulary = try json.integer("vocab_size")
    hidden = try json.integer("hidden_size")
    heads = try json.integer("num_attention_heads")
    keyHeads = heads
    headSize = try json.headSize(hidden: hidden, heads: heads, "hidden_size", "num_attention_heads")
    intermediate = try json.integer("intermediate_size")
    positions = try json.integer("max_position_embeddings", default: 512)
    positionTable = .init(rows: positions)
    epsilon = try json.positive("layer_norm_eps", default: 1e-12)
    norm = .layer(hasBias: true)
    attention = Array(repeating: LayerAttention(), count: try json.integer("num_hidden_layers", upTo: 1000))
    isCausal = false
    (hasQueryKeyValueBias, hasOutputBias, hasFeedForwardBias) = (true, true, true)
    activation = try json.activation("hidden_act", default: .gelu)
    initializerRange = try json.number("initializer_range", default: 0.02)
    buffers = ["embeddings.position_ids", "embeddings.token_type_ids"]
    names = [
      .body: body, .tokens: "embeddings.word_embeddings", .positions: "embeddings.position_embeddings",
      .embeddingNorm: "embeddings.LayerNorm", .layers: "encoder.layer", .query: "attention.self.query",
      .key: "attention.self.key", .value: "attention.self.value", .output: "attention.output.dense",
      .attentionSumNorm: "attention.output.LayerNorm", .up: "intermediate.dense", .down: "output.dense",
      .feedForwardSumNorm: "output.LayerNorm",
    ]
  }

  mutating func setSegments(_ json: ModelConfiguration) throws {
    segments = try json.integer("type_vocab_size", default: 2)
    names[.segments] = "embeddings.token_type_embeddings"
  }

  /// Positions are counted from the row after the padding's, and tokens of padding are not (RoBERTa).
  mutating func setPositions(after padding: Int, _ json: ModelConfiguration) throws {
    guard positions > padding + 1 else {
      throw json.unsupported(
        "max_position_embeddings", .integer(positions), supported: "more than pad_token_id + 1 (\(padding + 1))")
    }
    positionTable = .init(rows: positions, first: padding + 1, padding: padding)
    positions -= padding + 1
  }
}

extension ModelConfiguration {
  /// A token of the model; 0 is one.
  func token(_ name: String, default fallback: Int) throws -> Int {
    json[name]?.integer == 0 ? 0 : try integer(name, default: fallback)
  }
}
