// SmolLM3 (Bakouch et al. 2025): Llama in which every fourth layer knows no positions (NoPE, Yang et al. 2025).

extension TransformerFamily {
  static let smolLM3 = TransformerFamily("smollm3", kind: .decoder) { json in
    var smol = try TransformerDescription(llama: json, positions: 32768, base: 2_000_000, isTied: true)
    smol.hasFeedForwardBias = try json.flag("mlp_bias", default: false)
    let interval = try json.integer("no_rope_layer_interval", default: 4)
    let turns =
      try json.byLayer("no_rope_layers", layers: smol.layers, expected: "1 where positions count, 0 where they don't") {
        $0.integer.flatMap { $0 == 1 ? true : $0 == 0 ? false : nil } ?? $0.bool
      } ?? (0..<smol.layers).map { ($0 + 1) % interval != 0 }
    for layer in turns.indices where !turns[layer] { smol.attention[layer].rotary = nil }
    let window = try json.window()
    let listed = try json.slidingLayers(smol.layers)
    if try json.flag("use_sliding_window", default: false) {
      smol.setWindow(window, ofLayers: listed ?? turns.map { !$0 })
    }
    return smol
  }
}
