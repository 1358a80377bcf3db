// Phi-3 and Phi-4 (Abdin et al. 2024): Llama with queries, keys and values in one matrix, gate and up in another; long
// contexts by LongRoPE, and in Phi-4-mini only a part of each head's elements turned.

extension TransformerFamily {
  static let phi3 = TransformerFamily("phi3", kind: .decoder) { json in
    var phi = try TransformerDescription(
      llama: json, positions: 4096, epsilon: 1e-5, takesFraction: true, renames: ["yarn": "longrope"])
    (phi.hasQueryKeyValueBias, phi.hasOutputBias) = (false, false)
    for part in [TransformerPart.query, .key, .value, .gate, .up] { phi.names[part] = nil }
    phi.names[.queryKeyValue] = "self_attn.qkv_proj"
    phi.names[.gateUp] = "mlp.gate_up_proj"
    phi.setWindow(try json.window(), ofLayers: Array(repeating: true, count: phi.layers))
    return phi
  }
}
