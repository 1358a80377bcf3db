// Llama (Touvron et al. 2023): a decoder with RMS norms before each part, rotary positions, grouped-query attention and
// gated feed-forward layers (SwiGLU, Shazeer 2020). Most later decoders differ from it in a few things.

extension TransformerFamily {
  static let llama = TransformerFamily("llama", kind: .decoder) { json in
    var llama = try TransformerDescription(llama: json)
    json.ignore("pretraining_tp")
    llama.hasFeedForwardBias = try json.flag("mlp_bias", default: false)
    return llama
  }
}

extension TransformerDescription {
  /// What Llama and its kin have in common. Their files change the rest afterwards.
  ///
  /// - Parameters:
  ///   - positions, epsilon, base, headSize, isTied: what holds where the file doesn't say; of `headSize` hidden / heads.
  ///   - activation: the field that names it, and what holds without it.
  ///   - takesFraction, renames: see `RotaryFrequencies`.
  init(
    llama json: ModelConfiguration, positions: Int = 2048, epsilon: Double = 1e-6, base: Double = 10000,
    headSize defaultHeadSize: Int? = nil, isTied: Bool = false,
    activation: (name: String, fallback: Activation) = ("hidden_act", .silu), takesFraction: Bool = false,
    renames: [String: String] = [:]
  ) throws {
    json.ignore("is_decoder", "add_cross_attention", "is_causal")
    vocabulary = try json.integer("vocab_size")
    hidden = try json.integer("hidden_size")
    heads = try json.integer("num_attention_heads")
    keyHeads = try json.integer("num_key_value_heads", default: heads)
    headSize =
      json.json["head_dim"]?.isNull == false || defaultHeadSize != nil
      ? try json.integer("head_dim", upTo: 65536, default: defaultHeadSize)
      : try json.headSize(hidden: hidden, heads: heads, "hidden_size", "num_attention_heads")
    intermediate = try json.integer("intermediate_size")
    self.epsilon = try json.positive("rms_norm_eps", default: epsilon)
    self.activation = try json.activation(activation.name, default: activation.fallback)
    self.isTied = try json.flag("tie_word_embeddings", default: isTied)
    initializerRange = try json.number("initializer_range", default: 0.02)
    let hasAttentionBias = try json.flag("attention_bias", default: false)
    (hasQueryKeyValueBias, hasOutputBias) = (hasAttentionBias, hasAttentionBias)
    let layers = try json.integer("num_hidden_layers", upTo: 1000)
    attention = Array(repeating: LayerAttention(rotary: 0), count: layers)
    self.positions = try json.integer("max_position_embeddings", default: positions)
    names = Self.llamaNames
    buffers = [".rotary_emb.inv_freq"]
    try setRotary([
      RotaryFrequencies(json, headSize: headSize, base: base, takesFraction: takesFraction, renames: renames)
    ])
  }

  /// Rotary positions, and how far they reach.
  mutating func setRotary(_ rotary: [RotaryFrequencies]) {
    self.rotary = rotary
    positions = max(positions, rotary.map(\.stretchedPositions).max() ?? 0)
  }

  /// Gives the layers that are to have one a window.
  mutating func setWindow(_ window: Int?, ofLayers isSliding: [Bool]) {
    for (layer, isSliding) in isSliding.enumerated() where isSliding { attention[layer].window = window }
  }

  private static let llamaNames: [TransformerPart: String] = [
    .body: "model", .outputProjection: "lm_head", .tokens: "embed_tokens", .layers: "layers", .finalNorm: "norm",
    .attentionNorm: "input_layernorm", .query: "self_attn.q_proj", .key: "self_attn.k_proj",
    .value: "self_attn.v_proj", .output: "self_attn.o_proj", .feedForwardNorm: "post_attention_layernorm",
    .gate: "mlp.gate_proj", .up: "mlp.up_proj", .down: "mlp.down_proj",
  ]
}
