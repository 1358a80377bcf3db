// One tensor for two modules: the input embedding that is also the output layer.
//
// A configuration may say "tied" of a file that stores two different tensors: then the stored ones count, as transformers
// 5 has it. Where a file stores the pair twice, alike, both are one.

import LoRAFiles

/// What a checkpoint makes of its input embedding and its output layer.
public struct TiedEmbeddings: Sendable {
  /// Names under which models keep the two.
  private static let inputNames = ["embed_tokens", "wte", "word_embeddings", "embed_in"]
  private static let outputNames = ["lm_head", "embed_out"]

  /// The input embedding's tensor.
  public let input: String
  /// The output layer's tensor, stored or not.
  public let output: String
  /// Whether the file holds the output layer too, with the same numbers.
  public let isStoredTwice: Bool

  /// nil where they are not tied.
  ///
  /// - Parameter areEqual: whether two stored tensors are the same bit for bit.
  init?(names: [String], configuration: JSON?, areEqual: (String, String) -> Bool) {
    func find(_ candidates: [String]) -> String? {
      names.first { name in candidates.contains { name == "\($0).weight" || name.hasSuffix(".\($0).weight") } }
    }
    guard let input = find(Self.inputNames) else { return nil }
    let stored = find(Self.outputNames)
    // Only models that end in a vocabulary have the two; an encoder's configuration may say "tied" all the same.
    let isGenerative = configuration?["architectures"]?.strings?.first.map { name in
      ["LMHeadModel", "ForCausalLM", "ForMaskedLM", "ForConditionalGeneration", "ForPreTraining"].contains(
        where: name.hasSuffix)
    }
    // transformers' default is to tie; GPT-2 and others leave it out.
    let saysTied = configuration?["tie_word_embeddings"]?.bool ?? (isGenerative == true && stored == nil)
    guard saysTied, isGenerative ?? true, stored.map({ areEqual(input, $0) }) ?? true else { return nil }
    self.input = input
    output = stored ?? (input.hasSuffix("embed_in.weight") ? "embed_out" : "lm_head") + ".weight"
    isStoredTwice = stored != nil
  }

  /// Whether a weight is one of the pair.
  public func contains(_ name: String) -> Bool { name == input || name == output }
}
