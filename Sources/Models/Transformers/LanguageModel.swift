import Foundation
import LoRAFiles
import LoRAFormats
import LoRANetworks
import LoRATensors

/// A decoder that predicts the next token.
public protocol LanguageModel: OutputEmbedding {
  /// How many tokens it knows; ids are below that.
  var vocabulary: Int { get }
  /// The longest sequence that it can read.
  var positions: Int { get }
  /// How many layers, and the shape of their keys and values.
  var cacheShape: (layers: Int, heads: Int, size: Int) { get }
  /// The token vectors that logits are made of, [rows, hidden]. With a cache there is one sequence, whose earlier
  /// tokens are in the cache; those given are added to it.
  func hiddenStates(_ tokens: TokenRows, cache: KeyValueCache?) -> Tensor
  /// Whether layers are computed again for the gradient instead of being kept: less memory, more time.
  var recomputes: Bool { get set }
  /// What a token vector is multiplied by to give logits, [vocabulary, hidden].
  var outputWeight: Tensor { get }
  /// How logits follow from these products; by default they are the logits.
  var logitRule: LogitRule { get }
  /// The logits of token vectors: [rows, hidden] → [rows, vocabulary].
  func logits(of hidden: Tensor) -> Tensor
}

extension LanguageModel {
  /// Insists that the model knows all of a text's tokens. A tokenizer may have more than its model: tokens that were
  /// added and never trained.
  ///
  /// - Throws: `CheckpointError` that names the first one that the model does not have.
  public func requireKnown(_ ids: some Sequence<Int>, of tokenizer: Tokenizer) throws {
    guard let unknown = ids.first(where: { $0 >= vocabulary }) else { return }
    throw CheckpointError(
      .mismatch, file: tokenizer.file,
      "makes the token \(unknown) of the text, \"\(tokenizer.decode([Int32(unknown)], skippingSpecialTokens: false))\"",
      expected: "the model's \(vocabulary) tokens", advice: "Take the tokenizer that belongs to the model")
  }

  /// The logits of the next token after each row, [rows, vocabulary].
  public func logits(_ tokens: TokenRows) -> Tensor {
    LinkChoice.overSequences(tokens.packing) { logits(of: hiddenStates(tokens, cache: nil)) }
  }

  public var logitRule: LogitRule { LogitRule() }

  public func logits(of hidden: Tensor) -> Tensor { logitRule.logits(hidden.linear(outputWeight)) }

  /// The logits of the next token after the last of `ids`, [vocabulary], which are added to the cache.
  public func nextLogits(_ ids: [Int], cache: KeyValueCache) -> Tensor {
    let hidden = hiddenStates(TokenRows(ids: [ids]), cache: cache)
    return logits(of: hidden.rows(at: [ids.count - 1])).reshaped([vocabulary])
  }

  /// The mean loss of predicting each token from those before it in its sequence. A target of `ignored` at a token's
  /// place leaves that token out; by default all count but the first of each sequence.
  public func loss(_ tokens: TokenRows, targets: [Int]? = nil) -> Tensor {
    let source = targets ?? tokens.ids
    // Row i predicts token i + 1; the last row of a sequence predicts nothing.
    var next = Array(repeating: LanguageModelTarget.ignored, count: source.count)
    for index in 0..<tokens.packing.count {
      for row in tokens.packing[index].dropLast() { next[row] = source[row + 1] }
    }
    let hidden = hiddenStates(tokens, cache: nil)
    return (logitRule.scale == 1 ? hidden : hidden * logitRule.scale).linearCrossEntropy(
      outputWeight, next, ignoring: LanguageModelTarget.ignored, cap: logitRule.cap)
  }
}

/// What stands in the place of a target that does not count.
public enum LanguageModelTarget {
  /// PyTorch's `ignore_index`.
  public static let ignored = -100
}

/// The decoder in a Hugging Face folder, of whichever kind its config.json says.
///
/// - Throws: `CheckpointError` where the kind, a configuration value or a tensor is not supported.
public func languageModel(contentsOf folder: URL) throws -> any LanguageModel {
  let checkpoint = try Checkpoint(folder)
  return try TransformerDecoder(checkpoint, ModelConfiguration(checkpoint))
}
