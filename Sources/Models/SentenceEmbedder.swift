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
  public let model: BERT
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
    model = try BERT(contentsOf: folder)
    self.maximumLength = min(maximumLength ?? .max, model.configuration.positions)
    self.longTexts = longTexts
    try adapter.map { try StoredAdapter(peft: $0) }?.attach(to: model, skippingUnplacedWeights: true)
  }

  /// The texts as tokens.
  ///
  /// - Throws: `NoTokensError` where a text has none, `CheckpointError` where the model does not know one.
  public func encode(_ texts: [String]) throws -> EncodedTexts {
    let encoded = try EncodedTexts(texts, tokenizer: tokenizer, length: maximumLength, longTexts: longTexts)
    try encoded.requireKnown(vocabulary: model.configuration.vocabulary, segments: model.configuration.segments)
    return encoded
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

extension BERT {
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
    let weights = texts.windows.indices.flatMap { texts.tokenWeights(of: $0) }
    var sums = [[Float]](repeating: [], count: texts.sequences.count)
    texts.forEachBatch(rows: rows, progress: progress) { batch in
      let tokens = TokenRows(batch.map { texts.sequences[$0] })
      let hidden = self(tokens)
      for (place, index) in batch.enumerated() {
        let row = Tensor(shape: [1, weights[index].count], scalars: weights[index])
        sums[index] = row.matmul(hidden.sliced(axis: 0, tokens.packing[place])).scalars
      }
    }
    for index in sums.indices { try texts.requireNumbers(sums[index], ofSequence: index) }
    return texts.windows.map { range in
      let sum = range.dropFirst().reduce(sums[range.lowerBound]) { sum, index in
        zip(sum, sums[index]).map { $0 + $1 }
      }
      let norm = Float(sum.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot())
      return sum.map { $0 / max(norm, 1e-12) }
    }
  }
}
