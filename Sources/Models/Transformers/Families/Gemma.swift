// Gemma (Gemma Team 2024): Llama with a GELU gate, token vectors times √hidden, and norms stored as distances from 1.
// Gemma 2 norms each part's output too, caps scores and logits, and lets every other layer see a window only. Gemma 3
// norms queries and keys, and turns them by another base in layers with a window.

import LoRATensors

extension TransformerFamily {
  static let gemma = TransformerFamily("gemma", kind: .decoder) { json in
    // Of the two names that the first Gemma's files have, transformers reads this one, where "gelu" means the other.
    json.ignore("hidden_activation")
    var gemma = try TransformerDescription(gemma: json, activation: "hidden_act")
    if gemma.activation == .gelu { gemma.activation = .geluTanh }
    return gemma
  }

  static let gemma2 = TransformerFamily("gemma2", kind: .decoder) { json in
    var gemma = try TransformerDescription(gemma: json)
    try gemma.setSecondNorms(json)
    gemma.attentionCap = try json.cap("attn_logit_softcapping", default: 50)
    gemma.logits.cap = try json.cap("final_logit_softcapping", default: 30)
    let listed = try json.slidingLayers(gemma.layers)
    gemma.setWindow(
      try json.window(default: 4096), ofLayers: listed ?? (0..<gemma.layers).map { ($0 + 1) % 2 != 0 })
    return gemma
  }

  static let gemma3 = TransformerFamily("gemma3_text", kind: .decoder) { json in
    var gemma = try TransformerDescription(gemma: json, positions: 131072)
    try gemma.setSecondNorms(json)
    gemma.logits.cap = try json.cap("final_logit_softcapping", default: nil)
    gemma.names[.queryNorm] = "self_attn.q_norm"
    gemma.names[.keyNorm] = "self_attn.k_norm"
    let pattern = try json.integer("sliding_window_pattern", default: 6)
    let sliding = try json.slidingLayers(gemma.layers) ?? (0..<gemma.layers).map { ($0 + 1) % pattern != 0 }
    var window = try json.window(default: 4096)
    if try json.flag("use_bidirectional_attention", default: false) {
      gemma.isCausal = false
      window = window.map { $0 / 2 + 1 }
    }
    gemma.setWindow(window, ofLayers: sliding)
    // In older files the scaling is that of the layers without a window.
    let local = "rope_local_base_freq"
    try gemma.setRotary([
      RotaryFrequencies(json, headSize: gemma.headSize, base: 1e6, layers: "full_attention"),
      json.object("rope_parameters") == nil
        ? RotaryFrequencies(base: json.positive(local, default: 10000), turned: gemma.headSize)
        : RotaryFrequencies(
          json, headSize: gemma.headSize, base: 10000, baseName: local, layers: "sliding_attention"),
    ])
    for layer in sliding.indices { gemma.attention[layer].rotary = sliding[layer] ? 1 : 0 }
    return gemma
  }
}

extension TransformerDescription {
  fileprivate init(
    gemma json: ModelConfiguration, positions: Int = 8192, activation: String = "hidden_activation"
  ) throws {
    json.ignore("hidden_act")
    try self.init(
      llama: json, positions: positions, headSize: 256, isTied: true, activation: (activation, .geluTanh))
    norm = .rootMeanSquare(offset: 1)
    embeddingScale = Float(Double(hidden).squareRoot())
  }

  fileprivate mutating func setSecondNorms(_ json: ModelConfiguration) throws {
    names[.attentionOutputNorm] = "post_attention_layernorm"
    names[.feedForwardNorm] = "pre_feedforward_layernorm"
    names[.feedForwardOutputNorm] = "post_feedforward_layernorm"
    let scale = Float(1 / (try json.positive("query_pre_attn_scalar", default: 256)).squareRoot())
    for layer in attention.indices { attention[layer].scale = scale }
  }
}

extension ModelConfiguration {
  fileprivate func cap(_ name: String, default fallback: Double?) throws -> Float? {
    if isNull(name) || json[name] == nil && fallback == nil { return nil }
    return Float(try positive(name, default: fallback))
  }
}
