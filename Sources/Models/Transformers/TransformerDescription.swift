// What differs between transformers (Vaswani et al. 2017) that are otherwise one: read from a config.json by the small
// files in Families, run by Transformer.swift.

import LoRANetworks
import LoRATensors

/// One transformer's shape, and which of the known choices it makes.
public struct TransformerDescription: Sendable {
  // MARK: Sizes

  /// How many tokens it knows.
  public var vocabulary: Int
  /// The length of a token's vector.
  public var hidden: Int
  /// How many layers there are.
  public var layers: Int { attention.count }
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

  // MARK: From tokens to vectors

  /// The length of the vectors in the table of tokens, which a linear map brings to `hidden`; nil: `hidden` itself.
  var embeddingSize: Int?
  /// What token vectors are multiplied by.
  var embeddingScale: Float = 1
  /// The learnt vectors of places, which are added; nil where places only turn queries and keys.
  var positionTable: PositionTable?
  /// How many kinds of segments have vectors that are added (BERT's token types).
  public internal(set) var segments = 0

  // MARK: Norms

  /// Which norm stands at every place for which `names` has one.
  var norm = Norm.rootMeanSquare(offset: 0)
  /// Added to variances and means of squares.
  public internal(set) var epsilon: Double
  /// What of queries and keys is normalised, where they are.
  var queryKeyNorm = QueryKeyNorm.eachHead
  /// Whether the first layer does without the norm before its attention, the embedding's having been the last step.
  var firstLayerIsNormalised = false

  // MARK: Attention

  /// By layer: what its attention sees and how places turn it.
  var attention: [LayerAttention]
  /// The kinds of rotary positions that layers choose from.
  var rotary: [RotaryFrequencies] = []
  /// Whether a token sees only those before it.
  var isCausal = true
  /// Where there is one, scores s become c tanh(s / c).
  var attentionCap: Float?
  /// How many distances have a learnt bias of their own, shared by all layers.
  var distanceBuckets: Int?
  /// Whether the linear maps of queries, keys and values have biases.
  var hasQueryKeyValueBias = false
  /// Whether that of the attention's output has one.
  var hasOutputBias = false

  // MARK: Feed-forward part

  /// The non-linearity.
  var activation: Activation
  /// Whether its linear maps have biases.
  var hasFeedForwardBias = false

  // MARK: Sums

  /// What each part's output is multiplied by before it is added.
  var residualScale: Float = 1

  // MARK: What stands on it

  /// Whether logits come from the table of tokens.
  var isTied = false
  /// How logits follow from token vectors.
  var logits = LogitRule()
  /// What transformers puts on it to classify texts.
  package var head = HeadDescription()
  /// The names of the classes of a classifier, where the folder has one.
  public internal(set) var labels: [String]?
  /// The standard deviation with which a new head is drawn.
  var initializerRange: Double

  // MARK: Storage

  /// How the layers' matrices are stored.
  var layout = Parameter.Layout.outputsByInputs
  /// What transformers calls the parts; a part without a name is none of this model's.
  var names: [TransformerPart: String]
  /// Endings of tensors that older files hold and that are no parameters.
  var buffers: [String] = []

  /// Learnt vectors of places.
  struct PositionTable {
    /// How many there are.
    var rows: Int
    /// The row of the first place.
    var first = 0
    /// A token that has no place: its row is the one before the first, and it isn't counted (RoBERTa).
    var padding: Int?
  }

  /// A kind of norm.
  enum Norm {
    /// x / √(mean of squares + ε) · (weight + offset).
    case rootMeanSquare(offset: Float)
    /// (x − mean) / √(variance + ε) · weight, + bias where there is one.
    case layer(hasBias: Bool)
  }

  /// Which numbers are normalised together.
  enum QueryKeyNorm {
    /// Those of each head.
    case eachHead
    /// Those of all heads.
    case allHeads
  }

  /// What one layer's attention sees.
  struct LayerAttention {
    /// Only keys less than so many places away; nil: all.
    var window: Int?
    /// Which of the kinds of rotary positions; nil: none.
    var rotary: Int?
    /// What products of queries and keys are multiplied by; nil stands for 1/√headSize.
    var scale: Float?
  }
}

/// How logits follow from the products of token vectors and the output layer.
public struct LogitRule: Sendable {
  /// What the products are multiplied by.
  public var scale: Float = 1
  /// Where there is one, a logit x becomes c tanh(x / c) (Gemma 2, section 2).
  public var cap: Float?

  /// The products themselves.
  public init() {}

  /// The logits of products.
  func logits(_ products: Tensor) -> Tensor {
    let scaled = scale == 1 ? products : products * scale
    return cap.map { (scaled / $0).tanh() * $0 } ?? scaled
  }
}

/// What stands on a transformer to classify texts: one vector a text, perhaps a dense layer, and one logit a class.
package struct HeadDescription: Sendable {
  /// Which vector stands for a text.
  enum Pooling: String {
    case first = "cls"
    case mean, last
  }

  var pooling = Pooling.last
  /// A token that does not count as the last one.
  var padding: Int?
  /// Whether it first goes through the body's own pooler (BERT).
  var usesPooler = false
  /// The dense layer before the last one.
  var dense: String?
  var denseActivation = Activation.tanh
  var hasDenseBias = true
  /// The norm after it.
  var norm: String?
  /// The layer that gives a logit a class.
  var output = "score"
  var hasOutputBias = false

  /// The modules that a new classifier trains whole, by path.
  package var modules: [String] { [dense, norm, output].compactMap(\.self) }
}

/// The parts of a transformer that have parameters. Paths of the last group are within a layer.
enum TransformerPart: String, Sendable {
  // The model without a head, and what makes logits.
  case body, outputProjection
  // Within it.
  case tokens, positions, segments, embeddingNorm, embeddingProjection, layers, distanceBias, finalNorm, pooler
  // Within a layer: the norm before a part, that of its output, and that of the sum.
  case attentionNorm, attentionOutputNorm, attentionSumNorm
  case feedForwardNorm, feedForwardOutputNorm, feedForwardSumNorm
  // `queryKeyValue` and `gateUp` stand for several in one matrix.
  case query, key, value, queryKeyValue, queryNorm, keyNorm, output
  case gate, up, gateUp, down
}
