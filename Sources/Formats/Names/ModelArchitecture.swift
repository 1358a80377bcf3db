// What a model's configuration and its tensors' names say about its modules, where shapes alone don't tell.

import Foundation
import LoRAAdapters
import LoRAFiles

/// The architecture of a checkpoint as far as adapters need to know it.
public struct ModelArchitecture: Sendable {
  let modelType: String?
  /// The class that the checkpoint was saved from, such as "LlamaForCausalLM".
  package let className: String?
  private let configuration: JSON?

  private let prefix: String

  package init(_ configuration: JSON?, names: [String]) {
    self.configuration = configuration
    modelType = configuration?["model_type"]?.string
    className = configuration?["architectures"]?.strings?.first
    prefix = Self.missingPrefix(modelType: modelType, className: className, names: names)
  }

  /// What the model class that transformers builds calls a stored tensor: with the prefix of a model without a head,
  /// and BERT's norms as they are called since 2018.
  package func parameter(of stored: String) -> String {
    let heads = taskHeads + ["pre_classifier", "lm_head", "cls"]
    let isOfHead = heads.contains { stored.hasPrefix($0 + ".") }
    return (isOfHead ? "" : prefix) + Self.current(stored)
  }

  /// All names of a stored tensor: today's, and the file's own as they are called today.
  func spellings(of stored: String) -> [String] { [parameter(of: stored), Self.current(stored)] }

  /// "LayerNorm.gamma" and "LayerNorm.beta" are "LayerNorm.weight" and "LayerNorm.bias".
  private static func current(_ name: String) -> String {
    if name.hasSuffix("LayerNorm.gamma") { return name.dropLast("gamma".count) + "weight" }
    if name.hasSuffix("LayerNorm.beta") { return name.dropLast("beta".count) + "bias" }
    return name
  }
  /// The class with a head for a task, of the same family.
  package func className(for task: String) -> String? {
    let heads = [
      "SEQ_CLS": "ForSequenceClassification", "TOKEN_CLS": "ForTokenClassification",
      "QUESTION_ANS": "ForQuestionAnswering",
    ]
    guard let className, let head = heads[task] else { return nil }
    if className.hasSuffix(head) { return className }
    let end =
      className.range(of: "For")?.lowerBound ?? className.range(of: "LMHeadModel")?.lowerBound
      ?? (className.hasSuffix("Model") ? className.index(className.endIndex, offsetBy: -5) : nil)
    return end.map { className[..<$0] + head }
  }
  package func isHead(_ path: String, of task: String?) -> Bool {
    ["SEQ_CLS", "TOKEN_CLS"].contains(task) && ["classifier", "score", "pre_classifier"].contains(lastComponent(path))
  }
  func isOutputLayer(_ path: String) -> Bool { ["lm_head", "embed_out", "classifier", "score"].contains(path) }

  /// Names of modules that transformers makes as `nn.Embedding`.
  private static let embeddings: Set = [
    "embed_tokens", "wte", "wpe", "word_embeddings", "position_embeddings", "token_type_embeddings", "embed_positions",
    "embed_in", "shared", "tok_embeddings", "relative_attention_bias",
  ]
  /// Architectures whose linear maps are GPT-2's Conv1D, stored as [in, out].
  private static let conv1DTypes: Set = ["gpt2", "openai-gpt", "imagegpt", "decision_transformer", "ctrl"]
  private static let conv1DNames: Set = ["c_attn", "c_proj", "c_fc", "q_attn"]
  /// The attribute under which a model with a head keeps the model without one.
  private static let prefixes = [
    "gpt2": "transformer", "bert": "bert", "roberta": "roberta", "xlm-roberta": "roberta", "distilbert": "distilbert",
    "electra": "electra", "deberta": "deberta", "deberta-v2": "deberta", "llama": "model", "mistral": "model",
    "qwen2": "model", "qwen3": "model", "gemma": "model", "gemma2": "model", "phi": "model", "phi3": "model",
    "gpt_neox": "gpt_neox", "bloom": "transformer", "falcon": "transformer", "opt": "model",
  ]

  /// Whether linear maps are Conv1D, as far as the configuration says.
  package var usesConv1D: Bool { modelType.map(Self.conv1DTypes.contains) ?? false }

  package func isEmbedding(_ path: String) -> Bool { Self.embeddings.contains(lastComponent(path)) }

  /// Whether a weight is stored as [in, out].
  package func isConv1D(_ path: String) -> Bool {
    guard Self.conv1DNames.contains(lastComponent(path)) else { return false }
    // Falls back on names where no configuration is at hand: GPT-2's blocks are "h.0", "h.1", …
    return usesConv1D || (modelType == nil && path.split(separator: ".").dropLast().contains("h"))
  }

  /// peft's task type.
  package var taskType: String? { Self.task(of: className) }

  private static func task(of className: String?) -> String? {
    guard let className else { return nil }
    let suffixes = [
      ("ForCausalLM", "CAUSAL_LM"), ("LMHeadModel", "CAUSAL_LM"), ("ForSequenceClassification", "SEQ_CLS"),
      ("ForTokenClassification", "TOKEN_CLS"), ("ForQuestionAnswering", "QUESTION_ANS"),
      ("ForConditionalGeneration", "SEQ_2_SEQ_LM"), ("Model", "FEATURE_EXTRACTION"),
    ]
    return suffixes.first { className.hasSuffix($0.0) }?.1
  }

  /// Modules that peft saves whole for a task, whether asked or not.
  package var taskHeads: [String] {
    switch taskType {
    case "SEQ_CLS", "TOKEN_CLS": ["classifier", "score"]
    case "QUESTION_ANS": ["qa_outputs"]
    default: []
    }
  }

  /// What stands before a tensor's module path in the model that transformers builds, and is missing in the file: the
  /// published GPT-2 has "h.0.attn…", its model class "transformer.h.0.attn…".
  private static func missingPrefix(modelType: String?, className: String?, names: [String]) -> String {
    guard let modelType, let prefix = prefixes[modelType], let task = task(of: className), task != "FEATURE_EXTRACTION",
      !names.contains(where: { $0.hasPrefix(prefix + ".") })
    else { return "" }
    return prefix + "."
  }
}

enum PEFTDefaults {
  static func targets(peftType: String, modelType: String?) -> Targets? { nil }
}
