import Foundation
import LoRAFiles
import LoRAFormats
import LoRANetworks
import LoRATensors

/// Sentence embeddings (Reimers and Gurevych 2019): vectors whose cosines say how like texts are.
///
/// ```swift
/// let embedder = try SentenceEmbedder(model: folder)
/// let vectors = try embedder.embed(["a moving film", "a film that moves"])
/// ```
/// How token vectors become one is what a folder of sentence-transformers says (`modules`). Without one it is their mean,
/// scaled to length 1.
public final class SentenceEmbedder {
  /// The transformer, with the adapter where there is one.
  public let model: Transformer
  /// What makes tokens of texts.
  public let tokenizer: Tokenizer
  /// What becomes of token vectors.
  public let modules: SentenceModules
  /// What is put before each text.
  public let prompt: String?
  /// The most tokens that are read at once.
  public let maximumLength: Int
  /// What is done with longer texts.
  public let longTexts: LongTexts

  /// - Parameters:
  ///   - folder: a folder of sentence-transformers, or a Hugging Face folder: config.json, weights, tokenizer.json.
  ///   - adapter: a PEFT folder; a classifier in it is left out.
  ///   - prompt: the name of one of the folder's prompts; by default its own default, or none.
  ///   - maximumLength: at most the model's positions; by default what the folder says, or these.
  ///   - longTexts: what is done with longer texts.
  /// - Throws: `CheckpointError` where a file is missing or malformed, or asks for what is not supported.
  public init(
    model folder: URL, adapter: URL? = nil, prompt: String? = nil, maximumLength: Int? = nil,
    longTexts: LongTexts = .cut
  ) throws {
    modules = try SentenceModules(contentsOf: folder)
    self.prompt = try prompt.map { [modules] name in
      guard let text = modules.prompts[name] else {
        let known = modules.prompts.keys.sorted().joined(separator: ", ")
        throw CheckpointError(
          .missing, file: folder.path, "has no prompt \"\(name)\" (config_sentence_transformers.json)",
          expected: known.isEmpty ? nil : known,
          advice: known.isEmpty ? "Write what stands before a text into the text" : "Choose one of them")
      }
      return text
    }
    tokenizer = try Tokenizer(contentsOf: modules.folder)
    model = try Transformer(contentsOf: modules.folder)
    try modules.check(hidden: model.description.hidden)
    self.maximumLength = min(maximumLength ?? modules.maximumLength ?? .max, model.description.positions)
    self.longTexts = longTexts
    try adapter.map { try StoredAdapter(peft: $0) }?.attach(to: model, skippingUnplacedWeights: true)
  }

  /// A text as the tokenizer gets it: behind the prompt, in lower case where the folder says so. What is appended to
  /// `noTexts` has to be that.
  public func prepared(_ text: String) -> String { modules.prepared(text, prompt: prompt) }

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
    try EncodedTexts(texts.map(prepared), tokenizer: tokenizer, length: maximumLength, longTexts: longTexts)
  }

  /// [texts, size]
  public func embed(
    _ texts: [String], rows: Int = 4096, progress: (_ done: Int) -> Void = { _ in }
  ) throws -> [[Float]] { try embed(try encode(texts), rows: rows, progress: progress) }

  /// The same for texts that are tokens already.
  public func embed(
    _ texts: EncodedTexts, rows: Int = 4096, progress: (_ done: Int) -> Void = { _ in }
  ) throws -> [[Float]] {
    var embeddings: [[Float]] = []
    try forEachEmbedding(of: texts, rows: rows, progress: progress) { embeddings.append($0) }
    return embeddings
  }

  /// Calls `body` with each text's embedding, in their order: of any number in little memory.
  ///
  /// - Throws: `TokenizerError` where a token is not among the model's, `CheckpointError` where an answer is no number.
  public func forEachEmbedding(
    of texts: EncodedTexts, rows: Int = 4096, progress: (_ done: Int) -> Void = { _ in },
    _ body: ([Float]) throws -> Void
  ) throws { try model.forEachSentenceEmbedding(of: texts, modules, rows: rows, progress: progress, body) }
}

extension Transformer {
  /// Each text's mean token vector, scaled to length 1, [texts, hidden].
  public func sentenceEmbeddings(_ tokens: TokenRows) -> Tensor {
    let means = pooled(self(tokens), tokens, .mean)
    return .concatenated(
      (0..<means.shape[0]).map { index in
        let mean = means.sliced(axis: 0, index..<(index + 1))
        return mean / max(Float(mean.norm), 1e-12)
      }, axis: 0)
  }

  /// The same of any number of texts. Over several windows the mean is that of all tokens, each counted once: one that
  /// several windows hold counts with the mean of its vectors.
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
  /// - `modules`: how token vectors become an embedding; by default their mean, scaled to length 1.
  /// - Throws: `TokenizerError` where a token is not among the model's, `CheckpointError` where an answer is no number.
  public func forEachSentenceEmbedding(
    of texts: EncodedTexts, _ modules: SentenceModules? = nil, rows: Int = 4096,
    progress: (_ done: Int) -> Void = { _ in }, _ body: ([Float]) throws -> Void
  ) throws {
    let (pooling, steps) = (modules?.pooling ?? SentencePooling(.mean), modules?.steps ?? [.normalize])
    try texts.requireKnown(vocabulary: description.vocabulary, segments: description.knownSegments)
    var weights: [[Float]] = []
    var start: Int?
    func parts(_ part: EncodedTexts.Part, _ batch: [Int]) -> [[Float]] {
      if start != part.start {
        start = part.start
        weights = part.windows.indices.flatMap { part.tokenWeights(of: $0) }
      }
      let tokens = TokenRows(batch.map { part.sequences[$0] })
      let hidden = self(tokens)
      return batch.enumerated().map { place, index in
        pooling.part(of: hidden.sliced(axis: 0, tokens.packing[place]), weights: weights[index])
      }
    }
    try texts.forEachText(rows: rows, progress: progress, compute: parts) { _, windows in
      try body(SentenceModules.vector(of: pooling.vector(of: windows), through: steps))
    }
  }
}
