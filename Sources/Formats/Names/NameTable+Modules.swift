// What a model's class says about its modules, where names and shapes alone don't tell: heads, embeddings, transposed
// weights, tied pairs, peft's task type.

import LoRAFiles

extension NameTable {
  // MARK: Kinds of modules

  /// Names of modules that transformers makes as `nn.Embedding`.
  private static let embeddings: Set = [
    "embed_tokens", "wte", "wpe", "word_embeddings", "position_embeddings", "token_type_embeddings", "embed_positions",
    "embed_in", "shared", "tok_embeddings", "relative_attention_bias", "token_embedding", "position_embedding",
  ]
  /// Models whose linear maps are GPT-2's Conv1D, stored as [in, out].
  private static let conv1DTypes: Set = ["gpt2", "openai-gpt", "imagegpt", "decision_transformer", "ctrl"]
  private static let conv1DNames: Set = ["c_attn", "c_proj", "c_fc", "q_attn"]

  /// Whether linear maps are Conv1D, as far as the configuration says.
  public var usesConv1D: Bool { modelType.map(Self.conv1DTypes.contains) ?? false }

  /// Whether a module's weight is stored as [in, out].
  public func isConv1D(_ path: String) -> Bool {
    guard Self.conv1DNames.contains(lastComponent(path)) else { return false }
    // Falls back on names where no configuration is at hand: GPT-2's blocks are "h.0", "h.1", …
    return usesConv1D || (modelType == nil && path.split(separator: ".").dropLast().contains("h"))
  }

  /// Whether a module is a table of rows, stored as [rows, size].
  public func isEmbedding(_ path: String) -> Bool { Self.isEmbedding(path) }

  /// The same of any model: names of embeddings are alike.
  static func isEmbedding(_ path: String) -> Bool { embeddings.contains(lastComponent(path)) }

  // MARK: Embeddings and output

  /// The input embedding's module in the class; `nil` where it is not known or there is none.
  public var inputEmbedding: String? {
    guard let family, let input = family.input else { return nil }
    switch (family.kind, ending) {
    case (.audio, "ForAudioClassification"): return nil
    case (.sequenceToSequence, "ForCausalLM"): return "\(family.body).decoder.embed_tokens"
    default: return form == .headed ? "\(family.body).\(input)" : input
    }
  }

  /// The module that turns hidden states into the vocabulary's logits; `nil` for classes that end in something else.
  public var outputLayer: String? {
    guard let family, let ending else { return nil }
    switch ending {
    case "ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "ForMaskedLM": return family.output
    case "ForPreTraining":
      return family.heads[ending]?.contains("discriminator_predictions") == true ? nil : family.output
    default: return nil
    }
  }

  /// Parameters that are one where `config.json` ties the embeddings (`tie_word_embeddings`), by copy: the value is
  /// the parameter that files store.
  public var tiedParameters: [String: String] {
    guard let family, let input = inputEmbedding else { return [:] }
    var result: [String: String] = [:]
    if family.kind == .sequenceToSequence, ending != "ForCausalLM" {
      let prefix = input.dropLast("shared".count)
      let isEncoder = family.body == "transformer" && ["EncoderModel", "ForTokenClassification"].contains(ending)
      for part in isEncoder ? ["encoder"] : ["encoder", "decoder"] {
        result["\(prefix)\(part).embed_tokens.weight"] = "\(input).weight"
      }
    }
    if let output = outputLayer {
      result["\(output).weight"] = "\(input).weight"
      if output.hasSuffix(".decoder") { result["\(output).bias"] = output.dropLast("decoder".count) + "bias" }
    }
    return result
  }

  // MARK: Tasks and heads

  private static let tasks = [
    "ForCausalLM": "CAUSAL_LM", "LMHeadModel": "CAUSAL_LM", "ForSequenceClassification": "SEQ_CLS",
    "ForTokenClassification": "TOKEN_CLS", "ForQuestionAnswering": "QUESTION_ANS", "Model": "FEATURE_EXTRACTION",
    "EncoderModel": "FEATURE_EXTRACTION",
  ]

  /// peft's task type; `nil` where peft's wrapper for the task breaks the model: the wrappers pass on `input_ids` and
  /// other arguments that Whisper, Swin and CLIP don't take.
  public var taskType: String? {
    guard let ending else { return nil }
    switch (family?.kind, ending) {
    case (.audio, "ForSequenceClassification"): return "SEQ_CLS"
    case (.audio, _), (.vision, _): return nil
    case (.sequenceToSequence, "ForConditionalGeneration"): return "SEQ_2_SEQ_LM"
    case (.visionLanguage, "ForConditionalGeneration"): return "CAUSAL_LM"
    default: return Self.tasks[ending]
    }
  }

  /// The class of the same model with the head of a peft task: "BertModel" for "SEQ_CLS" gives
  /// "BertForSequenceClassification".
  public func headClassName(for task: String) -> String? {
    guard let stem else { return nil }
    let isLMHeadModel = ["gpt2", "openai-gpt", "ctrl", "bert", "xlnet"].contains(modelType)
    let ending: String? =
      switch task {
      case "CAUSAL_LM" where family?.kind == .visionLanguage: "ForConditionalGeneration"
      case "CAUSAL_LM": isLMHeadModel ? "LMHeadModel" : "ForCausalLM"
      case "SEQ_2_SEQ_LM": "ForConditionalGeneration"
      case "SEQ_CLS": "ForSequenceClassification"
      case "TOKEN_CLS": "ForTokenClassification"
      case "QUESTION_ANS": "ForQuestionAnswering"
      case "FEATURE_EXTRACTION": "Model"
      default: nil
      }
    return ending.map { stem + $0 }
  }

  /// The modules besides the body in the checkpoint's class.
  public var headModules: [String] { ending.map(headModules(ending:)) ?? [] }

  /// The modules that the head of a peft task consists of: DistilBERT's for "SEQ_CLS" of "pre_classifier" and
  /// "classifier".
  public func headModules(for task: String) -> [String] {
    headClassName(for: task).flatMap { name in stem.map { headModules(ending: String(name.dropFirst($0.count))) } }
      ?? []
  }

  private func headModules(ending: String) -> [String] {
    if let heads = family?.heads[ending] { return heads }
    switch (ending, family?.kind) {
    case ("ForSequenceClassification", .sequenceToSequence): return ["classification_head"]
    case ("ForSequenceClassification", .audio), ("ForAudioClassification", _): return ["projector", "classifier"]
    case ("ForSequenceClassification", .decoder), ("ForTokenClassification", .decoder),
      ("ForSequenceClassification", .visionLanguage):
      return ["score"]
    case ("ForSequenceClassification", _), ("ForTokenClassification", _), ("ForImageClassification", _):
      return ["classifier"]
    case ("ForQuestionAnswering", _): return ["qa_outputs"]
    case ("ForCTC", _): return ["lm_head"]
    case ("ForCausalLM", _), ("LMHeadModel", _), ("ForConditionalGeneration", _), ("ForMaskedLM", _),
      ("ForPreTraining", _):
      return family?.output.map { [String($0.prefix { $0 != "." })] } ?? []
    default: return []
    }
  }

  /// Modules that peft saves whole for a task, whether asked or not: those whose names end as its own list has them.
  public var taskHeads: [String] {
    let names: [String] =
      switch taskType {
      case "SEQ_CLS", "TOKEN_CLS": ["classifier", "score"]
      case "QUESTION_ANS": ["qa_outputs"]
      default: []
      }
    let more = headModules.filter { head in !names.contains(head) && names.contains(where: head.hasSuffix) }
    return names + more
  }

  /// First components of names that are never within a body.
  static func heads(of family: ModelFamily?) -> Set<String> {
    var result = commonHeads.union((family?.heads ?? [:]).values.joined())
    if let output = family?.output { result.insert(String(output.prefix { $0 != "." })) }
    return result
  }

  private static let commonHeads: Set = [
    "lm_head", "classifier", "score", "qa_outputs", "cls", "classification_head", "projector", "logit_scale",
    "final_logits_bias", "proj_out", "predictions", "multiple_choice_head",
  ]

  /// Whether a module belongs to the head of a peft task.
  public func isHead(_ path: String, of task: String?) -> Bool {
    head(around: path, of: task) != nil
  }

  /// The head that a module is, or is in.
  package func head(around path: String, of task: String?) -> String? {
    guard let task, task != "CAUSAL_LM", task != "SEQ_2_SEQ_LM" else { return nil }
    return (headModules(for: task) + (task == taskType ? taskHeads : [])).first { head in
      path == head || path.hasPrefix(head + ".") || path.hasSuffix("." + head)
    }
  }

  /// Whether a module turns hidden states into logits, so that "all-linear" leaves it out.
  public func isOutputLayer(_ path: String) -> Bool {
    path == outputLayer || path == excludedFromAllLinear(taskType: taskType) || ["lm_head", "embed_out"].contains(path)
  }
}
