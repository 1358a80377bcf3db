// Granite (Granite Team 2024): Llama with four multipliers, of token vectors, scores, each part's output and logits.

extension TransformerFamily {
  static let granite = TransformerFamily("granite", kind: .decoder) { json in
    var granite = try TransformerDescription(llama: json)
    granite.hasFeedForwardBias = try json.flag("mlp_bias", default: false)
    granite.embeddingScale = Float(try json.number("embedding_multiplier", default: 1))
    granite.residualScale = Float(try json.number("residual_multiplier", default: 1))
    granite.logits.scale = Float(1 / (try json.positive("logits_scaling", default: 1)))
    let scale = Float(try json.number("attention_multiplier", default: 1))
    for layer in granite.attention.indices { granite.attention[layer].scale = scale }
    return granite
  }
}
