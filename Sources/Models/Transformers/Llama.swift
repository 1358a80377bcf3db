// Llama (Touvron et al. 2023) and its kin Mistral, Qwen2 and SmolLM: a decoder with RMS norms before each part, rotary
// positions, grouped-query attention and gated feed-forward layers (SwiGLU, Shazeer 2020).
//
// x₀ = embedding;  in each layer  a = x + Wo attention(norm x),  x′ = a + W_down (silu(W_gate norm a) ∘ W_up norm a);
// logits = W_out norm x.

import Foundation
import LoRAFiles
import LoRAFormats
import LoRANetworks
import LoRATensors

/// The shape of a Llama, from its config.json.
public struct LlamaConfiguration: Sendable {
  static let types = ["llama", "mistral", "qwen2"]

  /// How many tokens it knows.
  public var vocabulary: Int
  /// The length of a token's vector.
  public var hidden: Int
  /// How many layers there are.
  public var layers: Int
  /// How many heads of queries a layer has.
  public var heads: Int
  /// How many heads of keys and values; each serves heads / keyHeads heads of queries.
  public var keyHeads: Int
  /// The length of a head's vectors.
  public var headSize: Int
  /// The width of a layer's feed-forward part.
  public var intermediate: Int
  /// The most tokens of a sequence.
  public var positions: Int
  /// Added to the mean of squares in RMS norms.
  public var epsilon: Double
  /// Whether query, key and value have a bias, and whether the attention's output has one.
  public var hasBias: (queryKeyValue: Bool, output: Bool)
  /// Whether the feed-forward parts have biases.
  public var hasFeedForwardBias: Bool
  /// Whether the logits come from the embedding table.
  public var isTied: Bool
  let rotary: RotaryScaling
  let activation: Activation

  package init(_ json: ModelConfiguration) throws {
    guard let type = try json.text("model_type") else { throw json.missing("model_type") }
    vocabulary = try json.integer("vocab_size")
    hidden = try json.integer("hidden_size")
    layers = try json.integer("num_hidden_layers", upTo: 1000)
    heads = try json.integer("num_attention_heads")
    keyHeads = try json.integer("num_key_value_heads", default: heads)
    headSize = try json.integer("head_dim", default: hidden / heads)
    intermediate = try json.integer("intermediate_size")
    epsilon = try json.positive("rms_norm_eps", default: 1e-6)
    activation = try json.activation("hidden_act", default: .silu)
    isTied = try json.flag("tie_word_embeddings", default: false)
    let hasAttentionBias = try json.flag("attention_bias", default: false)
    hasBias = type == "qwen2" ? (true, false) : (hasAttentionBias, hasAttentionBias)
    hasFeedForwardBias = try json.flag("mlp_bias", default: false)
    rotary = try RotaryScaling(json)
    positions = try LlamaConfiguration.positions(json, rotary)
    guard heads % keyHeads == 0 else {
      throw json.unsupported(
        "num_key_value_heads", .integer(keyHeads), supported: "a divisor of num_attention_heads (\(heads))")
    }
    guard headSize % 2 == 0, (2...65536).contains(headSize) else {
      throw json.unsupported("head_dim", .integer(headSize), supported: "even numbers from 2 to 65536")
    }
  }

  /// Attention within a sliding window is full attention as long as the text fits into the window.
  private static func positions(_ json: ModelConfiguration, _ rotary: RotaryScaling) throws -> Int {
    let positions = max(try json.integer("max_position_embeddings", default: 2048), rotary.stretchedPositions)
    guard try json.flag("use_sliding_window", default: true), let window = json.json["sliding_window"], !window.isNull
    else { return positions }
    return min(positions, try json.integer("sliding_window"))
  }
}

/// `LlamaForCausalLM` and its kin.
public final class Llama: LanguageModel {
  let model: Decoder
  let outputProjection: Linear?
  /// Its shape.
  public let configuration: LlamaConfiguration
  public var recomputes = false

  package init(_ checkpoint: Checkpoint, _ json: ModelConfiguration) throws {
    let configuration = try LlamaConfiguration(json)
    let weights = Weights(checkpoint, prefix: "model")
    self.configuration = configuration
    model = Decoder(weights["model"], configuration)
    let isTied = configuration.isTied && weights.tiesOutput("lm_head.weight")
    outputProjection =
      isTied
      ? nil : Linear(weights["lm_head"], inputs: configuration.hidden, outputs: configuration.vocabulary, bias: false)
    try weights.finish {
      $0.hasSuffix(".rotary_emb.inv_freq") || isTied && $0 == "lm_head.weight"
    }
  }

  public static func pathComponent(ofProperty property: String) -> String {
    property == "outputProjection" ? "lm_head" : property
  }

  public var vocabulary: Int { configuration.vocabulary }
  public var positions: Int { configuration.positions }
  public var cacheShape: (layers: Int, heads: Int, size: Int) {
    (configuration.layers, configuration.keyHeads, configuration.headSize)
  }
  /// Where it is tied to the embedding, what is attached there acts on the embedding alone, as in peft.
  public var outputEmbedding: Parameter? { outputProjection == nil ? model.embedTokens.weight : nil }
  public var outputWeight: Tensor { outputProjection?.weight.value ?? model.embedTokens.weight.stored }

  /// An adapter of the output layer acts on the logits; its sum with a weight of that size is not formed.
  public func logits(of hidden: Tensor) -> Tensor {
    outputProjection?(hidden) ?? model.embedTokens.weight.mappingRows(hidden) { $0.linear(outputWeight) }
  }

  public func hiddenStates(_ tokens: TokenRows, cache: KeyValueCache?) -> Tensor {
    LinkChoice.overSequences(tokens.packing) { model(tokens, cache, recomputes && cache == nil) }
  }

  // MARK: Parts, under the names of transformers

  final class Decoder: Module {
    let embedTokens: Embedding  // [vocabulary, hidden]
    let layers: [Layer]
    let norm: RMSNorm
    private let frequencies: [Float]
    private let rotaryScale: Float

    init(_ weights: Weights, _ shape: LlamaConfiguration) {
      embedTokens = Embedding(weights["embed_tokens"], count: shape.vocabulary, size: shape.hidden)
      layers = (0..<shape.layers).map { Layer(weights["layers"][$0], shape) }
      norm = RMSNorm(weights["norm"], size: shape.hidden, epsilon: shape.epsilon)
      frequencies = shape.rotary.frequencies(headSize: shape.headSize)
      rotaryScale = shape.rotary.scale
    }

    func callAsFunction(_ tokens: TokenRows, _ cache: KeyValueCache?, _ recomputes: Bool) -> Tensor {
      let first = cache?.count ?? 0
      let place = Place(
        packing: tokens.packing, positions: tokens.packing.positions.map { $0 + first },
        rotary: RotaryTable(
          frequencies: frequencies, positions: first..<(first + tokens.longest), scale: rotaryScale), cache: cache)
      var x = embedTokens(tokens.ids)
      for (index, layer) in layers.enumerated() {
        x = recomputes ? layer.recomputing(x) { layer($0, place, index) } : layer(x, place, index)
      }
      cache?.advance(by: tokens.ids.count)
      return norm(x)
    }

    static func pathComponent(ofProperty property: String) -> String {
      property == "embedTokens" ? "embed_tokens" : property
    }
  }

  /// Where the rows stand in their sequences.
  struct Place {
    let packing: Packing
    let positions: [Int]
    let rotary: RotaryTable
    let cache: KeyValueCache?
  }

  final class Layer: Module {
    let inputNorm: RMSNorm
    let attention: Attention
    let postNorm: RMSNorm
    let feedForward: FeedForward

    init(_ weights: Weights, _ shape: LlamaConfiguration) {
      inputNorm = RMSNorm(weights["input_layernorm"], size: shape.hidden, epsilon: shape.epsilon)
      attention = Attention(weights["self_attn"], shape)
      postNorm = RMSNorm(weights["post_attention_layernorm"], size: shape.hidden, epsilon: shape.epsilon)
      feedForward = FeedForward(weights["mlp"], shape)
    }

    func callAsFunction(_ x: Tensor, _ place: Place, _ index: Int) -> Tensor {
      let attended = x + attention(inputNorm(x), place, index)
      return attended + feedForward(postNorm(attended))
    }

    static func pathComponent(ofProperty property: String) -> String {
      switch property {
      case "inputNorm": "input_layernorm"
      case "attention": "self_attn"
      case "postNorm": "post_attention_layernorm"
      case "feedForward": "mlp"
      default: property
      }
    }
  }

  final class Attention: Module {
    let query: Linear  // [heads · size, hidden]
    let key: Linear  // [key heads · size, hidden]
    let value: Linear  // [key heads · size, hidden]
    let output: Linear  // [hidden, heads · size]
    private let size: Int

    init(_ weights: Weights, _ shape: LlamaConfiguration) {
      func projection(_ name: String, _ heads: Int) -> Linear {
        Linear(
          weights[name], inputs: shape.hidden, outputs: heads * shape.headSize, bias: shape.hasBias.queryKeyValue)
      }
      query = projection("q_proj", shape.heads)
      key = projection("k_proj", shape.keyHeads)
      value = projection("v_proj", shape.keyHeads)
      output = Linear(
        weights["o_proj"], inputs: shape.heads * shape.headSize, outputs: shape.hidden, bias: shape.hasBias.output)
      size = shape.headSize
    }

    func callAsFunction(_ x: Tensor, _ place: Place, _ layer: Int) -> Tensor {
      func heads(_ x: Tensor) -> Tensor { x.reshaped([x.shape[0], x.shape[1] / size, size]) }
      let attended = causalAttention(
        query: heads(query(x)).rotated(by: place.rotary, at: place.positions),
        key: heads(key(x)).rotated(by: place.rotary, at: place.positions),
        value: heads(value(x)), place.packing, cache: place.cache, layer: layer)
      return output(attended.reshaped([x.shape[0], attended.shape[1] * size]))
    }

    static func pathComponent(ofProperty property: String) -> String {
      switch property {
      case "query": "q_proj"
      case "key": "k_proj"
      case "value": "v_proj"
      case "output": "o_proj"
      default: property
      }
    }
  }

  final class FeedForward: Module {
    let gate: Linear
    let up: Linear
    let down: Linear
    private let activation: Activation

    init(_ weights: Weights, _ shape: LlamaConfiguration) {
      func projection(_ name: String, _ inputs: Int, _ outputs: Int) -> Linear {
        Linear(weights[name], inputs: inputs, outputs: outputs, bias: shape.hasFeedForwardBias)
      }
      gate = projection("gate_proj", shape.hidden, shape.intermediate)
      up = projection("up_proj", shape.hidden, shape.intermediate)
      down = projection("down_proj", shape.intermediate, shape.hidden)
      activation = shape.activation
    }

    func callAsFunction(_ x: Tensor) -> Tensor { down(activation(gate(x)) * up(x)) }

    static func pathComponent(ofProperty property: String) -> String { "\(property)_proj" }
  }
}
