// OLMo 2 (OLMo Team 2024): Llama with a norm of each part's output instead of its input, and norms of all queries and of
// all keys.

extension TransformerFamily {
  static let olmo2 = TransformerFamily("olmo2", kind: .decoder) { json in
    var olmo = try TransformerDescription(llama: json, epsilon: 1e-5)
    olmo.queryKeyNorm = .allHeads
    olmo.names[.queryNorm] = "self_attn.q_norm"
    olmo.names[.keyNorm] = "self_attn.k_norm"
    (olmo.names[.attentionNorm], olmo.names[.attentionOutputNorm]) = (nil, "post_attention_layernorm")
    (olmo.names[.feedForwardNorm], olmo.names[.feedForwardOutputNorm]) = (nil, "post_feedforward_layernorm")
    return olmo
  }
}
