// GPT-2 (Radford et al. 2019): a decoder with layer norms before each part, learnt positions, and linear maps stored as
// [inputs, outputs] (Conv1D).
//
// x₀ = token + position;  in each layer  a = x + attention(norm x),  x′ = a + W₂ gelu(W₁ norm a);
// logits = E norm x with the embedding table E.

import Foundation
import LoRAFiles
import LoRAFormats
import LoRANetworks
import LoRATensors

/// The shape of a GPT-2, from its config.json.
public struct GPT2Configuration: Sendable {
  /// How many tokens it knows.
  public var vocabulary: Int
  /// The length of a token's vector.
  public var hidden: Int
  /// How many layers there are.
  public var layers: Int
  /// How many attention heads a layer has; they divide `hidden`.
  public var heads: Int
  /// The width of a layer's feed-forward part.
  public var intermediate: Int
  /// The most tokens of a sequence.
  public var positions: Int
  /// Added to the variance in layer norms.
  public var epsilon: Double
  let activation: Activation

  package init(_ json: ModelConfiguration) throws {
    try json.require("model_type", "gpt2")
    try json.require("scale_attn_weights", true)
    try json.require("scale_attn_by_inverse_layer_idx", false)
    try json.require("add_cross_attention", false)
    try json.require("tie_word_embeddings", true)
    vocabulary = try json.integer("vocab_size")
    hidden = try json.integer("n_embd")
    layers = try json.integer("n_layer", upTo: 1000)
    heads = try json.integer("n_head")
    intermediate = try json.integer("n_inner", default: 4 * hidden)
    positions = try json.integer("n_positions", default: 1024)
    epsilon = try json.positive("layer_norm_epsilon", default: 1e-5)
    activation = try json.activation("activation_function", default: .geluNew)
    guard hidden % heads == 0 else {
      throw json.unsupported("n_embd", .integer(hidden), supported: "a multiple of n_head (\(heads))")
    }
  }
}

/// `GPT2LMHeadModel`.
public final class GPT2: LanguageModel {
  let transformer: Transformer
  /// Its shape.
  public let configuration: GPT2Configuration
  public var recomputes = false

  package init(_ checkpoint: Checkpoint, _ json: ModelConfiguration) throws {
    configuration = try GPT2Configuration(json)
    let weights = Weights(checkpoint, prefix: "transformer")
    transformer = Transformer(weights["transformer"], configuration)
    // Older files hold the causal mask of each layer, and the tied output once more.
    try weights.finish { $0.hasSuffix(".attn.bias") || $0.hasSuffix(".attn.masked_bias") || $0 == "lm_head.weight" }
  }

  public var vocabulary: Int { configuration.vocabulary }
  public var positions: Int { configuration.positions }
  public var cacheShape: (layers: Int, heads: Int, size: Int) {
    (configuration.layers, configuration.heads, configuration.hidden / configuration.heads)
  }
  /// What is attached to the embedding acts there alone, as in peft.
  public var outputEmbedding: Parameter? { transformer.wte.weight }
  public var outputWeight: Tensor { transformer.wte.weight.stored }

  public func logits(of hidden: Tensor) -> Tensor {
    transformer.wte.weight.mappingRows(hidden) { $0.linear(outputWeight) }
  }

  public func hiddenStates(_ tokens: TokenRows, cache: KeyValueCache?) -> Tensor {
    LinkChoice.overSequences(tokens.packing) { transformer(tokens, cache, recomputes && cache == nil) }
  }

  // MARK: Parts, under the names of transformers

  final class Transformer: Module {
    let wte: Embedding  // [vocabulary, hidden]
    let wpe: Embedding  // [positions, hidden]
    let h: [Layer]
    let finalNorm: LayerNorm

    init(_ weights: Weights, _ shape: GPT2Configuration) {
      wte = Embedding(weights["wte"], count: shape.vocabulary, size: shape.hidden)
      wpe = Embedding(weights["wpe"], count: shape.positions, size: shape.hidden)
      h = (0..<shape.layers).map { Layer(weights["h"][$0], shape) }
      finalNorm = LayerNorm(weights["ln_f"], size: shape.hidden, epsilon: shape.epsilon)
    }

    func callAsFunction(_ tokens: TokenRows, _ cache: KeyValueCache?, _ recomputes: Bool) -> Tensor {
      let first = cache?.count ?? 0
      var x = wte(tokens.ids) + wpe(tokens.packing.positions.map { $0 + first })
      for (index, layer) in h.enumerated() {
        x =
          recomputes
          ? layer.recomputing(x) { layer($0, tokens.packing, nil, index) } : layer(x, tokens.packing, cache, index)
      }
      cache?.advance(by: tokens.ids.count)
      return finalNorm(x)
    }

    static func pathComponent(ofProperty property: String) -> String { property == "finalNorm" ? "ln_f" : property }
  }

  final class Layer: Module {
    let attentionNorm: LayerNorm
    let attention: Attention
    let feedForwardNorm: LayerNorm
    let feedForward: FeedForward

    init(_ weights: Weights, _ shape: GPT2Configuration) {
      attentionNorm = LayerNorm(weights["ln_1"], size: shape.hidden, epsilon: shape.epsilon)
      attention = Attention(weights["attn"], shape)
      feedForwardNorm = LayerNorm(weights["ln_2"], size: shape.hidden, epsilon: shape.epsilon)
      feedForward = FeedForward(weights["mlp"], shape)
    }

    func callAsFunction(_ x: Tensor, _ packing: Packing, _ cache: KeyValueCache?, _ index: Int) -> Tensor {
      let attended = x + attention(attentionNorm(x), packing, cache, index)
      return attended + feedForward(feedForwardNorm(attended))
    }

    static func pathComponent(ofProperty property: String) -> String {
      switch property {
      case "attentionNorm": "ln_1"
      case "attention": "attn"
      case "feedForwardNorm": "ln_2"
      case "feedForward": "mlp"
      default: property
      }
    }
  }

  final class Attention: Module {
    let inputs: Conv1D  // [hidden, 3 · hidden]: query, key, value
    let output: Conv1D  // [hidden, hidden]
    private let heads: Int

    init(_ weights: Weights, _ shape: GPT2Configuration) {
      inputs = Conv1D(weights["c_attn"], inputs: shape.hidden, outputs: 3 * shape.hidden)
      output = Conv1D(weights["c_proj"], inputs: shape.hidden, outputs: shape.hidden)
      heads = shape.heads
    }

    func callAsFunction(_ x: Tensor, _ packing: Packing, _ cache: KeyValueCache?, _ layer: Int) -> Tensor {
      let (rows, hidden) = (x.shape[0], x.shape[1])
      let together = inputs(x)
      func part(_ index: Int) -> Tensor {
        together.sliced(axis: 1, (index * hidden)..<((index + 1) * hidden)).reshaped([rows, heads, hidden / heads])
      }
      let attended = causalAttention(
        query: part(0), key: part(1), value: part(2), packing, cache: cache, layer: layer)
      return output(attended.reshaped([rows, hidden]))
    }

    static func pathComponent(ofProperty property: String) -> String {
      switch property {
      case "inputs": "c_attn"
      case "output": "c_proj"
      default: property
      }
    }
  }

  final class FeedForward: Module {
    let inner: Conv1D
    let output: Conv1D
    private let activation: Activation

    init(_ weights: Weights, _ shape: GPT2Configuration) {
      inner = Conv1D(weights["c_fc"], inputs: shape.hidden, outputs: shape.intermediate)
      output = Conv1D(weights["c_proj"], inputs: shape.intermediate, outputs: shape.hidden)
      activation = shape.activation
    }

    func callAsFunction(_ x: Tensor) -> Tensor { output(activation(inner(x))) }

    static func pathComponent(ofProperty property: String) -> String {
      switch property {
      case "inner": "c_fc"
      case "output": "c_proj"
      default: property
      }
    }
  }
}
