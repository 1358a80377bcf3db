// A tokenizer out of a GGUF file's metadata, as the tokenizer.json that transformers would have for it.
//
// Of SentencePiece's vocabularies GGUF keeps the scores, and tokenizer.json the merges: two tokens merge where what they
// make is a token, those with the highest score first.

import Foundation
import LoRAFiles

/// What the metadata says of tokens.
struct GGUFTokenizer {
  private let file: TensorFile
  private let tokens: [String]
  /// llama.cpp's types: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
  private let types: [Int]

  /// More tokens than any vocabulary has.
  private static let mostTokens = 1 << 24
  /// Places at which tokens are tried to be cut, over all of them, and bytes of one that is.
  private static let (mostCuts, longestCut) = (1 << 24, 64)

  /// - Throws: `TokenizerError` where the file has no tokens.
  init(_ file: TensorFile) throws {
    self.file = file
    guard let list = file.field("tokenizer.ggml.tokens"), let count = list.count, count > 0, count <= Self.mostTokens,
      let tokens = list.strings
    else {
      throw TokenizerError(file: file.url.path, "has no tokenizer in its metadata", expected: "tokenizer.ggml.tokens")
    }
    self.tokens = tokens
    let types = file.field("tokenizer.ggml.token_type")?.numbers ?? []
    self.types = (0..<count).map { $0 < types.count ? Int(max(0, min(types[$0], 9))) : 1 }
  }

  /// What a GGUF file says, or the one that is all of a model in a folder; nil for anything else.
  init?(at url: URL) throws {
    guard let file = try Tokenizer.gguf(at: url) else { return nil }
    try self.init(file)
  }

  /// Where the file lies.
  var path: String { file.url.path }

  /// The token with a role.
  func token(_ role: String) -> String? { id(role).map { tokens[$0] } }

  private func fail(_ found: String, expected: String) -> TokenizerError {
    TokenizerError(file: file.url.path, found, expected: expected)
  }

  private func flag(_ name: String, default fallback: Bool) -> Bool {
    file.field("tokenizer.ggml.\(name)")?.bool ?? fallback
  }

  /// The id of a role ("bos", "eos"), as far as there is such a token.
  func id(_ role: String) -> Int? {
    file.field("tokenizer.ggml.\(role)_token_id")?.integer.flatMap { tokens.indices.contains($0) ? $0 : nil }
  }

  /// The chat templates by name, texts in Jinja's language: "default", and as gguf-py writes them the others whose names are
  /// listed.
  var chatTemplates: [String: String] {
    var templates: [String: String] = [:]
    templates["default"] = file.field("tokenizer.chat_template")?.string
    for name in file.field("tokenizer.chat_templates")?.strings ?? [] {
      templates[name] = file.field("tokenizer.chat_template.\(name)")?.string ?? templates[name]
    }
    return templates
  }

  /// What tokenizer.json would hold.
  func json() throws -> JSON {
    switch file.field("tokenizer.ggml.model")?.string {
    case "llama": sentencePiece()
    case "gpt2": try bytePairs()
    case "bert": try wordPiece()
    case let model: throw fail("tokenizer.ggml.model is \(model ?? "missing")", expected: "llama, gpt2 or bert")
    }
  }

  private func file(
    normalizer: JSON, preTokenizer: JSON, beginning: Int?, end: Int?, decoder: JSON, model: [JSON.Member],
    tokens: [String]? = nil
  ) -> JSON {
    let tokens = tokens ?? self.tokens
    var seen: Set<ExactString> = []
    let vocabulary = tokens.enumerated().compactMap { id, token in
      seen.insert(token) ? JSON.Member(token, .integer(id)) : nil
    }
    let added = types.indices.filter { (2...4).contains(types[$0]) && !tokens[$0].isEmpty }.map { id -> JSON in
      [
        "id": .integer(id), "content": .string(tokens[id]), "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": .bool(types[id] != 4),
      ]
    }
    func special(_ id: Int?) -> [JSON] {
      id.map { [["SpecialToken": ["id": .string(tokens[$0]), "type_id": 0]]] } ?? []
    }
    func template(_ sequence: String, _ type: JSON) -> [JSON] {
      special(beginning) + [["Sequence": ["id": .string(sequence), "type_id": type]]] + special(end)
    }
    let specials = Set([beginning, end].compactMap { $0 }).sorted().map { id in
      JSON.Member(
        tokens[id], ["id": .string(tokens[id]), "ids": [.integer(id)], "tokens": [.string(tokens[id])]])
    }
    return [
      "added_tokens": .array(added), "normalizer": normalizer, "pre_tokenizer": preTokenizer,
      "post_processor": [
        "type": "TemplateProcessing", "single": .array(template("A", 0)),
        "pair": .array(template("A", 0) + template("B", 1)),
        "special_tokens": .object(specials),
      ],
      "decoder": decoder, "model": .object(model + [JSON.Member("vocab", .object(vocabulary))]),
    ]
  }

  // MARK: SentencePiece

  private func sentencePiece() -> JSON {
    let mark = "\u{2581}"
    let prepends = flag("add_space_prefix", default: true)
    let toMark: JSON = ["type": "Replace", "pattern": ["String": " "], "content": .string(mark)]
    let prepend: JSON = ["type": "Prepend", "prepend": .string(mark)]
    let fromMark: JSON = ["type": "Replace", "pattern": ["String": .string(mark)], "content": " "]
    let strip: JSON = ["type": "Strip", "content": " ", "start": 1, "stop": 0]
    let unknown = id("unknown") ?? types.firstIndex(of: 2)
    return file(
      normalizer: ["type": "Sequence", "normalizers": .array(prepends ? [prepend, toMark] : [toMark])],
      preTokenizer: .null, beginning: flag("add_bos_token", default: true) ? id("bos") : nil,
      end: flag("add_eos_token", default: false) ? id("eos") : nil,
      decoder: [
        "type": "Sequence",
        "decoders": .array([fromMark, ["type": "ByteFallback"], ["type": "Fuse"]] + (prepends ? [strip] : [])),
      ],
      model: [
        JSON.Member("type", "BPE"), JSON.Member("unk_token", unknown.map { .string(tokens[$0]) } ?? .null),
        JSON.Member("fuse_unk", true), JSON.Member("byte_fallback", true), JSON.Member("merges", .array(merges())),
      ])
  }

  /// The pairs that make a token, in the order of the scores of what they make.
  private func merges() -> [JSON] {
    let scores = file.field("tokenizer.ggml.scores")?.numbers ?? []
    var ids = [ArraySlice<UInt8>: Int](minimumCapacity: tokens.count)
    let bytes = tokens.map { Array($0.utf8)[...] }
    for (id, token) in bytes.enumerated() where ids[token] == nil { ids[token] = id }
    var found: [(left: Int, right: Int, score: Double, token: Int)] = []
    var cuts = 0
    for (id, token) in bytes.enumerated() where token.count <= Self.longestCut && (types[id] == 1 || types[id] == 4) {
      guard cuts < Self.mostCuts else { break }
      for cut in token.indices.dropFirst() where token[cut] & 0xC0 != 0x80 {
        cuts += 1
        guard let left = ids[token[..<cut]], let right = ids[token[cut...]] else { continue }
        found.append((left, right, id < scores.count && scores[id].isFinite ? scores[id] : 0, id))
      }
    }
    found.sort { ($1.score, $0.token, $0.left, $0.right) < ($0.score, $1.token, $1.left, $1.right) }
    return found.map { [.string(tokens[$0.left]), .string(tokens[$0.right])] }
  }

  // MARK: Byte pairs

  private func bytePairs() throws -> JSON {
    let name = file.field("tokenizer.ggml.pre")?.string ?? "default"
    let byteLevel: JSON = ["type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false]
    let gpt2: JSON = ["type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true]
    func split(_ pattern: WordPattern) -> JSON {
      ["type": "Split", "pattern": ["Regex": .string(pattern.expression)], "behavior": "Isolated", "invert": false]
    }
    var parts: [JSON]
    var isLlama = false
    switch name {
    case "gpt-2", "gpt2", "default": parts = [gpt2]
    case "llama-bpe", "llama3", "llama-v3", "falcon3": (parts, isLlama) = ([split(.llama3), byteLevel], true)
    case "qwen2", "deepseek-r1-qwen": parts = [split(.qwen2), byteLevel]
    case "smollm", "codeshell", "starcoder", "refact", "command-r":
      parts = [["type": "Digits", "individual_digits": true], gpt2]
    default:
      throw fail(
        "tokenizer.ggml.pre is \(name), whose way to cut words is not known here",
        expected: "gpt-2, llama-bpe, qwen2 or smollm")
    }
    guard let merges = file.field("tokenizer.ggml.merges")?.strings else {
      throw fail("has no merges", expected: "tokenizer.ggml.merges")
    }
    let pairs = try merges.map { merge -> JSON in
      // The space between the two; one of them may begin with none, since a space is spelt otherwise.
      guard let space = merge.utf8.dropFirst().firstIndex(of: 0x20) else {
        throw fail("the merge \"\(merge)\" is no pair", expected: "two tokens with a space between them")
      }
      return [.string(String(merge[..<space])), .string(String(merge[merge.utf8.index(after: space)...]))]
    }
    return file(
      normalizer: name == "qwen2" ? ["type": "NFC"] : .null,
      preTokenizer: parts.count == 1 ? parts[0] : ["type": "Sequence", "pretokenizers": .array(parts)],
      beginning: flag("add_bos_token", default: isLlama) ? id("bos") : nil,
      end: flag("add_eos_token", default: false) ? id("eos") : nil, decoder: ["type": "ByteLevel"],
      model: [
        JSON.Member("type", "BPE"), JSON.Member("ignore_merges", .bool(isLlama)), JSON.Member("merges", .array(pairs)),
      ])
  }

  // MARK: Word pieces

  /// llama.cpp marks what begins a word, and WordPiece what continues one.
  private func wordPiece() throws -> JSON {
    let mark: Character = "\u{2581}"
    let tokens = zip(self.tokens, types).map { token, type in
      if type == 3 || type == 2 || token.hasPrefix("[") && token.hasSuffix("]") { return token }
      return token.first == mark ? String(token.dropFirst()) : "##" + token
    }
    let unknown = id("unknown").map { tokens[$0] } ?? "[UNK]"
    return file(
      normalizer: [
        "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": .null,
        "lowercase": true,
      ], preTokenizer: ["type": "BertPreTokenizer"],
      beginning: id("cls") ?? id("bos") ?? tokens.firstIndex(of: "[CLS]"),
      end: id("seperator") ?? id("eos") ?? tokens.firstIndex(of: "[SEP]"),
      decoder: ["type": "WordPiece", "prefix": "##", "cleanup": true],
      model: [
        JSON.Member("type", "WordPiece"), JSON.Member("unk_token", .string(unknown)),
        JSON.Member("continuing_subword_prefix", "##"), JSON.Member("max_input_chars_per_word", 100),
      ], tokens: tokens)
  }
}

extension Tokenizer {
  /// The tokenizer in a GGUF file's metadata.
  ///
  /// - Throws: `TokenizerError` where there is none, or one that is not known here.
  package init(gguf file: TensorFile) throws {
    let source = try GGUFTokenizer(file)
    do {
      try self.init(json: Array(source.json().compact.utf8))
    } catch var error as TokenizerError {
      error.file = file.url.path
      throw error
    }
    func role(_ name: String) -> Int32? { source.id(name).map(Int32.init) }
    special.beginning = role("bos") ?? special.beginning
    special.end = role("eos") ?? special.end
    special.padding = role("padding") ?? special.padding
    special.unknown = role("unknown") ?? special.unknown
    special.classification = role("cls") ?? special.classification
    special.separator = role("seperator") ?? special.separator
    special.mask = role("mask") ?? special.mask
  }
}
