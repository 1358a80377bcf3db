// What llama.cpp calls the modules that transformers calls otherwise, by architecture.
//
//     blk.0.attn_q            model.layers.0.self_attn.q_proj

import LoRAFiles

/// The modules' names of one architecture, in both directions.
struct GGUFNames: Sendable {
  /// llama.cpp's name of the architecture: `general.architecture`.
  let architecture: String
  /// transformers' `model_type`.
  let modelType: String
  /// The class that it is loaded as there.
  let className: String
  /// Whether the rows of each head of queries and keys are stored with their halves in turns.
  let isInterleaved: Bool
  /// Modules outside of the layers: llama.cpp's name, transformers'.
  private let single: [(gguf: String, path: String)]
  /// What stands before a layer's number in transformers.
  private let layers: String
  /// Modules of a layer, after its number.
  private let layered: [(gguf: String, path: String)]
  /// Matrices that transformers stores as [inputs, outputs].
  private let transposed: Set<String>
  /// Ends of tensors' names that llama.cpp's models don't have: what is computed anyway, BERT's pooler.
  private let unused: [String]

  private static let decoder = [
    ("token_embd", "model.embed_tokens"), ("output_norm", "model.norm"), ("output", "lm_head"),
  ]
  private static let decoderLayer = [
    ("attn_q", "self_attn.q_proj"), ("attn_k", "self_attn.k_proj"), ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"), ("attn_q_norm", "self_attn.q_norm"), ("attn_k_norm", "self_attn.k_norm"),
    ("ffn_gate", "mlp.gate_proj"), ("ffn_up", "mlp.up_proj"), ("ffn_down", "mlp.down_proj"),
    ("attn_norm", "input_layernorm"), ("ffn_norm", "post_attention_layernorm"),
  ]

  private init(
    _ architecture: String, _ modelType: String, _ className: String, isInterleaved: Bool = false,
    _ single: [(String, String)], layers: String, _ layered: [(String, String)], transposed: Set<String> = [],
    unused: [String] = [".rotary_emb.inv_freq"]
  ) {
    self.architecture = architecture
    self.modelType = modelType
    self.className = className
    self.isInterleaved = isInterleaved
    self.single = single.map { ($0.0, $0.1) }
    self.layers = layers
    self.layered = layered.map { ($0.0, $0.1) }
    self.transposed = transposed
    self.unused = unused
  }

  static let all = [
    GGUFNames(
      "llama", "llama", "LlamaForCausalLM", isInterleaved: true, decoder, layers: "model.layers.", decoderLayer),
    GGUFNames("qwen2", "qwen2", "Qwen2ForCausalLM", decoder, layers: "model.layers.", decoderLayer),
    GGUFNames("qwen3", "qwen3", "Qwen3ForCausalLM", decoder, layers: "model.layers.", decoderLayer),
    GGUFNames(
      "gpt2", "gpt2", "GPT2LMHeadModel",
      [
        ("token_embd", "transformer.wte"), ("position_embd", "transformer.wpe"), ("output_norm", "transformer.ln_f"),
        ("output", "lm_head"),
      ], layers: "transformer.h.",
      [
        ("attn_norm", "ln_1"), ("attn_qkv", "attn.c_attn"), ("attn_output", "attn.c_proj"), ("ffn_norm", "ln_2"),
        ("ffn_up", "mlp.c_fc"), ("ffn_down", "mlp.c_proj"),
      ], transposed: ["attn_qkv", "attn_output", "ffn_up", "ffn_down"], unused: [".attn.bias", ".attn.masked_bias"]),
    GGUFNames(
      "bert", "bert", "BertModel",
      [
        ("token_embd", "embeddings.word_embeddings"), ("position_embd", "embeddings.position_embeddings"),
        ("token_types", "embeddings.token_type_embeddings"), ("token_embd_norm", "embeddings.LayerNorm"),
      ], layers: "encoder.layer.",
      [
        ("attn_q", "attention.self.query"), ("attn_k", "attention.self.key"), ("attn_v", "attention.self.value"),
        ("attn_output", "attention.output.dense"), ("attn_output_norm", "attention.output.LayerNorm"),
        ("ffn_up", "intermediate.dense"), ("ffn_down", "output.dense"), ("layer_output_norm", "output.LayerNorm"),
      ], unused: ["embeddings.position_ids", "embeddings.token_type_ids", "pooler.dense.weight", "pooler.dense.bias"]),
  ]

  /// Those of llama.cpp's name of an architecture.
  static func of(architecture: String) -> GGUFNames? { all.first { $0.architecture == architecture } }

  /// Those of transformers' `model_type`: Mistral is a Llama to llama.cpp.
  static func of(modelType: String) -> GGUFNames? {
    all.first { $0.modelType == (modelType == "mistral" ? "llama" : modelType) }
  }

  /// transformers' path of one of llama.cpp's modules; nil where it has none.
  func path(of gguf: String) -> String? {
    if let known = single.first(where: { $0.gguf == gguf }) { return known.path }
    guard let (number, rest) = Self.layer(gguf, after: "blk."),
      let known = layered.first(where: { $0.gguf == rest })
    else { return nil }
    return "\(layers)\(number).\(known.path)"
  }

  /// llama.cpp's name of one of transformers' modules; nil where it has none. The body's own prefix may lack.
  func module(of path: String) -> String? {
    let body = layers.split(separator: ".").first.map { $0 + "." } ?? ""
    let path = modelType == "bert" && path.hasPrefix("bert.") ? String(path.dropFirst(5)) : path
    for candidate in [path, body + path] {
      if let known = single.first(where: { $0.path == candidate }) { return known.gguf }
      if let (number, rest) = Self.layer(candidate, after: layers),
        let known = layered.first(where: { $0.path == rest })
      {
        return "blk.\(number).\(known.gguf)"
      }
    }
    return nil
  }

  /// Whether llama.cpp's models do without a tensor of transformers'.
  func doWithout(_ name: String) -> Bool { unused.contains { name.hasSuffix($0) } }

  /// Whether transformers stores this matrix of llama.cpp's as its transpose.
  func isTransposed(_ gguf: String) -> Bool {
    Self.layer(gguf, after: "blk.").map { transposed.contains($0.rest) } ?? false
  }

  /// Which heads the rows of a module's weight are, where their halves are stored in turns.
  func heads(of gguf: String, _ shape: AttentionHeads) -> Int? {
    guard isInterleaved, let (_, rest) = Self.layer(gguf, after: "blk.") else { return nil }
    return rest == "attn_q" ? shape.query : rest == "attn_k" ? shape.key : nil
  }

  /// Whether a module's rows are those of heads of queries or keys.
  func isOfHeads(_ gguf: String) -> Bool { heads(of: gguf, AttentionHeads(query: 1, key: 1)) != nil }

  /// "12.attn_q" after "blk.": 12 and "attn_q".
  private static func layer(_ name: String, after prefix: String) -> (number: Int, rest: String)? {
    guard name.hasPrefix(prefix) else { return nil }
    let parts = name.dropFirst(prefix.count).split(separator: ".", maxSplits: 1)
    guard parts.count == 2, let number = Int(parts[0]), "\(number)" == parts[0] else { return nil }
    return (number, String(parts[1]))
  }
}

/// How many heads of queries and of keys a layer has.
struct AttentionHeads: Equatable, Sendable {
  let query: Int
  let key: Int

  init(query: Int, key: Int) { (self.query, self.key) = (query, key) }

  /// Those of a config.json; nil where it does not say.
  init?(_ configuration: JSON?) {
    guard let query = configuration?["num_attention_heads"]?.integer, query > 0 else { return nil }
    let key = configuration?["num_key_value_heads"]?.integer ?? query
    guard key > 0 else { return nil }
    self.init(query: query, key: key)
  }

  /// The rows of a head, of a matrix with so many rows; nil where they can't be cut into heads of an even number of rows.
  static func size(rows: Int, heads: Int) -> Int? {
    rows > 0 && rows % heads == 0 && rows / heads % 2 == 0 ? rows / heads : nil
  }
}
