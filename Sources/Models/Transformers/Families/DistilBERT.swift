// DistilBERT (Sanh et al. 2019): BERT without segments and pooler, under other names.

extension TransformerFamily {
  static let distilBERT = TransformerFamily("distilbert", kind: .encoder) { json in
    let hidden = try json.integer("dim", default: 768)
    let heads = try json.integer("n_heads", default: 12)
    let positions = try json.integer("max_position_embeddings", default: 512)
    var bert = TransformerDescription(
      vocabulary: try json.integer("vocab_size"), hidden: hidden, heads: heads, keyHeads: heads,
      headSize: try json.headSize(hidden: hidden, heads: heads, "dim", "n_heads"),
      intermediate: try json.integer("hidden_dim", default: 4 * hidden), positions: positions, epsilon: 1e-12,
      attention: Array(repeating: .init(), count: try json.integer("n_layers", upTo: 1000, default: 6)),
      activation: try json.activation("activation", default: .gelu),
      initializerRange: try json.number("initializer_range", default: 0.02),
      names: [
        .body: "distilbert", .tokens: "embeddings.word_embeddings", .positions: "embeddings.position_embeddings",
        .embeddingNorm: "embeddings.LayerNorm", .layers: "transformer.layer", .query: "attention.q_lin",
        .key: "attention.k_lin", .value: "attention.v_lin", .output: "attention.out_lin",
        .attentionSumNorm: "sa_layer_norm", .up: "ffn.lin1", .down: "ffn.lin2",
        .feedForwardSumNorm: "output_layer_norm",
      ])
    bert.positionTable = .init(rows: positions)
    bert.norm = .layer(hasBias: true)
    bert.isCausal = false
    (bert.hasQueryKeyValueBias, bert.hasOutputBias, bert.hasFeedForwardBias) = (true, true, true)
    bert.buffers = ["embeddings.position_ids"]
    bert.head = HeadDescription(
      pooling: .first, dense: "pre_classifier", denseActivation: .relu, output: "classifier", hasOutputBias: true)
    return bert
  }
}
