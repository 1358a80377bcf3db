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
      .mismatch, file: "",
      "the text holds the token \(unknown), \"\(tokenizer.decode([Int32(unknown)], skippingSpecialTokens: false))\", and the "
        + "model has only \(vocabulary) tokens", advice: "Take the tokenizer that belongs to the model")
  }

  /// The logits of the next token after each row, [rows, vocabulary].
  public func logits(_ tokens: TokenRows) -> Tensor {
    LinkChoice.overSequences(tokens.packing) { logits(of: hiddenStates(tokens, cache: nil)) }
  }

  public func logits(of hidden: Tensor) -> Tensor { hidden.linear(outputWeight) }

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
    return hiddenStates(tokens, cache: nil).linearCrossEntropy(
      outputWeight, next, ignoring: LanguageModelTarget.ignored)
  }
}

/// What stands in the place of a target that does not count.
public enum LanguageModelTarget {
  /// PyTorch's `ignore_index`.
  public static let ignored = -100
}

/// The keys and values of the tokens read so far, so that each new token is read alone.
public final class KeyValueCache {
  /// How many tokens it holds.
  public private(set) var count = 0
  /// How many tokens it has room for.
  public let capacity: Int
  private var keys: [Tensor]  // by layer: [capacity, heads, size]
  private var values: [Tensor]

  /// An empty cache, whose memory is taken at once.
  public init(for model: some LanguageModel, capacity: Int) {
    let shape = model.cacheShape
    self.capacity = capacity
    keys = (0..<shape.layers).map { _ in .zeros([capacity, shape.heads, shape.size]) }
    values = keys
  }

  /// Puts the keys and values of new tokens, [rows, heads, size], behind those of a layer, and returns them all.
  func append(_ newKeys: Tensor, _ newValues: Tensor, layer: Int) -> (keys: Tensor, values: Tensor) {
    expect(
      count + newKeys.shape[0] <= capacity,
      "KeyValueCache: \(newKeys.shape[0]) tokens more than \(count), but there is room for \(capacity)")
    let offset = count * newKeys.shape[1] * newKeys.shape[2]
    keys[layer].updateInPlace { newKeys.copyElements(to: $0 + offset) }
    values[layer].updateInPlace { newValues.copyElements(to: $0 + offset) }
    return (keys[layer], values[layer])
  }

  /// Counts the tokens as read, once every layer has them.
  func advance(by rows: Int) { count += rows }

  /// Forgets all but the first tokens.
  public func truncate(to count: Int) {
    expect(count <= self.count, "KeyValueCache: \(count) tokens are more than the \(self.count) that it holds")
    self.count = count
  }
}

extension Tensor {
  fileprivate func copyElements(to destination: UnsafeMutablePointer<Float>) {
    withUnsafeBufferPointer { destination.update(from: $0.baseAddress!, count: $0.count) }
  }
}

/// Attention of new tokens over those in the cache and themselves, [rows, heads, size] in and out.
func causalAttention(
  query: Tensor, key: Tensor, value: Tensor, _ packing: Packing, cache: KeyValueCache?, layer: Int
) -> Tensor {
  guard let cache else {
    return .attention(query: query, key: key, value: value, queries: packing, isCausal: true)
  }
  let (keys, values) = cache.append(key, value, layer: layer)
  return .attention(
    query: query, key: keys, value: values, queries: packing, keys: Packing(lengths: [cache.count + packing.rows]),
    isCausal: true)
}

/// The decoder in a Hugging Face folder, of whichever kind its config.json says.
///
/// - Throws: `CheckpointError` where the kind, a configuration value or a tensor is not supported.
public func languageModel(contentsOf folder: URL) throws -> any LanguageModel {
  let checkpoint = try Checkpoint(folder)
  let configuration = try ModelConfiguration(checkpoint)
  switch try configuration.text("model_type") {
  case let type? where LlamaConfiguration.types.contains(type): return try Llama(checkpoint, configuration)
  case "gpt2": return try GPT2(checkpoint, configuration)
  case let type:
    throw configuration.unsupported(
      "model_type", type.map { .string($0) } ?? .null,
      supported: (LlamaConfiguration.types + ["gpt2"]).joined(separator: ", ") + " as language models")
  }
}
