// Which modules peft targets where a configuration names none, or says "all-linear".
//
//     {"peft_type": "LORA", "target_modules": null} on a Llama: q_proj and v_proj
//
// Facts of peft 0.21 (peft/utils/constants.py); Tests/Fixtures/names checks them against peft.

import LoRAAdapters

/// peft's default targets by method and by `model_type`.
public enum PEFTDefaults {
  /// One row of the table: names with spaces between them; `nil` where peft has no default.
  private struct Row {
    let types: String
    let lora: String?
    var adaLoRA: String?
    var ia3: String?
    /// Those of `ia3` whose inputs are scaled instead of their outputs.
    var feedForward: String?

    init(_ types: String, lora: String?, adaLoRA: String? = nil, ia3: String? = nil, feedForward: String? = nil) {
      self.types = types
      self.lora = lora
      self.adaLoRA = adaLoRA
      self.ia3 = ia3
      self.feedForward = feedForward
    }
  }

  private static let qv = "q_proj v_proj"
  private static let rows = [
    Row(
      "llama4 gemma gemma2 gemma3_text qwen2 qwen3", lora: qv, adaLoRA: qv, ia3: "q_proj v_proj down_proj",
      feedForward: "down_proj"),
    Row("llama", lora: qv, adaLoRA: qv, ia3: "k_proj v_proj down_proj", feedForward: "down_proj"),
    Row("mistral", lora: qv, ia3: "k_proj v_proj down_proj", feedForward: "down_proj"),
    Row("mixtral", lora: qv, ia3: "k_proj v_proj w2", feedForward: "w2"),
    Row("stablelm", lora: qv),
    Row("phi", lora: "q_proj v_proj fc1 fc2", ia3: "q_proj v_proj fc2", feedForward: "fc2"),
    Row("nemotron_h", lora: "q_proj k_proj v_proj o_proj", adaLoRA: "q_proj k_proj v_proj o_proj"),
    Row("gptj", lora: qv, adaLoRA: qv, ia3: "q_proj v_proj fc_out", feedForward: "fc_out"),
    Row("gpt_neo", lora: qv, adaLoRA: qv, ia3: "q_proj v_proj c_proj", feedForward: "c_proj"),
    Row("gpt2 gpt_bigcode", lora: "c_attn", adaLoRA: "c_attn", ia3: "c_attn mlp.c_proj", feedForward: "mlp.c_proj"),
    Row(
      "bloom", lora: "query_key_value", adaLoRA: "query_key_value", ia3: "query_key_value mlp.dense_4h_to_h",
      feedForward: "mlp.dense_4h_to_h"),
    Row(
      "gpt_neox", lora: "query_key_value", adaLoRA: "query_key_value", ia3: "query_key_value dense_4h_to_h",
      feedForward: "dense_4h_to_h"),
    Row(
      "falcon RefinedWeb RefinedWebModel", lora: "query_key_value", ia3: "query_key_value dense_4h_to_h",
      feedForward: "dense_4h_to_h"),
    Row(
      "opt", lora: qv, adaLoRA: "q_proj k_proj v_proj out_proj fc1 fc2", ia3: "q_proj k_proj fc2", feedForward: "fc2"),
    Row("chatglm", lora: "query_key_value"), Row("mpt", lora: "Wqkv"), Row("btlm", lora: "c_proj c_attn"),
    Row("codegen", lora: "qkv_proj"), Row("rwkv", lora: "key value receptance output"),
    Row("rwkv7", lora: "r_proj k_proj v_proj o_proj key value"),
    Row(
      "bert", lora: "query value", adaLoRA: "query value", ia3: "key value output.dense", feedForward: "output.dense"),
    Row(
      "roberta", lora: "query value", adaLoRA: "query key value dense", ia3: "key value output.dense",
      feedForward: "output.dense"),
    Row("xlm-roberta electra layoutlm", lora: "query value"),
    Row(
      "deberta-v2", lora: "query_proj value_proj", adaLoRA: "query_proj key_proj value_proj dense",
      ia3: "key_proj value_proj output.dense", feedForward: "output.dense"),
    Row("deberta", lora: "in_proj", adaLoRA: "in_proj", ia3: "in_proj output.dense", feedForward: "output.dense"),
    Row("t5", lora: "q v", adaLoRA: "q k v o wi wo", ia3: "k v wo", feedForward: "wo"),
    Row("mt5", lora: "q v", adaLoRA: "q k v o wi_0 wi_1 wo", ia3: "k v wi_1", feedForward: ""),
    Row(
      "bart", lora: qv, adaLoRA: "q_proj k_proj v_proj out_proj fc1 fc2", ia3: "q_proj v_proj fc2", feedForward: "fc2"),
    Row("blip-2", lora: "q v q_proj v_proj"),
  ]
  /// Gemma 4's language model only.
  private static let gemma4 = Targets.pattern(#".*language_model\..*\.(q_proj|v_proj)"#)

  /// Methods that take LoRA's targets, and where they don't.
  private static let followers: [String: [String: String]] = [
    "LORA": [:], "LOHA": [:], "LOKR": [:], "OFT": [:], "BOFT": [:], "HRA": [:], "MISS": [:], "POLY": [:], "ROAD": [:],
    "RANDLORA": [:], "DELORA": [:], "GRALORA": [:], "HIRA": [:], "VERA": ["phi": qv], "SHIRA": ["phi": qv],
    "FOURIERFT": ["gpt2": "mlp.c_proj", "gpt_bigcode": "mlp.c_proj"],
    "C3A": ["gpt2": "mlp.c_proj", "gpt_bigcode": "mlp.c_proj"],
  ]

  /// The modules that peft targets where `target_modules` is null or absent.
  ///
  /// - Parameters:
  ///   - method: `peft_type`, such as "LORA".
  ///   - modelType: `model_type` of the base's `config.json`.
  /// - Returns: `nil` where peft has no default and raises.
  public static func targets(method: String, modelType: String) -> Targets? {
    let row = rows.first { $0.types.split(separator: " ").contains(Substring(modelType)) }
    switch method {
    case "IA3": return row?.ia3.map { .names(list($0)) }
    case "ADALORA": return modelType == "gemma4" ? gemma4 : row?.adaLoRA.map { .names(list($0)) }
    default:
      guard let exceptions = followers[method] else { return nil }
      if modelType == "gemma4" { return gemma4 }
      return (exceptions[modelType] ?? row?.lora).map { .names(list($0)) }
    }
  }

  /// The modules whose inputs (IA)³ scales, where `feedforward_modules` is null or absent.
  public static func feedForward(modelType: String) -> [String]? {
    rows.first { $0.types.split(separator: " ").contains(Substring(modelType)) }?.feedForward.map(list)
  }

  private static func list(_ names: String) -> [String] { names.split(separator: " ").map(String.init) }
}

extension NameTable {
  /// The one linear map that peft's "all-linear" leaves out: the output layer of a model that ends in a vocabulary, else
  /// for sequence classification the module "score" or "classifier" itself (not what lies within it).
  ///
  /// "all-linear" takes `nn.Linear` and Conv1D, no embeddings, convolutions, or experts that are parameters.
  public func excludedFromAllLinear(taskType: String?) -> String? {
    if let outputLayer { return outputLayer }
    guard taskType == "SEQ_CLS" else { return nil }
    return ["score", "classifier"].first(where: headModules.contains)
  }
}
