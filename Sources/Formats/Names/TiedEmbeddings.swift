// One tensor for two modules: the input embedding that is also the output layer.

import LoRAAdapters
import LoRAFiles

/// What a checkpoint says about tied embeddings.
package struct TiedEmbeddings {
  /// Names under which models keep their input embedding and output layer.
  private static let inputNames = ["embed_tokens", "wte", "word_embeddings", "embed_in"]
  private static let outputNames = ["lm_head", "embed_out"]

  /// Whether `config.json` ties them, or leaves it to the architecture and the output layer is not stored.
  package let areTied: Bool
  package let input: StoredTensor?

  package init(_ base: Checkpoint) {
    input = base.tensors.first { tensor in
      Self.inputNames.contains { tensor.name == "\($0).weight" || tensor.name.hasSuffix(".\($0).weight") }
    }
    let hasOutput = base.tensors.contains { tensor in
      Self.outputNames.contains { tensor.name.hasSuffix("\($0).weight") }
    }
    // Only models that end in a vocabulary have the two; an encoder's configuration may say "tied" all the same.
    let className = base.configuration?["architectures"]?.strings?.first
    let isGenerative =
      className.map { name in
        ["LMHeadModel", "ForCausalLM", "ForMaskedLM", "ForConditionalGeneration", "ForPreTraining"].contains(
          where: name.hasSuffix)
      }
    switch base.configuration?["tie_word_embeddings"]?.bool {
    case let tied?: areTied = tied && input != nil && isGenerative ?? true
    // transformers' default is to tie; GPT-2 and others leave it out.
    case nil: areTied = isGenerative == true && !hasOutput && input != nil
    }
  }

  /// Whether a weight is one of the tied pair.
  package func contains(_ name: String) -> Bool {
    guard areTied, name.hasSuffix(".weight") else { return false }
    let module = lastComponent(String(name.dropLast(".weight".count)))
    return Self.inputNames.contains(module) || Self.outputNames.contains(module)
  }

  /// The input embedding under the output layer's name, for a checkpoint that stores the two once.
  package var untied: StoredTensor? {
    guard areTied, let input else { return nil }
    return input.renamed((input.name.hasSuffix("embed_in.weight") ? "embed_out" : "lm_head") + ".weight")
  }

  /// The weight of the output layer at `path`, where it is the input embedding's.
  package func weight(ofOutput path: String) -> StoredTensor? {
    untied.flatMap { $0.name == path + ".weight" ? $0 : nil }
  }
}
