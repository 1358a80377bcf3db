import Foundation
import LoRAFiles
import LoRAFormats
import LoRANetworks
import LoRATensors

/// Sentence embeddings (Reimers and Gurevych 2019): mean token vectors of length 1, whose products are cosines.
///
/// ```swift
/// let embedder = try SentenceEmbedder(model: folder)
/// let vectors = try embedder.embed(["a moving film", "a film that moves"])
/// ```
public final class SentenceEmbedder {
  /// The encoder, with the adapter where there is one.
  public let model: Transformer
  /// What makes tokens of texts.
  public let tokenizer: Tokenizer
  /// The most tokens that are read at once.
  public let maximumLength: Int
  /// What is done with longer texts.
  public let longTexts: LongTexts

  /// - Parameters:
  ///   - folder: a Hugging Face folder: config.json, weights, tokenizer.json.
  ///   - adapter: a PEFT folder; a classifier in it is left out.
  ///   - maximumLength: at most, and by default, the model's positions.
  ///   - longTexts: what is done with longer texts.
  public init(model folder: URL, adapter: URL? = nil, maximumLength: Int? = nil, longTexts: LongTexts = .cut) throws {
    tokenizer = try Tokenizer(contentsOf: folder)
    model = try Transformer(contentsOf: folder)
    self.maximumLength = min(maximumLength ?? .max, model.description.positions)
    self.longTexts = longTexts
    try adapter.map { try StoredAdapter(peft: $0) }?.attach(to: model, skippingUnplacedWeights: true)
  }

  /// No texts yet, to which any number can be appended, part by part.
  ///
  /// - Throws: `TokenizerError` where the special tokens leave no room.
  public func noTexts() throws -> EncodedTexts {
    try EncodedTexts(tokenizer: tokenizer, length: maximumLength, longTexts: longTexts)
  }

  /// The texts as tokens.
  ///
  /// - Throws: `NoTokensError` where a text has none, `CheckpointError` where the model does not know one.
  public func encode(_ texts: [String]) throws -> EncodedTexts {
    try EncodedTexts(texts, tokenizer: tokenizer, length: maximumLength, longTexts: longTexts)
  }

  /// [texts, hidden]
  public func embed(
    _ texts: [String], rows: Int = 4096, progress: (_ done: Int) -> Void = { _ in }
  ) throws -> [[Float]] { try embed(try encode(texts), rows: rows, progress: progress) }

  /// The same for texts that are tokens already.
  public func embed(
    _ texts: EncodedTexts, rows: Int = 4096, progress: (_ done: Int) -> Void = { _ in }
  ) throws -> [[Float]] { try model.sentenceEmbeddings(of: texts, rows: rows, progress: progress) }
}

extension Transformer {
  /// Each text's mean token vector, scaled to length 1, [texts, hidden]: a sentence embedding.
  public func sentenceEmbeddings(_ tokens: TokenRows) -> Tensor {
    let means = pooled(self(tokens), tokens, .mean)
    return .concatenated(
      (0..<means.shape[0]).map { index in
        let mean = means.sliced(axis: 0, index..<(index + 1))
        return mean / max(Float(mean.norm), 1e-12)
      }, axis: 0)
  }

  /// Each text's mean token vector, scaled to length 1. Over several windows the mean is that of all tokens, each
  /// counted once: one that several windows hold counts with the mean of its vectors.
  ///
  /// - Parameters:
  ///   - texts: what is read.
  ///   - rows: about how many tokens are worked on at once.
  ///   - progress: is told how many are done.
  public func sentenceEmbeddings(
    of texts: EncodedTexts, rows: Int = 4096, progress: (_ done: Int) -> Void = { _ in }
  ) throws -> [[Float]] {
    var embeddings: [[Float]] = []
    try forEachSentenceEmbedding(of: texts, rows: rows, progress: progress) { embeddings.append($0) }
    return embeddings
  }

  /// Calls `body` with each text's embedding, in their order: of any number in little memory.
  ///
  /// - Throws: `TokenizerError` where a token is not among the model's, `CheckpointError` where an answer is no number.
  public func forEachSentenceEmbedding(
    of texts: EncodedTexts, rows: Int = 4096, progress: (_ done: Int) -> Void = { _ in },
    _ body: ([Float]) throws -> Void
  ) throws {
    try texts.requireKnown(vocabulary: description.vocabulary, segments: description.knownSegments)
    var weights: [[Float]] = []
    var start: Int?
    func sums(_ part: EncodedTexts.Part, _ batch: [Int]) -> [[Float]] {
      if start != part.start {
        start = part.start
        weights = part.windows.indices.flatMap { part.tokenWeights(of: $0) }
      }
      let tokens = TokenRows(batch.map { part.sequences[$0] })
      let hidden = self(tokens)
      return batch.enumerated().map { place, index in
        let row = Tensor(shape: [1, weights[index].count], scalars: weights[index])
        return row.matmul(hidden.sliced(axis: 0, tokens.packing[place])).scalars
      }
    }
    try texts.forEachText(rows: rows, progress: progress, compute: sums) { _, windows in
      let sum = windows.dropFirst().reduce(windows[0]) { sum, vector in zip(sum, vector).map { $0 + $1 } }
      let norm = Float(sum.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot())
      try body(sum.map { $0 / max(norm, 1e-12) })
    }
  }
}
