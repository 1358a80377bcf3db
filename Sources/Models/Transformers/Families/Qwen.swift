// Qwen2 (Yang et al. 2024): Llama with biases of queries, keys and values. Qwen3 (Yang et al. 2025): norms of queries and
// keys instead. Both may have sliding windows in their upper layers, and hardly ever do.

extension TransformerFamily {
  static let qwen2 = TransformerFamily("qwen2", kind: .decoder) { json in
    var qwen = try TransformerDescription(llama: json, positions: 32768)
    (qwen.hasQueryKeyValueBias, qwen.hasOutputBias) = (true, false)
    try qwen.setUpperWindows(json)
    return qwen
  }

  static let qwen3 = TransformerFamily("qwen3", kind: .decoder) { json in
    var qwen = try TransformerDescription(llama: json, positions: 32768, headSize: 128)
    qwen.names[.queryNorm] = "self_attn.q_norm"
    qwen.names[.keyNorm] = "self_attn.k_norm"
    try qwen.setUpperWindows(json)
    return qwen
  }
}

extension TransformerDescription {
  /// `sliding_window` counts where `use_sliding_window` says so, in the layers from `max_window_layers` on.
  fileprivate mutating func setUpperWindows(_ json: ModelConfiguration) throws {
    let isUsed = try json.flag("use_sliding_window", default: false)
    let window = try json.window(default: 4096)
    let first = json.json["max_window_layers"]?.integer == 0 ? 0 : try json.integer("max_window_layers", default: 28)
    let listed = try json.slidingLayers(layers)
    guard isUsed else { return }
    setWindow(window, ofLayers: listed ?? (0..<layers).map { $0 >= first })
  }
}
