import Foundation

extension Tokenizer {
  /// Reads a `tokenizer.json`, or the one in a model's folder.
  ///
  /// The roles of special tokens come from `tokenizer_config.json` beside it, where there is one.
  /// - Throws: `TokenizerError` where the file is missing, damaged, or asks for something not supported.
  public init(contentsOf url: URL) throws {
    var file = url
    var isFolder: ObjCBool = false
    if FileManager.default.fileExists(atPath: url.path, isDirectory: &isFolder), isFolder.boolValue {
      file = url.appendingPathComponent("tokenizer.json")
    }
    guard let data = FileManager.default.contents(atPath: file.path) else {
      throw TokenizerError(
        file: file.path,
        "not found. A Hugging Face folder holds one; older ones have vocab.txt alone, which must be "
          + "converted (transformers: AutoTokenizer.from_pretrained(…).save_pretrained(…))")
    }
    do {
      try self.init(json: [UInt8](data))
    } catch var error as TokenizerError {
      error.file = file.path
      throw error
    }
    let configuration = file.deletingLastPathComponent().appendingPathComponent("tokenizer_config.json")
    if let data = FileManager.default.contents(atPath: configuration.path) {
      guard let fields = (try? JSONSerialization.jsonObject(with: data)) as? [String: Any] else {
        throw TokenizerError(file: configuration.path, "is not a JSON object")
      }
      special = SpecialTokens(configuration: fields, guess: special) { [self] in id(of: $0) }
    }
  }

  /// Reads the content of a `tokenizer.json`.
  public init(json bytes: [UInt8]) throws {
    do {
      try self.init(TokenizerFile(JSONText(bytes)))
    } catch let error as JSONText.Malformed {
      throw TokenizerError("not valid JSON at byte \(error.offset): expected \(error.expected)")
    }
  }

  private init(_ file: TokenizerFile) throws {
    let normalizer = try file.component("normalizer").map(Normalizer.init)
    let preTokenizer = try file.component("pre_tokenizer")
    let isByteLevel = try preTokenizer.map(PreTokenizer.isByteLevel) ?? false
    let (vocabulary, model) = try file.model(isByteLevel: isByteLevel, hasWords: preTokenizer != nil)
    let added = try file.addedTokens()

    self.vocabulary = vocabulary
    self.model = model
    self.normalizer = normalizer
    self.preTokenizer = try preTokenizer.map(PreTokenizer.init)
    postProcessor = try file.component("post_processor").map(PostProcessor.init) ?? .none
    decoder = try file.component("decoder").map(TokenDecoder.init) ?? .spaced
    addedContent = Dictionary(added.map { ($0.id, $0.content) }) { _, last in last }
    addedIDs = Dictionary(added.map { ($0.content, $0.id) }) { _, last in last }
    specialIDs = Set(added.filter(\.isSpecial).map(\.id))
    rawAddedTokens = AddedTokens(added.filter { !$0.isNormalized })
    normalizedAddedTokens = AddedTokens(
      added.filter(\.isNormalized).map { token in
        var token = token
        normalizer?.apply(to: &token.content)
        return token
      })
    idBound = max(vocabulary.idBound, (added.map { Int($0.id) }.max() ?? -1) + 1)
    special = SpecialTokens()
    special = SpecialTokens(configuration: [:], guess: special) { [self] in id(of: $0) }
  }
}

extension SpecialTokens {
  /// The roles that a tokenizer_config.json gives; where it is silent, the names that BERT uses.
  init(configuration: [String: Any], guess: SpecialTokens, id: (String) -> Int32?) {
    func role(_ key: String) -> Int32? {
      let value = configuration[key]
      return (value as? String ?? (value as? [String: Any])?["content"] as? String).flatMap(id)
    }
    beginning = role("bos_token") ?? guess.beginning
    end = role("eos_token") ?? guess.end
    padding = role("pad_token") ?? guess.padding ?? id("[PAD]")
    unknown = role("unk_token") ?? guess.unknown ?? id("[UNK]")
    classification = role("cls_token") ?? guess.classification ?? id("[CLS]")
    separator = role("sep_token") ?? guess.separator ?? id("[SEP]")
    mask = role("mask_token") ?? guess.mask ?? id("[MASK]")
  }
}

/// The parts of a tokenizer.json.
private struct TokenizerFile {
  let text: JSONText
  let members: [String: Range<Int>]

  init(_ text: JSONText) throws {
    self.text = text
    members = try text.members(text.root())
  }

  func component(_ name: String) throws -> TokenizerComponent? {
    guard let range = members[name] else { return nil }
    let json = try text.foundation(range)
    return json is NSNull ? nil : try TokenizerComponent(json, place: name)
  }

  func addedTokens() throws -> [AddedTokens.Token] {
    guard let range = members["added_tokens"] else { return [] }
    guard let list = try text.foundation(range) as? [[String: Any]] else {
      throw TokenizerError(place: "added_tokens", "expected a list of objects")
    }
    return try list.enumerated().map { index, token in
      guard let id = token["id"] as? Int, let identifier = Int32(exactly: id), id >= 0,
        let content = token["content"] as? String
      else { throw TokenizerError(place: "added_tokens[\(index)]", "expected an “id” and a “content”") }
      func flag(_ name: String) -> Bool { token[name] as? Bool ?? false }
      return AddedTokens.Token(
        id: identifier, content: Array(content.utf8), singleWord: flag("single_word"), stripsLeft: flag("lstrip"),
        stripsRight: flag("rstrip"), isNormalized: flag("normalized"), isSpecial: flag("special"))
    }
  }

  // MARK: The model

  func model(isByteLevel: Bool, hasWords: Bool) throws -> (TokenTable, any TokenModel) {
    guard let range = members["model"] else { throw TokenizerError("lacks “model”") }
    let parts = try text.members(range)
    var small: [String: Any] = [:]
    for (name, range) in parts where name != "vocab" && name != "merges" { small[name] = try text.foundation(range) }
    if small["type"] == nil {  // older files
      small["type"] = parts["merges"] != nil ? "BPE" : small["continuing_subword_prefix"] != nil ? "WordPiece" : "?"
    }
    let component = try TokenizerComponent(small, place: "model")
    guard component.type == "WordPiece" || component.type == "BPE" else { throw component.unsupported }
    guard let vocabularyRange = parts["vocab"] else { throw component.error("lacks “vocab”") }
    let table = try vocabulary(vocabularyRange)
    if component.type == "WordPiece" {
      let name = try component.text("unk_token", default: "[UNK]")
      guard let unknown = table.id(of: name.utf8) else {
        throw component.error("the unknown token “\(name)” is not in the vocabulary")
      }
      let prefix = try component.text("continuing_subword_prefix", default: "##")
      let longest = Int(try component.optionalNumber("max_input_chars_per_word") ?? 100)
      return (
        table, WordPiece(table: table, unknown: unknown, continuingPrefix: Array(prefix.utf8), longestWord: longest)
      )
    }
    guard let mergesRange = parts["merges"] else { throw component.error("lacks “merges”") }
    return (
      table,
      try pairEncoding(component, table, try merges(mergesRange, table), isByteLevel: isByteLevel, hasWords: hasWords)
    )
  }

  private func vocabulary(_ range: Range<Int>) throws(JSONText.Malformed) -> TokenTable {
    var table = TokenTable(minimumCapacity: range.count / 16)
    try text.forEachMember(range) { key, value throws(JSONText.Malformed) in
      // A token that is listed twice keeps its first id.
      _ = table.insert(try text.string(key), id: try text.integer(value))
    }
    return table
  }

  private func pairEncoding(
    _ component: TokenizerComponent, _ table: TokenTable, _ merges: MergeTable, isByteLevel: Bool, hasWords: Bool
  ) throws -> BytePairEncoding {
    for name in ["continuing_subword_prefix", "end_of_word_suffix"] {
      if let value = try component.optionalText(name), !value.isEmpty {
        throw component.error("“\(name)” (“\(value)”) is not supported")
      }
    }
    if let dropout = try component.optionalNumber("dropout"), dropout != 0 {
      throw component.error("“dropout” (\(dropout)) is not supported: it would make encoding random")
    }
    let unknown = try component.optionalText("unk_token").flatMap { table.id(of: $0.utf8) }
    let byteTokens = (UInt8.min...UInt8.max).map { byte -> Int32 in
      var token: [UInt8] = []
      if isByteLevel {
        ByteAlphabet.appendCharacter(of: byte, to: &token)
      } else {
        let digits = String(byte, radix: 16, uppercase: true)
        token = Array("<0x\(digits.count == 1 ? "0" : "")\(digits)>".utf8)
      }
      return table.id(of: token) ?? -1
    }
    return BytePairEncoding(
      table: table, merges: merges, byteTokens: byteTokens, isByteLevel: isByteLevel,
      fallsBackToBytes: try component.flag("byte_fallback", default: false), unknown: unknown,
      fusesUnknown: try component.flag("fuse_unk", default: false),
      ignoresMerges: try component.flag("ignore_merges", default: false), usesWords: hasWords)
  }

  /// The merges, each a pair of tokens: `["a", "b"]`, or in older files `"a b"`.
  private func merges(_ range: Range<Int>, _ table: TokenTable) throws -> MergeTable {
    var merges = MergeTable(capacity: range.count / 4)
    var rank = 0
    var stranger: (rank: Int, token: [UInt8])?
    var pair: [[UInt8]] = []
    try text.forEachElement(range) { element throws(JSONText.Malformed) in
      pair.removeAll(keepingCapacity: true)
      if text.bytes[element.lowerBound] == UInt8(ascii: "[") {
        try text.forEachElement(element) { part throws(JSONText.Malformed) in pair.append(try text.string(part)) }
      } else {
        pair = try text.string(element).split(separator: 0x20, omittingEmptySubsequences: false).map { Array($0) }
      }
      guard pair.count == 2 else { throw JSONText.Malformed(offset: element.lowerBound, expected: "a pair of tokens") }
      if let left = table.id(of: pair[0]), let right = table.id(of: pair[1]), let id = table.id(of: pair[0] + pair[1]) {
        merges.insert(left, right, rank: rank, id: id)
      } else if stranger == nil {
        stranger = (rank, pair.first { table.id(of: $0) == nil } ?? pair[0] + pair[1])
      }
      rank += 1
    }
    if let stranger {
      throw TokenizerError(
        place: "model.merges[\(stranger.rank)]",
        "the token “\(String(decoding: stranger.token, as: UTF8.self))” is not in the vocabulary")
    }
    return merges
  }
}
