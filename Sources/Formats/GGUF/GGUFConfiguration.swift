// What a GGUF file's metadata says of a model's shape, as the fields of a config.json.

import Foundation
import LoRAFiles

/// The metadata of one file.
struct GGUFConfiguration {
  private let file: TensorFile
  private let names: GGUFNames

  init(_ file: TensorFile, _ names: GGUFNames) {
    self.file = file
    self.names = names
  }

  private func field(_ key: String) -> GGUFField? { file.field("\(names.architecture).\(key)") }

  /// A whole number; nil where there is none.
  ///
  /// - Throws: `CheckpointError` where there is one for each layer, or something else.
  private func integer(_ key: String) throws -> JSON? {
    guard let field = field(key) else { return nil }
    guard let value = field.integer else {
      throw CheckpointError(
        .unsupported, file: file.url.path,
        "\(field.key) is \(field.count.map { "a list of \($0)" } ?? "no whole number")",
        expected: "one number for all layers", advice: .otherModel)
    }
    return .integer(value)
  }

  private func number(_ key: String) -> JSON? {
    // A float32 that was written with few digits shall be read so.
    field(key)?.number.map { .number(Double("\(Float($0))") ?? $0) }
  }

  /// - Parameters:
  ///   - factors: by how much each frequency of the rotary positions is divided; empty where all by 1.
  ///   - tensor: the file's tensors by transformers' names.
  func json(factors: [Float], tensor: (String) -> StoredTensor?) throws -> JSON {
    var fields: [JSON.Member] = [
      JSON.Member("model_type", .string(names.modelType)), JSON.Member("architectures", [.string(names.className)]),
    ]
    func add(_ key: String, _ value: JSON?) {
      if let value { fields.append(JSON.Member(key, value)) }
    }
    let vocabulary = tensor(names.path(of: "token_embd")! + ".weight")?.shape.first.map(JSON.integer)
    add("vocab_size", try vocabulary ?? integer("vocab_size"))
    for (key, name) in [("bos_token_id", "bos"), ("eos_token_id", "eos"), ("pad_token_id", "padding")] {
      add(key, file.field("tokenizer.ggml.\(name)_token_id")?.integer.map(JSON.integer))
    }
    let isGPT2 = names.modelType == "gpt2"
    for (key, gpt2Key, name) in [
      ("hidden_size", "n_embd", "embedding_length"), ("num_hidden_layers", "n_layer", "block_count"),
      ("num_attention_heads", "n_head", "attention.head_count"),
      ("intermediate_size", "n_inner", "feed_forward_length"),
      ("max_position_embeddings", "n_positions", "context_length"),
    ] {
      add(isGPT2 ? gpt2Key : key, try integer(name))
    }
    switch names.modelType {
    case "gpt2":
      add("layer_norm_epsilon", number("attention.layer_norm_epsilon"))
      add("activation_function", "gelu_new")
      add("tie_word_embeddings", true)
    case "bert":
      add("type_vocab_size", tensor("embeddings.token_type_embeddings.weight")?.shape.first.map(JSON.integer))
      add("layer_norm_eps", number("attention.layer_norm_epsilon"))
      add("hidden_act", "gelu")
    default:
      add("num_key_value_heads", try integer("attention.head_count_kv"))
      add("head_dim", try integer("attention.key_length"))
      add("rms_norm_eps", number("attention.layer_norm_rms_epsilon"))
      add("rope_theta", number("rope.freq_base"))
      add("sliding_window", try integer("attention.sliding_window"))
      add("hidden_act", "silu")
      add("tie_word_embeddings", .bool(tensor("lm_head.weight") == nil))
      add("attention_bias", .bool(tensor("model.layers.0.self_attn.q_proj.bias") != nil))
      add("mlp_bias", .bool(tensor("model.layers.0.mlp.gate_proj.bias") != nil))
      if (field("expert_count")?.integer ?? 0) > 0 {
        throw CheckpointError(
          .unsupported, file: file.url.path, "is a mixture of experts",
          expected: "a model with one feed-forward network a layer", advice: .otherModel)
      }
      add("rope_scaling", try rotaryScaling(factors))
    }
    return .object(fields)
  }

  /// How rotary positions are stretched: by the metadata's words, or by factors, which are Llama 3's where its rule gives
  /// them.
  private func rotaryScaling(_ factors: [Float]) throws -> JSON? {
    if factors.contains(where: { $0 != 1 }) { return try llama3(factors) }
    switch field("rope.scaling.type")?.string {
    case nil, "none": return nil
    case "linear": return ["rope_type": "linear", "factor": number("rope.scaling.factor") ?? 1]
    case "yarn":
      var scaling: [JSON.Member] = [
        JSON.Member("rope_type", "yarn"), JSON.Member("factor", number("rope.scaling.factor") ?? 1),
      ]
      if let original = try integer("rope.scaling.original_context_length") {
        scaling.append(JSON.Member("original_max_position_embeddings", original))
      }
      return .object(scaling)
    case let type?:
      throw CheckpointError(
        .unsupported, file: file.url.path, "rope.scaling.type is \(type)", expected: "none, linear or yarn",
        advice: .otherModel)
    }
  }

  private func llama3(_ factors: [Float]) throws -> JSON {
    let base = field("rope.freq_base")?.number ?? 10000
    let factor = Double(factors.max() ?? 1)
    for original in [8192.0, 4096, 16384, 32768] {
      let isRule = factors.enumerated().allSatisfy { pair, found in
        let turns = original * pow(base, -Double(pair) / Double(factors.count)) / (2 * .pi)
        let share = min(max((turns - 1) / 3, 0), 1)
        return abs(1 / ((1 - share) / factor + share) - Double(found)) < 1e-3 * Double(found)
      }
      if isRule {
        return [
          "rope_type": "llama3", "factor": .number(factor), "low_freq_factor": 1, "high_freq_factor": 4,
          "original_max_position_embeddings": .integer(Int(original)),
        ]
      }
    }
    throw CheckpointError(
      .unsupported, file: file.url.path,
      "rope_freqs.weight divides the frequencies of rotary positions by factors of its own", expected: "Llama 3's",
      advice: .otherModel)
  }
}
