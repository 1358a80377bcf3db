import Foundation
import LoRAFiles
import LoRAFormats
import LoRATensors

/// A model's config.json, read field by field; a value that is not supported is an error that names it. At the end,
/// `finish` insists that nothing that changes the mathematics was left unread.
package struct ModelConfiguration {
  /// What has been asked for.
  private final class Account {
    var read: Set<String> = []
  }

  package let json: JSON
  let file: String
  private let account = Account()

  package init(_ json: JSON, file: String) {
    self.json = json
    self.file = file
  }

  package init(_ checkpoint: Checkpoint) throws {
    guard let json = checkpoint.configuration else {
      throw CheckpointError(
        .missing, file: checkpoint.url.path, "has no config.json beside it",
        expected: "a Hugging Face model: a folder with config.json, model.safetensors and tokenizer.json",
        advice: "Name one")
    }
    self.init(json, file: checkpoint.url.appendingPathComponent("config.json").path)
    try checkpoint.requirePlain()
    for name in ["quantization", "quantization_config"] {
      // What is quantised is read as such; if nothing is, another way is meant.
      guard let quantization = found(name), !checkpoint.tensors.contains(where: { $0.format.isQuantized }) else {
        continue
      }
      let method = name == "quantization" ? "mlx" : quantization["quant_method"]?.string ?? ""
      guard ["bitsandbytes", "gptq", "awq", "mlx"].contains(method) else {
        throw unsupported(
          name, quantization, supported: "bitsandbytes' NF4, FP4 and int8, mlx's affine 4 and 8 bits, GPTQ, AWQ")
      }
      throw CheckpointError(
        .mismatch, file: file, "says that the weights are quantised (\(name): \(method)), and none of them is",
        expected: "weights in codes beside their scales, or no such field",
        advice: "Fetch the weights again; or, if they are the model's plain numbers, remove the field")
    }
  }

  private func found(_ name: String) -> JSON? {
    account.read.insert(name)
    guard let value = json[name], !value.isNull else { return nil }
    return value
  }

  /// Whether a field says null, which is not the same as its absence where a family has a default.
  func isNull(_ name: String) -> Bool {
    account.read.insert(name)
    return json[name]?.isNull == true
  }

  /// Fields that transformers reads for no such model, whatever they say.
  func ignore(_ names: String...) { account.read.formUnion(names) }

  func malformed(_ name: String, _ value: JSON, expected: String) -> CheckpointError {
    CheckpointError(
      .malformed, file: file, "\(name) is \(value.shown)", expected: expected,
      advice: "Correct it, or fetch the file again")
  }

  func missing(_ name: String) -> CheckpointError {
    CheckpointError(
      .malformed, file: file, "has no \(name)", expected: "one, as models of this kind have", advice: .fetchAgain)
  }

  func unsupported(_ name: String, _ value: JSON, supported: String) -> CheckpointError {
    CheckpointError(
      .unsupported, file: file, "\(name) is \(value.shown), which is not supported", expected: supported,
      advice: .otherModel)
  }

  /// A positive integer.
  func integer(_ name: String, upTo limit: Int = Int(Int32.max), default fallback: Int? = nil) throws -> Int {
    guard let value = found(name) else {
      if let fallback { return fallback }
      throw missing(name)
    }
    guard let integer = value.integer, integer > 0 else { throw malformed(name, value, expected: "a positive integer") }
    guard integer <= limit else { throw malformed(name, value, expected: "at most \(limit)") }
    return integer
  }

  func number(_ name: String, default fallback: Double? = nil) throws -> Double {
    guard let value = found(name) else {
      if let fallback { return fallback }
      throw missing(name)
    }
    guard let number = value.number, number.isFinite else { throw malformed(name, value, expected: "a number") }
    return number
  }

  func positive(_ name: String, default fallback: Double? = nil) throws -> Double {
    let number = try number(name, default: fallback)
    guard number > 0 else { throw malformed(name, found(name) ?? .null, expected: "a number above 0") }
    return number
  }

  func flag(_ name: String, default fallback: Bool) throws -> Bool {
    guard let value = found(name) else { return fallback }
    guard let flag = value.bool else { throw malformed(name, value, expected: "true or false") }
    return flag
  }

  func text(_ name: String) throws -> String? {
    guard let value = found(name) else { return nil }
    guard let text = value.string else { throw malformed(name, value, expected: "a string") }
    return text
  }

  /// The object under `name`, as a configuration of its own.
  func object(_ name: String) throws -> ModelConfiguration? {
    guard let value = found(name) else { return nil }
    guard case .object = value else { throw malformed(name, value, expected: "an object") }
    return ModelConfiguration(value, file: "\(file): \(name)")
  }

  /// Insists that a field, where it is given, has one of `values`.
  func require(_ name: String, _ values: JSON...) throws {
    guard let value = found(name), !values.contains(value) else { return }
    throw unsupported(name, value, supported: values.map(\.compact).joined(separator: ", "))
  }

  /// A list of numbers.
  func numbers(_ name: String) throws -> [Double] {
    guard let value = found(name) else { throw missing(name) }
    guard let numbers = value.array?.compactMap(\.number), numbers.count == value.array!.count else {
      throw malformed(name, value, expected: "a list of numbers")
    }
    return numbers
  }

  /// A list with a value for each layer; nil where there is none. More than that many are as good: of those the first.
  func byLayer<Value>(_ name: String, layers: Int, expected: String, _ value: (JSON) -> Value?) throws -> [Value]? {
    guard let found = found(name) else { return nil }
    guard let array = found.array, array.count >= layers else {
      throw malformed(name, found, expected: "a list of \(layers), one for each layer")
    }
    return try array.prefix(layers).map { item in
      guard let value = value(item) else { throw malformed(name, item, expected: expected) }
      return value
    }
  }

  func activation(_ name: String, default fallback: Activation) throws -> Activation {
    guard let text = try text(name) else { return fallback }
    guard let activation = Activation(rawValue: text) else {
      throw unsupported(name, .string(text), supported: Activation.allCases.map(\.rawValue).joined(separator: ", "))
    }
    return activation
  }

  /// The classes of a sequence classifier: `id2label` in order; numbers where they have no names.
  func labels() throws -> [String]? {
    if let value = found("id2label") {
      let pairs = try value.members.map { member -> (Int, String) in
        guard let id = Int(member.key), let name = member.value.string else {
          throw malformed("id2label", value, expected: "an object from class numbers to names")
        }
        return (id, name)
      }.sorted { $0.0 < $1.0 }
      guard pairs.map(\.0) == Array(0..<pairs.count) else {
        throw malformed("id2label", value, expected: "the class numbers from 0 without gaps")
      }
      // transformers' names for classes without names.
      return pairs.map { $0.1 == "LABEL_\($0.0)" ? "\($0.0)" : $0.1 }
    }
    guard let value = found("num_labels") else { return nil }
    // A class has a row of a weight; no model has nearly as many.
    guard let count = value.integer, (0...1 << 20).contains(count) else {
      throw malformed("num_labels", value, expected: "a number of classes")
    }
    return (0..<count).map { "\($0)" }
  }
}

// MARK: Nothing left unread

extension ModelConfiguration {
  /// What changes the mathematics of some family, with the values that leave it as it is. Where a family does not ask
  /// for one of these fields, the folder has to have it so. Fields that show in the tensors are not among them: these are
  /// accounted for by themselves.
  private static let neutral: [String: [JSON]] = [
    "add_cross_attention": [false], "alibi": [false], "apply_residual_connection_post_layernorm": [false],
    "attention_chunk_size": [], "attention_multiplier": [1, 1.0], "attn_logit_softcapping": [],
    "attn_temperature_tuning": [false, 0], "clip_qkv": [], "embedding_multiplier": [1, 1.0],
    "final_logit_softcapping": [], "global_attn_every_n_layers": [1], "is_causal": [], "is_decoder": [false],
    "layer_types": [], "local_attention": [-1], "logit_scale": [], "logits_scaling": [1, 1.0],
    "max_window_layers": [], "moe_intermediate_size": [], "multi_query": [false], "no_rope_layers": [],
    "num_experts": [0], "num_local_experts": [0], "n_routed_experts": [0], "parallel_attn": [false],
    "partial_rotary_factor": [1, 1.0], "position_embedding_type": ["absolute"], "qk_layernorm": [false],
    "query_pre_attn_scalar": [], "relative_attention_num_buckets": [], "residual_multiplier": [1, 1.0],
    "rope_interleaved": [false], "rope_local_base_freq": [], "rope_parameters": [], "rope_scaling": [],
    "rotary_pct": [1, 1.0], "scale_attn_by_inverse_layer_idx": [false], "scale_attn_weights": [true],
    "scale_depth": [], "scale_emb": [1, 1.0], "sliding_window": [], "sliding_window_pattern": [1],
    "use_bidirectional_attention": [false], "use_mrope": [false], "use_parallel_residual": [false],
    "use_qk_norm": [false], "use_sliding_window": [false],
  ]

  /// - Throws: `CheckpointError` that names a field that changes the mathematics and was not asked for.
  func finish() throws {
    for member in json.members where !account.read.contains(member.key) {
      guard let values = Self.neutral[member.key], !member.value.isNull, !values.contains(member.value) else {
        continue
      }
      // Where no layer's attention has a window, the list of kinds and what only windows ask for say nothing.
      if member.key == "layer_types", member.value.strings?.allSatisfy({ $0 == "full_attention" }) == true { continue }
      if member.key == "max_window_layers" { continue }
      throw unsupported(
        member.key, member.value,
        supported: values.isEmpty ? "none, for this kind of model" : values.map(\.compact).joined(separator: ", "))
    }
  }
}
