// A config.json and a tokenizer.json as the metadata of a GGUF file.

import Foundation
import LoRAFiles
import LoRATensors

/// What of a folder of transformers' goes into a GGUF file beside the tensors.
struct GGUFExport {
  private let base: Checkpoint
  private let names: GGUFNames
  private let configuration: JSON

  init(_ base: Checkpoint, _ names: GGUFNames) throws {
    self.base = base
    self.names = names
    guard let configuration = base.configuration, let folder = base.directory, isDirectory(folder) else {
      throw CheckpointError(
        .missing, file: base.url.path, "has no config.json and tokenizer.json beside it, which a GGUF file holds too",
        advice: "Name the model's folder")
    }
    self.configuration = configuration
  }

  private func integer(_ keys: String...) -> Int? { keys.lazy.compactMap { configuration[$0]?.integer }.first }

  private func required(_ keys: String...) throws -> UInt32 {
    guard let value = keys.lazy.compactMap({ configuration[$0]?.integer }).first, let number = UInt32(exactly: value)
    else {
      throw CheckpointError(
        .malformed, file: base.url.path, "config.json has no \(keys[0])", expected: "a number there",
        advice: "Take the config.json that was saved with these weights")
    }
    return number
  }

  /// GPT-2's inner width, where its configuration does not say it.
  private func fourfold(_ width: UInt32) throws -> UInt32 {
    let (product, overflows) = width.multipliedReportingOverflow(by: 4)
    guard !overflows else {
      throw CheckpointError(
        .malformed, file: base.url.path, "config.json says that n_embd is \(width)", expected: "below 2³⁰",
        advice: "Take the config.json that was saved with these weights")
    }
    return product
  }

  func fields() throws -> [GGUFField] {
    let prefix = names.architecture + "."
    let (hidden, heads) = (try required("hidden_size", "n_embd"), try required("num_attention_heads", "n_head"))
    guard heads > 0 else {
      throw CheckpointError(
        .malformed, file: base.url.path, "config.json says that there are \(heads) heads", expected: "at least 1",
        advice: "Take the config.json that was saved with these weights")
    }
    var fields = [
      GGUFField("general.architecture", names.architecture), GGUFField("general.type", "model"),
      GGUFField("general.name", base.url.standardizedFileURL.lastPathComponent),
      GGUFField(prefix + "context_length", try required("max_position_embeddings", "n_positions")),
      GGUFField(prefix + "embedding_length", hidden),
      GGUFField(prefix + "block_count", try required("num_hidden_layers", "n_layer")),
      GGUFField(
        prefix + "feed_forward_length",
        try integer("intermediate_size", "n_inner").flatMap { UInt32(exactly: $0) } ?? fourfold(required("n_embd"))),
      GGUFField(prefix + "attention.head_count", heads),
      GGUFField(
        prefix + "vocab_size", try required("vocab_size")),
    ]
    func add(_ key: String, _ value: UInt32?) { if let value { fields.append(GGUFField(prefix + key, value)) } }
    func add(_ key: String, _ value: Double?) { if let value { fields.append(GGUFField(prefix + key, Float(value))) } }
    switch names.modelType {
    case "gpt2": add("attention.layer_norm_epsilon", configuration["layer_norm_epsilon"]?.number ?? 1e-5)
    case "bert":
      add("attention.layer_norm_epsilon", configuration["layer_norm_eps"]?.number ?? 1e-12)
      fields.append(GGUFField(prefix + "attention.causal", false))
      fields.append(GGUFField(prefix + "pooling_type", UInt32(1)))
    default:
      add("attention.head_count_kv", integer("num_key_value_heads").flatMap { UInt32(exactly: $0) } ?? heads)
      add("attention.layer_norm_rms_epsilon", configuration["rms_norm_eps"]?.number ?? 1e-6)
      let size = integer("head_dim").flatMap { UInt32(exactly: $0) } ?? hidden / heads
      add("rope.dimension_count", size)
      if size != hidden / heads {
        add("attention.key_length", size)
        add("attention.value_length", size)
      }
      add("rope.freq_base", rotary?["rope_theta"]?.number ?? configuration["rope_theta"]?.number ?? 10000)
      switch rotaryType {
      case "default", "llama3": break
      case "linear", "yarn":
        fields.append(GGUFField(prefix + "rope.scaling.type", rotaryType))
        add("rope.scaling.factor", rotary?["factor"]?.number ?? 1)
        let original = rotary?["original_max_position_embeddings"]?.integer
        add("rope.scaling.original_context_length", original.flatMap { UInt32(exactly: $0) })
      default:
        throw CheckpointError(
          .unsupported, file: base.url.path, "rope_type is \(rotaryType)", expected: "one that GGUF has fields for",
          advice: "Write safetensors instead")
      }
    }
    return try fields + GGUFTokenizerExport(base).fields()
  }

  private var rotary: JSON? {
    [configuration["rope_parameters"], configuration["rope_scaling"]].lazy.compactMap { $0 }.first { !$0.isNull }
  }
  private var rotaryType: String { rotary?["rope_type"]?.string ?? rotary?["type"]?.string ?? "default" }

  /// By how much Llama 3.1 divides each frequency of its rotary positions; nil for other models.
  func rotaryFactors() throws -> StoredTensor? {
    guard rotaryType == "llama3", let rotary else { return nil }
    guard let factor = rotary["factor"]?.number, let low = rotary["low_freq_factor"]?.number,
      let high = rotary["high_freq_factor"]?.number, high > low,
      let original = rotary["original_max_position_embeddings"]?.number
    else {
      throw CheckpointError(
        .malformed, file: base.url.path, "config.json: rope_scaling lacks llama3's fields",
        expected: "factor, low_freq_factor, high_freq_factor and original_max_position_embeddings",
        advice: "Take the config.json that was saved with these weights")
    }
    let size = try integer("head_dim") ?? Int(required("hidden_size") / max(1, required("num_attention_heads")))
    guard (0...1 << 16).contains(size) else {
      throw CheckpointError(
        .malformed, file: base.url.path, "config.json says that head_dim is \(size)", expected: "from 0 to 2¹⁶",
        advice: "Take the config.json that was saved with these weights")
    }
    let theta = rotary["rope_theta"]?.number ?? configuration["rope_theta"]?.number ?? 10000
    let factors = (0..<size / 2).map { pair -> Float in
      let turns = original * pow(theta, -Double(2 * pair) / Double(size)) / (2 * .pi)
      let share = min(max((turns - low) / (high - low), 0), 1)
      return Float(1 / ((1 - share) / factor + share))
    }
    return try StoredTensor(name: "rope_freqs.weight", Tensor(factors))
  }
}

/// A tokenizer.json as the fields of a GGUF file.
private struct GGUFTokenizerExport {
  private let folder: URL
  private let json: JSON
  private let settings: JSON
  private let base: Checkpoint

  init(_ base: Checkpoint) throws {
    self.base = base
    folder = base.directory!
    json = try readJSON(file("tokenizer.json", in: folder))
    let url = try file("tokenizer_config.json", in: folder)
    settings = FileManager.default.fileExists(atPath: url.path) ? try readJSON(url) : .object([])
  }

  private func fail(_ found: String, expected: String) -> CheckpointError {
    CheckpointError(
      .unsupported, file: folder.appendingPathComponent("tokenizer.json").path, found, expected: expected,
      advice: "Write safetensors instead")
  }

  func fields() throws -> [GGUFField] {
    guard let model = json["model"], let vocabulary = model["vocab"]?.members, !vocabulary.isEmpty else {
      throw fail("has no vocabulary by tokens", expected: "one of byte-pair encoding or WordPiece")
    }
    let added = json["added_tokens"]?.array ?? []
    let size = base.configuration?["vocab_size"]?.integer ?? vocabulary.count + added.count
    guard size <= 1 << 24 else { throw fail("has \(size) tokens", expected: "at most 2²⁴") }
    // Ids without a token have a name that no text has.
    var tokens = (0..<size).map { "[PAD\($0)]" }
    var types = [Int32](repeating: 5, count: size)
    for member in vocabulary {
      guard let id = member.value.integer, (0..<size).contains(id) else { continue }
      (tokens[id], types[id]) = (member.key, 1)
    }
    for token in added {
      guard let id = token["id"]?.integer, (0..<size).contains(id), let content = token["content"]?.string else {
        continue
      }
      (tokens[id], types[id]) = (content, token["special"]?.bool == true ? 3 : 4)
    }
    let merges = (model["merges"]?.array ?? []).compactMap { merge in
      merge.string ?? merge.array.map { $0.compactMap(\.string).joined(separator: " ") }
    }
    var fields: [GGUFField] = []
    func id(_ role: String) -> UInt32? {
      let text = settings[role]?.string ?? settings[role]?["content"]?.string
      return text.flatMap { tokens.firstIndex(of: $0) }.map(UInt32.init)
        ?? (base.configuration?["\(role.prefix(3))_token_id"]?.integer).flatMap { UInt32(exactly: $0) }
    }
    let isByteLevel = pieces(json["pre_tokenizer"]).contains { $0["type"]?.string == "ByteLevel" }
    switch model["type"]?.string {
    case "WordPiece":
      fields.append(GGUFField("tokenizer.ggml.model", "bert"))
      fields.append(GGUFField("tokenizer.ggml.token_type_count", UInt32(2)))
      tokens = tokens.map { token in
        if token.hasPrefix("["), token.hasSuffix("]") { return token }
        return token.hasPrefix("##") ? String(token.dropFirst(2)) : "\u{2581}" + token
      }
      for (key, role) in [
        ("cls", "cls_token"), ("seperator", "sep_token"), ("unknown", "unk_token"), ("padding", "pad_token"),
        ("mask", "mask_token"),
      ] {
        let text = settings[role]?.string ?? settings[role]?["content"]?.string ?? "[\(role.prefix(3).uppercased())]"
        if let id = tokens.firstIndex(of: text) {
          fields.append(GGUFField("tokenizer.ggml.\(key)_token_id", UInt32(id)))
        }
      }
    case _ where isByteLevel:
      fields.append(GGUFField("tokenizer.ggml.model", "gpt2"))
      fields.append(GGUFField("tokenizer.ggml.pre", try preTokenizer()))
      fields.append(GGUFField("tokenizer.ggml.merges", merges))
    default:
      fields.append(GGUFField("tokenizer.ggml.model", "llama"))
      // What is merged first has the highest score.
      var scores = [String: Float](minimumCapacity: merges.count)
      for (rank, merge) in merges.enumerated() {
        let token = merge.filter { $0 != " " }
        if scores[token] == nil { scores[token] = -Float(rank) }
      }
      fields.append(GGUFField("tokenizer.ggml.scores", tokens.map { scores[$0] ?? 0 }))
      for id in types.indices where types[id] == 1 || types[id] == 3 {
        if tokens[id] == model["unk_token"]?.string { types[id] = 2 }
        if tokens[id].wholeMatch(of: /<0x[0-9A-F]{2}>/) != nil { types[id] = 6 }
      }
      let prepends =
        pieces(json["normalizer"]).contains { $0["type"]?.string == "Prepend" }
        || pieces(json["pre_tokenizer"]).contains {
          $0["type"]?.string == "Metaspace" && $0["prepend_scheme"]?.string != "never"
        }
      fields.append(GGUFField("tokenizer.ggml.add_space_prefix", prepends))
    }
    fields.append(GGUFField("tokenizer.ggml.tokens", tokens))
    fields.append(GGUFField("tokenizer.ggml.token_type", types))
    for (key, role) in [("bos", "bos_token"), ("eos", "eos_token"), ("padding", "pad_token"), ("unknown", "unk_token")]
    {
      let name = "tokenizer.ggml.\(key)_token_id"
      if let id = id(role), !fields.contains(where: { $0.key == name }) { fields.append(GGUFField(name, id)) }
    }
    let template = (json["post_processor"].map(pieces) ?? []).flatMap { $0["single"]?.array ?? [] }
    func stands(first: Bool) -> Bool { (first ? template.first : template.last)?["SpecialToken"] != nil }
    fields.append(GGUFField("tokenizer.ggml.add_bos_token", stands(first: true)))
    fields.append(GGUFField("tokenizer.ggml.add_eos_token", stands(first: false)))
    return fields + (try chatTemplates())
  }

  /// A component, or those of a sequence.
  private func pieces(_ component: JSON?) -> [JSON] {
    guard let component, !component.isNull else { return [] }
    for key in ["normalizers", "pretokenizers", "processors"] {
      if let parts = component[key]?.array { return parts }
    }
    return [component]
  }

  /// llama.cpp's name of the way in which text is cut into words.
  private func preTokenizer() throws -> String {
    let patterns = pieces(json["pre_tokenizer"]).compactMap { $0["pattern"]?["Regex"]?.string }
    guard let pattern = patterns.first else { return "gpt-2" }
    if pattern.contains(#"\p{N}{1,3}"#) { return "llama-bpe" }
    if pattern.hasPrefix("(?i:'s|'t") && pattern.contains(#"|\p{N}|"#) { return "qwen2" }
    throw fail("cuts words by \(pattern)", expected: "a way that llama.cpp has a name for")
  }

  /// The template, or of a list of named ones the default and, as gguf-py writes them, the others.
  private func chatTemplates() throws -> [GGUFField] {
    let (key, url) = ("tokenizer.chat_template", try file("chat_template.jinja", in: folder))
    if let data = try contents(of: url) {
      return [GGUFField(key, String(decoding: data, as: UTF8.self))]
    }
    if let template = settings["chat_template"]?.string { return [GGUFField(key, template)] }
    let named = (settings["chat_template"]?.array ?? []).compactMap { item in
      item["name"]?.string.flatMap { name in item["template"]?.string.map { (name: name, text: $0) } }
    }
    let others = named.filter { $0.name != "default" }
    return named.filter { $0.name == "default" }.map { GGUFField(key, $0.text) }
      + (others.isEmpty ? [] : [GGUFField("tokenizer.chat_templates", others.map(\.name))])
      + others.map { GGUFField("\(key).\($0.name)", $0.text) }
  }
}
