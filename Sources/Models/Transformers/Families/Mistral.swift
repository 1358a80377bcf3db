// Mistral (Jiang et al. 2023): Llama with attention in a sliding window.

extension TransformerFamily {
  static let mistral = TransformerFamily("mistral", kind: .decoder) { json in
    var mistral = try TransformerDescription(llama: json, positions: 131072)
    (mistral.hasQueryKeyValueBias, mistral.hasOutputBias) = (false, false)
    let window = try json.window(default: 4096)
    // All layers are alike, whatever a list of kinds says.
    if let sliding = try json.slidingLayers(mistral.layers), sliding.contains(window == nil) {
      throw json.unsupported(
        "layer_types", json.json["layer_types"]!,
        supported: "\(window == nil ? "full" : "sliding")_attention for all layers, as sliding_window says")
    }
    mistral.setWindow(window, ofLayers: Array(repeating: true, count: mistral.layers))
    return mistral
  }
}
