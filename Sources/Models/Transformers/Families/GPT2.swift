// GPT-2 (Radford et al. 2019): a decoder with layer norms before each part, learnt positions, and linear maps stored as
// [inputs, outputs] (Conv1D).

import LoRATensors

extension TransformerFamily {
  static let gpt2 = TransformerFamily("gpt2", kind: .decoder) { json in
    try json.require("add_cross_attention", false)
    json.ignore("is_decoder", "is_causal")
    let hidden = try json.integer("n_embd")
    let heads = try json.integer("n_head")
    let positions = try json.integer("n_positions", default: 1024)
    let headSize = try json.headSize(hidden: hidden, heads: heads, "n_embd", "n_head")
    let isScaled = try json.flag("scale_attn_weights", default: true)
    let isScaledByLayer = try json.flag("scale_attn_by_inverse_layer_idx", default: false)
    let layers = try json.integer("n_layer", upTo: 1000)
    var gpt = TransformerDescription(
      vocabulary: try json.integer("vocab_size"), hidden: hidden, heads: heads, keyHeads: heads, headSize: headSize,
      intermediate: try json.integer("n_inner", default: 4 * hidden), positions: positions,
      epsilon: try json.positive("layer_norm_epsilon", default: 1e-5),
      attention: (0..<layers).map { layer in
        let scale = isScaled ? 1 / Float(headSize).squareRoot() : 1
        return .init(scale: isScaledByLayer ? scale / Float(layer + 1) : scale)
      },
      activation: try json.activation("activation_function", default: .geluNew),
      initializerRange: try json.number("initializer_range", default: 0.02),
      names: [
        .body: "transformer", .outputProjection: "lm_head", .tokens: "wte", .positions: "wpe", .layers: "h",
        .finalNorm: "ln_f", .attentionNorm: "ln_1", .queryKeyValue: "attn.c_attn", .output: "attn.c_proj",
        .feedForwardNorm: "ln_2", .up: "mlp.c_fc", .down: "mlp.c_proj",
      ])
    gpt.positionTable = .init(rows: positions)
    gpt.norm = .layer(hasBias: true)
    gpt.isTied = try json.flag("tie_word_embeddings", default: true)
    gpt.layout = .inputsByOutputs
    // The causal mask of each layer.
    gpt.buffers = [".attn.bias", ".attn.masked_bias"]
    return gpt
  }
}
