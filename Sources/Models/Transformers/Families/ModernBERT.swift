// ModernBERT (Warner et al. 2024): an encoder with norms before each part, rotary positions and gated feed-forward parts,
// in which two of three layers see a window only, and turn queries and keys by another base.

extension TransformerFamily {
  static let modernBERT = TransformerFamily("modernbert", kind: .encoder) { json in
    let hidden = try json.integer("hidden_size")
    let heads = try json.integer("num_attention_heads")
    let headSize = try json.headSize(hidden: hidden, heads: heads, "hidden_size", "num_attention_heads")
    let layers = try json.integer("num_hidden_layers", upTo: 1000)
    let every = try json.integer("global_attn_every_n_layers", default: 3)
    let isLocal = try json.slidingLayers(layers) ?? (0..<layers).map { $0 % every != 0 }
    // Half of it to each side.
    let window = try json.integer("local_attention", default: 128) / 2 + 1
    var bert = TransformerDescription(
      vocabulary: try json.integer("vocab_size"), hidden: hidden, heads: heads, keyHeads: heads, headSize: headSize,
      intermediate: try json.integer("intermediate_size"),
      positions: try json.integer("max_position_embeddings", default: 8192),
      epsilon: try json.positive("norm_eps", default: 1e-5),
      attention: isLocal.map { .init(window: $0 ? window : nil, rotary: $0 ? 1 : 0) },
      activation: try json.activation("hidden_activation", default: .gelu),
      initializerRange: try json.number("initializer_range", default: 0.02),
      names: [
        .body: "model", .tokens: "embeddings.tok_embeddings", .embeddingNorm: "embeddings.norm", .layers: "layers",
        .finalNorm: "final_norm", .attentionNorm: "attn_norm", .queryKeyValue: "attn.Wqkv", .output: "attn.Wo",
        .feedForwardNorm: "mlp_norm", .gateUp: "mlp.Wi", .down: "mlp.Wo",
      ])
    let hasAttentionBias = try json.flag("attention_bias", default: false)
    (bert.hasQueryKeyValueBias, bert.hasOutputBias) = (hasAttentionBias, hasAttentionBias)
    bert.hasFeedForwardBias = try json.flag("mlp_bias", default: false)
    bert.norm = .layer(hasBias: try json.flag("norm_bias", default: false))
    bert.firstLayerIsNormalised = true
    bert.isCausal = false
    json.ignore("position_embedding_type", "is_causal")
    try bert.setRotary([
      RotaryFrequencies(
        json, headSize: headSize, base: 160_000, baseName: "global_rope_theta", layers: "full_attention"),
      RotaryFrequencies(json, headSize: headSize, baseName: "local_rope_theta", layers: "sliding_attention"),
    ])
    let pooling = try json.text("classifier_pooling") ?? "cls"
    guard let pooling = HeadDescription.Pooling(rawValue: pooling), pooling != .last else {
      throw json.unsupported("classifier_pooling", .string(pooling), supported: "cls, mean")
    }
    bert.head = HeadDescription(
      pooling: pooling, dense: "head.dense",
      denseActivation: try json.activation("classifier_activation", default: .gelu),
      hasDenseBias: try json.flag("classifier_bias", default: false), norm: "head.norm", output: "classifier",
      hasOutputBias: true)
    return bert
  }
}
