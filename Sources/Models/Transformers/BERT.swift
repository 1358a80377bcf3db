// BERT (Devlin et al. 2018): a bidirectional transformer encoder (Vaswani et al. 2017) over word pieces, and what is
// put on it: a classifier of texts, and sentence embeddings (Reimers and Gurevych 2019).
//
// x₀ = norm(word + position + segment);  in each layer, with post-normalisation,
// a = norm(x + attention(x)),  x′ = norm(a + W₂ gelu(W₁ a)).

import Foundation
import LoRAFiles
import LoRAFormats
import LoRANetworks
import LoRATensors

/// The shape of a BERT, from its config.json.
public struct BERTConfiguration: Sendable {
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
  /// How many kinds of segments there are (BERT's token types).
  public var segments: Int
  /// Added to the variance in layer norms.
  public var epsilon: Double
  /// The standard deviation with which a new classifier is drawn.
  public var initializerRange: Double
  /// The names of the classes of a classifier, where the folder has one.
  public var labels: [String]?
  let activation: Activation

  package init(_ json: ModelConfiguration) throws {
    try json.require("model_type", "bert")
    try json.require("position_embedding_type", "absolute")
    try json.require("is_decoder", false)
    try json.require("add_cross_attention", false)
    try json.require("problem_type", "single_label_classification")
    vocabulary = try json.integer("vocab_size")
    hidden = try json.integer("hidden_size")
    layers = try json.integer("num_hidden_layers", upTo: 1000)
    heads = try json.integer("num_attention_heads")
    intermediate = try json.integer("intermediate_size")
    positions = try json.integer("max_position_embeddings", default: 512)
    segments = try json.integer("type_vocab_size", default: 2)
    epsilon = try json.positive("layer_norm_eps", default: 1e-12)
    initializerRange = try json.number("initializer_range", default: 0.02)
    activation = try json.activation("hidden_act", default: .gelu)
    labels = try json.labels()
    guard hidden % heads == 0 else {
      throw json.unsupported("hidden_size", .integer(hidden), supported: "a multiple of num_attention_heads (\(heads))")
    }
  }
}

/// The encoder: tokens to one vector a token, and a pooled one a text.
public final class BERT: Module {
  let embeddings: Embeddings
  let encoder: Encoder
  let pooler: Pooler?
  /// Its shape.
  public let configuration: BERTConfiguration
  /// Whether layers are computed again for the gradient instead of being kept: less memory, more time.
  public var recomputes = false

  init(_ weights: Weights, _ configuration: BERTConfiguration) {
    self.configuration = configuration
    embeddings = Embeddings(weights["embeddings"], configuration)
    encoder = Encoder(weights["encoder"], configuration)
    let pooler = weights["pooler"]
    self.pooler = pooler["dense"]["weight"].exists ? Pooler(pooler, configuration) : nil
  }

  /// Token vectors, [rows, hidden].
  public func callAsFunction(_ tokens: TokenRows) -> Tensor { hiddenStates(tokens).last! }

  /// The token vectors before the first layer and after each, [rows, hidden].
  public func hiddenStates(_ tokens: TokenRows) -> [Tensor] {
    expect(
      tokens.longest <= configuration.positions,
      "BERT: a text of \(tokens.longest) tokens, but there are \(configuration.positions) positions")
    return LinkChoice.overSequences(tokens.packing) {
      var states = [embeddings(tokens)]
      for layer in encoder.layer {
        states.append(
          recomputes
            ? layer.recomputing(states.last!) { layer($0, tokens.packing) } : layer(states.last!, tokens.packing))
      }
      return states
    }
  }

  /// tanh(W h + b) of each text's first token, [texts, hidden], from the token vectors.
  ///
  /// - Precondition: the encoder has a pooler; some are stored without.
  public func pooled(_ hidden: Tensor, _ tokens: TokenRows) -> Tensor {
    guard let pooler else { fatalError("pooled: this encoder has no pooler") }
    let first = hidden.rows(at: (0..<tokens.packing.count).map { tokens.packing[$0].lowerBound })
    return pooler.dense(first).tanh()
  }

  /// Each text's mean token vector, scaled to length 1, [texts, hidden]: a sentence embedding.
  public func sentenceEmbeddings(_ tokens: TokenRows) -> Tensor {
    let hidden = self(tokens)
    return .concatenated(
      (0..<tokens.packing.count).map { index in
        let mean = hidden.sliced(axis: 0, tokens.packing[index]).mean(axis: 0, keepingAxis: true)
        return mean / max(Float(mean.norm), 1e-12)
      }, axis: 0)
  }

  // MARK: Parts, under the names of transformers

  final class Embeddings: Module {
    let wordEmbeddings: Embedding  // [vocabulary, hidden]
    let positionEmbeddings: Embedding  // [positions, hidden]
    let tokenTypeEmbeddings: Embedding  // [segments, hidden]
    let norm: LayerNorm

    init(_ weights: Weights, _ shape: BERTConfiguration) {
      wordEmbeddings = Embedding(weights["word_embeddings"], count: shape.vocabulary, size: shape.hidden)
      positionEmbeddings = Embedding(weights["position_embeddings"], count: shape.positions, size: shape.hidden)
      tokenTypeEmbeddings = Embedding(weights["token_type_embeddings"], count: shape.segments, size: shape.hidden)
      norm = LayerNorm(weights["LayerNorm"], size: shape.hidden, epsilon: shape.epsilon)
    }

    func callAsFunction(_ tokens: TokenRows) -> Tensor {
      let words = wordEmbeddings(tokens.ids)
      return norm(words + tokenTypeEmbeddings(tokens.segments) + positionEmbeddings(tokens.packing.positions))
    }

    static func pathComponent(ofProperty property: String) -> String {
      switch property {
      case "wordEmbeddings": "word_embeddings"
      case "positionEmbeddings": "position_embeddings"
      case "tokenTypeEmbeddings": "token_type_embeddings"
      case "norm": "LayerNorm"
      default: property
      }
    }
  }

  final class Encoder: Module {
    let layer: [Layer]

    init(_ weights: Weights, _ shape: BERTConfiguration) {
      layer = (0..<shape.layers).map { Layer(weights["layer"][$0], shape) }
    }
  }

  final class Layer: Module {
    let attention: Attention
    let intermediate: Dense
    let output: Residual
    private let activation: Activation

    init(_ weights: Weights, _ shape: BERTConfiguration) {
      attention = Attention(weights["attention"], shape)
      intermediate = Dense(weights["intermediate"], inputs: shape.hidden, outputs: shape.intermediate)
      output = Residual(weights["output"], inputs: shape.intermediate, shape)
      activation = shape.activation
    }

    func callAsFunction(_ x: Tensor, _ packing: Packing) -> Tensor {
      let attended = attention(x, packing)
      return output(activation(intermediate.dense(attended)), residual: attended)
    }
  }

  final class Attention: Module {
    let `self`: SelfAttention
    let output: Residual

    init(_ weights: Weights, _ shape: BERTConfiguration) {
      self.`self` = SelfAttention(weights["self"], shape)
      output = Residual(weights["output"], inputs: shape.hidden, shape)
    }

    func callAsFunction(_ x: Tensor, _ packing: Packing) -> Tensor { output(self.`self`(x, packing), residual: x) }
  }

  final class SelfAttention: Module {
    let query: Linear
    let key: Linear
    let value: Linear
    private let heads: Int

    init(_ weights: Weights, _ shape: BERTConfiguration) {
      func projection(_ name: String) -> Linear {
        Linear(weights[name], inputs: shape.hidden, outputs: shape.hidden)
      }
      (query, key, value) = (projection("query"), projection("key"), projection("value"))
      heads = shape.heads
    }

    func callAsFunction(_ x: Tensor, _ packing: Packing) -> Tensor {
      let (rows, hidden) = (x.shape[0], x.shape[1])
      let shape = [rows, heads, hidden / heads]
      return Tensor.attention(
        query: query(x).reshaped(shape), key: key(x).reshaped(shape), value: value(x).reshaped(shape),
        queries: packing, isCausal: false
      ).reshaped([rows, hidden])
    }
  }

  /// norm(residual + W x + b)
  final class Residual: Module {
    let dense: Linear
    let norm: LayerNorm

    init(_ weights: Weights, inputs: Int, _ shape: BERTConfiguration) {
      dense = Linear(weights["dense"], inputs: inputs, outputs: shape.hidden)
      norm = LayerNorm(weights["LayerNorm"], size: shape.hidden, epsilon: shape.epsilon)
    }

    func callAsFunction(_ x: Tensor, residual: Tensor) -> Tensor { norm(dense(x) + residual) }

    static func pathComponent(ofProperty property: String) -> String { property == "norm" ? "LayerNorm" : property }
  }

  final class Dense: Module {
    let dense: Linear

    init(_ weights: Weights, inputs: Int, outputs: Int) {
      dense = Linear(weights["dense"], inputs: inputs, outputs: outputs)
    }
  }

  typealias Pooler = Dense

  /// Buffers and the heads of other tasks, which a checkpoint may hold besides.
  static func isIgnorable(_ name: String) -> Bool {
    name.hasSuffix("embeddings.position_ids") || name.hasPrefix("cls.")
  }
}

extension BERT.Dense {
  convenience init(_ weights: Weights, _ shape: BERTConfiguration) {
    self.init(weights, inputs: shape.hidden, outputs: shape.hidden)
  }
}

extension BERT {
  /// The encoder in a Hugging Face folder, with or without a head, which is left out.
  public convenience init(contentsOf folder: URL) throws {
    let checkpoint = try Checkpoint(folder)
    let configuration = try BERTConfiguration(ModelConfiguration(checkpoint))
    let weights = Weights(checkpoint, prefix: "bert")
    self.init(weights["bert"], configuration)
    try weights.finish { BERT.isIgnorable($0) || $0.hasPrefix("classifier.") }
  }
}

/// A classifier of texts: the pooled vector through one linear map (`BertForSequenceClassification`).
public final class BERTClassifier: Module {
  /// The encoder.
  public let bert: BERT
  /// From the pooled vector to one logit a class.
  public let classifier: Linear
  /// The names of the classes.
  public let labels: [String]

  /// Reads the folder; where it has no classifier, or one for other classes, a new one is drawn.
  ///
  /// - Parameters:
  ///   - folder: a Hugging Face folder: config.json, weights, tokenizer.json.
  ///   - labels: the classes; by default those of the folder's classifier.
  ///   - generator: where random numbers come from.
  /// - Throws: `CheckpointError` where no labels are given and the folder has no classifier.
  public init(contentsOf folder: URL, labels: [String]? = nil, using generator: inout some RandomNumberGenerator) throws
  {
    let checkpoint = try Checkpoint(folder)
    let configuration = try BERTConfiguration(ModelConfiguration(checkpoint))
    let weights = Weights(checkpoint, prefix: "bert")
    let head = weights["classifier"]
    let own = head["weight"].exists ? configuration.labels : nil
    guard let labels = labels ?? own else {
      throw CheckpointError(
        .missing, file: folder.path, "is an encoder without a classifier", advice: Advice("Train one", .trainClassifier)
      )
    }
    self.labels = labels
    bert = BERT(weights["bert"], configuration)
    if own == labels {
      classifier = Linear(head, inputs: configuration.hidden, outputs: labels.count)
    } else {
      let weight = Tensor.normal(
        [labels.count, configuration.hidden], deviation: Float(configuration.initializerRange), using: &generator)
      classifier = Linear(weight: Parameter(weight), bias: Parameter(.zeros([labels.count])))
    }
    try weights.finish { BERT.isIgnorable($0) || own != labels && $0.hasPrefix("classifier.") }
    if bert.pooler == nil {
      throw CheckpointError(
        .missing, file: folder.path, "has no bert.pooler.dense.weight, which a classifier stands on",
        advice: "Take the encoder with its pooler (add_pooling_layer=True)")
    }
  }

  /// Logits, [texts, classes].
  public func callAsFunction(_ tokens: TokenRows) -> Tensor { classifier(bert.pooled(bert(tokens), tokens)) }
}
