// tokenizer.json, as Hugging Face's tokenizers write it.

import Foundation
import LoRAFiles
import LoRAFormats

extension Tokenizer {
  /// Reads a `tokenizer.json`, or the one in a model's folder, or what a GGUF file's metadata says.
  ///
  /// The roles of special tokens come from `tokenizer_config.json` beside it, where there is one.
  /// - Throws: `TokenizerError` where the file is missing, damaged, or asks for something not supported.
  public init(contentsOf url: URL) throws {
    guard FileManager.default.fileExists(atPath: url.path) else {
      throw TokenizerError(
        file: url.path, "does not exist", expected: "a tokenizer's file or folder", advice: "Check the path")
    }
    if let gguf = try Self.gguf(at: url) {
      try self.init(gguf: gguf)
      self.file = gguf.url.path
      return
    }
    var file = url
    var isFolder: ObjCBool = false
    if FileManager.default.fileExists(atPath: url.path, isDirectory: &isFolder), isFolder.boolValue {
      file = try LoRAFiles.file("tokenizer.json", in: url)
      if !FileManager.default.fileExists(atPath: file.path) {
        let others = try Tokenizer.sentencePieceNames.map { try LoRAFiles.file($0, in: url) }
        if let model = others.first(where: { FileManager.default.fileExists(atPath: $0.path) }) { file = model }
      }
    }
    guard let data = try contents(of: file) else {
      throw TokenizerError(
        file: file.path,
        "is not there",
        expected: "it or a tokenizer.model (SentencePiece); vocab.txt and vocab.json alone are not read",
        advice: "Convert the tokenizer in Python: AutoTokenizer.from_pretrained(…).save_pretrained(…)")
    }
    if file.pathExtension == "model" {
      let configuration = try LoRAFiles.file("tokenizer_config.json", in: file.deletingLastPathComponent())
      let fields = FileManager.default.fileExists(atPath: configuration.path) ? try readJSON(configuration) : [:]
      do {
        try self.init(sentencePiece: [UInt8](data), configuration: fields)
      } catch var error as TokenizerError {
        error.file = file.path
        throw error
      }
      self.file = file.path
      return
    }
    do {
      try self.init(json: [UInt8](data))
    } catch var error as TokenizerError {
      error.file = file.path
      throw error
    }
    self.file = file.path
    let configuration = try LoRAFiles.file("tokenizer_config.json", in: file.deletingLastPathComponent())
    if FileManager.default.fileExists(atPath: configuration.path) {
      let fields = try readJSON(configuration)
      special = SpecialTokens(configuration: fields, guess: special) { [self] in id(of: $0) }
    }
  }

  /// A GGUF file that is named, or that is all of a model in a folder.
  static func gguf(at url: URL) throws -> TensorFile? {
    guard isDirectory(url) else { return url.pathExtension == "gguf" ? try TensorFile(url) : nil }
    let names = (try? FileManager.default.contentsOfDirectory(atPath: url.path)) ?? []
    let files = names.filter { $0.hasSuffix(".gguf") }
    guard files.count == 1, !names.contains("tokenizer.json"), !names.contains("config.json") else { return nil }
    return try TensorFile(LoRAFiles.file(files[0], in: url))
  }

  /// Reads the content of a `tokenizer.json`.
  public init(json bytes: [UInt8]) throws {
    let file: TokenizerFile
    do {
      file = try bytes.withUnsafeBytes { try TokenizerFile($0) }
    } catch let error as JSONError {
      throw TokenizerError("can't be read: \(error)", expected: "JSON as the library tokenizers writes it")
    }
    try self.init(file)
  }

  private init(_ file: TokenizerFile) throws {
    let normalizer = try file.component("normalizer").map(Normalizer.init)
    try Tokenizer.requireModest(growth: normalizer?.growth ?? 1, of: "normalizer")
    let preTokenizer = try file.component("pre_tokenizer")
    let isByteLevel = try preTokenizer.map(PreTokenizer.endsWithBytes) ?? false
    // A model that goes by characters sees the bytes spelled; only plain byte-pair encoding takes them as they are.
    let takesBytes = isByteLevel && file.takesBytes
    let (vocabulary, model) = try file.model(isByteLevel: takesBytes, hasWords: preTokenizer != nil)
    let added = try file.addedTokens()

    self.vocabulary = vocabulary
    self.model = model
    self.normalizer = normalizer
    let steps = try preTokenizer.map(PreTokenizer.init)
    self.preTokenizer = isByteLevel && !takesBytes ? .sequence([steps, .spelledBytes].compactMap { $0 }) : steps
    postProcessor = try file.component("post_processor").map(PostProcessor.init) ?? .none
    decoder = try file.component("decoder").map(TokenDecoder.init) ?? .spaced
    try Tokenizer.requireModest(growth: decoder.growth, of: "decoder")
    // What is looked for in normalized text is also decoded to that.
    let normalized = added.filter(\.isNormalized).map { token in
      var token = token
      normalizer?.apply(to: &token.content)
      return token
    }
    addedContent = Dictionary((added + normalized).map { ($0.id, $0.content) }) { _, last in last }
    addedIDs = Dictionary(added.map { ($0.content, $0.id) }) { _, last in last }
    specialIDs = Set(added.filter(\.isSpecial).map(\.id))
    rawAddedTokens = AddedTokens(added.filter { !$0.isNormalized })
    normalizedAddedTokens = AddedTokens(normalized)
    idBound = max(vocabulary.idBound, (added.map { Int($0.id) }.max() ?? -1) + 1)
    special = SpecialTokens()
    special = SpecialTokens(configuration: [:], guess: special) { [self] in id(of: $0) }
  }

  /// Replacements one after another could make a text that no memory holds.
  private static func requireModest(growth: Double, of stage: String) throws {
    guard growth <= 1000 else {
      throw TokenizerError(place: stage, "its replacements can make \(growth) bytes of one", expected: "at most 1000")
    }
  }
}

extension SpecialTokens {
  /// The roles that a tokenizer_config.json gives; where it is silent, the names that BERT uses.
  init(configuration: JSON, guess: SpecialTokens, id: (String) -> Int32?) {
    func role(_ key: String) -> Int32? {
      (configuration[key]?.string ?? configuration[key]?["content"]?.string).flatMap(id)
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
///
/// The vocabulary is read in one pass, token by token, and its keys are kept as bytes: in a dictionary by `String`,
/// tokens that are canonically equivalent ("é" composed and decomposed) would be one key.
private struct TokenizerFile {
  /// Everything but the model's two tables.
  private var parts: [String: JSON] = [:]
  private var model: JSON?
  private var vocabulary: TokenTable?
  /// By id, the log probabilities of a Unigram model's tokens.
  private var scores: [Double] = []
  private var merges: [(left: [UInt8], right: [UInt8])]?

  init(_ bytes: UnsafeRawBufferPointer) throws(JSONError) {
    var reader = JSONReader(bytes)
    var (parts, small) = ([String: JSON](), [JSON.Member]())
    var (vocabulary, merges): (TokenTable?, [(left: [UInt8], right: [UInt8])]?)
    var scores: [Double] = []
    var hasModel = false
    try reader.readObject { reader, name throws(JSONError) in
      guard name == "model" else {
        parts[name] = try reader.readValue()
        return
      }
      hasModel = true
      try reader.readObject { reader, name throws(JSONError) in
        switch (name, reader.peek()) {
        case ("vocab", UInt8(ascii: "{")):
          vocabulary = try TokenizerFile.readVocabulary(&reader, capacity: bytes.count / 40)
        case ("vocab", UInt8(ascii: "[")):
          (vocabulary, scores) = try TokenizerFile.readScores(&reader, capacity: bytes.count / 40)
        case ("merges", UInt8(ascii: "[")): merges = try TokenizerFile.readMerges(&reader)
        default: small.append(JSON.Member(name, try reader.readValue()))
        }
      }
    }
    try reader.expectEnd()
    (self.parts, self.vocabulary, self.merges, self.scores) = (parts, vocabulary, merges, scores)
    model = hasModel ? .object(small) : nil
  }

  private static func readVocabulary(_ reader: inout JSONReader, capacity: Int) throws(JSONError) -> TokenTable {
    var table = TokenTable(minimumCapacity: capacity)
    try reader.readObject { reader, token throws(JSONError) in
      guard let id = try reader.readNumber().integer, id >= 0, id < TokenTable.mostIDs else {
        throw reader.error("the id of the token “\(token)” is no integer from 0 to \(TokenTable.mostIDs - 1)")
      }
      // A token that is listed twice keeps its first id.
      _ = table.insert(Array(token.utf8), id: id)
    }
    return table
  }

  /// Each a token and its log probability; its place is its id.
  private static func readScores(
    _ reader: inout JSONReader, capacity: Int
  ) throws(JSONError) -> (TokenTable, [Double]) {
    var (table, scores) = (TokenTable(minimumCapacity: capacity), [Double]())
    try reader.readArray { reader throws(JSONError) in
      var (token, score, count): (String?, Double?, Int) = (nil, nil, 0)
      try reader.readArray { reader throws(JSONError) in
        if count == 0 { token = try reader.readString() } else { score = try reader.readNumber().number }
        count += 1
      }
      guard let token, let score, score.isFinite, count == 2, scores.count < TokenTable.mostIDs else {
        throw reader.error("the vocabulary holds what is no token with its score")
      }
      _ = table.insert(Array(token.utf8), id: scores.count)
      scores.append(score)
    }
    return (table, scores)
  }

  /// Each a pair of tokens: `["a", "b"]`, or in older files `"a b"`.
  private static func readMerges(_ reader: inout JSONReader) throws(JSONError) -> [(left: [UInt8], right: [UInt8])] {
    var merges: [(left: [UInt8], right: [UInt8])] = []
    try reader.readArray { reader throws(JSONError) in
      var pair: [[UInt8]] = []
      if reader.peek() == UInt8(ascii: "[") {
        try reader.readArray { reader throws(JSONError) in pair.append(Array(try reader.readString().utf8)) }
      } else {
        pair = try reader.readString().utf8.split(separator: 0x20, omittingEmptySubsequences: false).map { Array($0) }
      }
      guard pair.count == 2 else { throw reader.error("a merge is no pair of tokens") }
      merges.append((pair[0], pair[1]))
    }
    return merges
  }

  func component(_ name: String) throws -> TokenizerComponent? {
    guard let json = parts[name], !json.isNull else { return nil }
    return try TokenizerComponent(json, place: name)
  }

  func addedTokens() throws -> [AddedTokens.Token] {
    guard let json = parts["added_tokens"], !json.isNull else { return [] }
    guard let list = json.array else {
      throw TokenizerError(place: "added_tokens", "is \(json.shown)", expected: "a list of objects")
    }
    return try list.enumerated().map { index, token in
      guard let id = token["id"]?.integer.flatMap({ Int32(exactly: $0) }), id >= 0,
        let content = token["content"]?.string
      else {
        throw TokenizerError(place: "added_tokens[\(index)]", "is \(token.shown)", expected: "an “id” and a “content”")
      }
      func flag(_ name: String) -> Bool { token[name]?.bool ?? false }
      return AddedTokens.Token(
        id: id, content: Array(content.utf8), singleWord: flag("single_word"), stripsLeft: flag("lstrip"),
        stripsRight: flag("rstrip"), isNormalized: flag("normalized"), isSpecial: flag("special"))
    }
  }

  // MARK: The model

  /// Whether the model is byte-pair encoding without anything added to characters.
  var takesBytes: Bool {
    let affixes = ["continuing_subword_prefix", "end_of_word_suffix"].compactMap { model?[$0]?.string }
    return merges != nil && affixes.allSatisfy(\.isEmpty)
  }

  func model(isByteLevel: Bool, hasWords: Bool) throws -> (TokenTable, any TokenModel) {
    guard var small = model else { throw TokenizerError("lacks “model”", expected: "an object") }
    if small["type"] == nil {  // older files
      let type: JSON? =
        merges != nil
        ? "BPE" : !scores.isEmpty ? "Unigram" : small["continuing_subword_prefix"] != nil ? "WordPiece" : nil
      small["type"] = type
    }
    let component = try TokenizerComponent(small, place: "model")
    guard ["WordPiece", "BPE", "Unigram", "WordLevel"].contains(component.type) else {
      throw component.error(
        "the type “\(component.type)” is not supported", expected: "BPE, Unigram, WordPiece or WordLevel")
    }
    guard let table = vocabulary else { throw component.error("lacks “vocab”", expected: "the tokens") }
    guard scores.isEmpty != (component.type == "Unigram") else {
      throw component.error(
        "“vocab” is no " + (scores.isEmpty ? "list of tokens with their scores" : "object of tokens with their ids"),
        expected: "one, as the type “\(component.type)” has it")
    }
    if component.type == "Unigram" {
      let unknown = try component.optionalInteger("unk_id")
      guard unknown.map(scores.indices.contains) ?? true else {
        throw component.error("“unk_id” is \(unknown!)", expected: "one of \(scores.count) tokens, counted from 0")
      }
      return (
        table,
        Unigram(
          table: table, scores: scores, unknown: unknown.map(Int32.init),
          fallsBackToBytes: try component.flag("byte_fallback", default: false),
          byteTokens: TokenizerFile.byteTokens(in: table, isByteLevel: false), usesWords: hasWords)
      )
    }
    if component.type == "WordLevel" {
      return (
        table, WordLevel(table: table, unknown: table.id(of: try component.text("unk_token", default: "<unk>").utf8))
      )
    }
    if component.type == "WordPiece" {
      let name = try component.text("unk_token", default: "[UNK]")
      guard let unknown = table.id(of: name.utf8) else {
        throw component.error("the unknown token “\(name)” is not in the vocabulary", expected: "one that is")
      }
      let prefix = try component.text("continuing_subword_prefix", default: "##")
      let longest = try component.integer("max_input_chars_per_word", default: 100)
      return (
        table, WordPiece(table: table, unknown: unknown, continuingPrefix: Array(prefix.utf8), longestWord: longest)
      )
    }
    guard let merges else { throw component.error("lacks “merges”", expected: "a list of pairs") }
    let prefix = try component.optionalText("continuing_subword_prefix")?.utf8.count ?? 0
    return (
      table,
      try pairEncoding(
        component, table, try mergeTable(merges, table, prefix: prefix), isByteLevel: isByteLevel, hasWords: hasWords)
    )
  }

  private func pairEncoding(
    _ component: TokenizerComponent, _ table: TokenTable, _ merges: MergeTable, isByteLevel: Bool, hasWords: Bool
  ) throws -> BytePairEncoding {
    if let dropout = try component.optionalNumber("dropout"), dropout != 0 {
      throw component.error("“dropout” is \(dropout), which would make encoding random", expected: "none")
    }
    let unknown = try component.optionalText("unk_token").flatMap { table.id(of: $0.utf8) }
    let byteTokens = TokenizerFile.byteTokens(in: table, isByteLevel: isByteLevel)
    return BytePairEncoding(
      table: table, merges: merges, byteTokens: byteTokens, isByteLevel: isByteLevel,
      fallsBackToBytes: try component.flag("byte_fallback", default: false), unknown: unknown,
      fusesUnknown: try component.flag("fuse_unk", default: false),
      ignoresMerges: try component.flag("ignore_merges", default: false),
      continuingPrefix: Array(try component.optionalText("continuing_subword_prefix")?.utf8 ?? "".utf8),
      endSuffix: Array(try component.optionalText("end_of_word_suffix")?.utf8 ?? "".utf8), usesWords: hasWords)
  }

  /// By byte: the token that spells it, -1 where there is none.
  static func byteTokens(in table: TokenTable, isByteLevel: Bool) -> [Int32] {
    (UInt8.min...UInt8.max).map { byte -> Int32 in
      var token: [UInt8] = []
      if isByteLevel {
        ByteAlphabet.appendCharacter(of: byte, to: &token)
      } else {
        let digits = String(byte, radix: 16, uppercase: true)
        token = Array("<0x\(digits.count == 1 ? "0" : "")\(digits)>".utf8)
      }
      return table.id(of: token) ?? -1
    }
  }

  private func mergeTable(
    _ merges: [(left: [UInt8], right: [UInt8])], _ table: TokenTable, prefix: Int
  ) throws -> MergeTable {
    var result = MergeTable(capacity: merges.count)
    for (rank, merge) in merges.enumerated() {
      func identifier(_ token: [UInt8]) throws -> Int32 {
        guard let id = table.id(of: token) else {
          throw TokenizerError(
            place: "model.merges[\(rank)]",
            "the token “\(String(decoding: token, as: UTF8.self))” is not in the vocabulary", expected: "one that is")
        }
        return id
      }
      result.insert(
        try identifier(merge.left), try identifier(merge.right), rank: rank,
        id: try identifier(merge.left + merge.right.dropFirst(prefix)))
    }
    return result
  }
}
