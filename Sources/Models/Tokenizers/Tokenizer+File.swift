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
      throw TokenizerError(file: url.path, "does not exist")
    }
    if let gguf = try Self.gguf(at: url) {
      try self.init(gguf: gguf)
      return
    }
    var file = url
    var isFolder: ObjCBool = false
    if FileManager.default.fileExists(atPath: url.path, isDirectory: &isFolder), isFolder.boolValue {
      file = try LoRAFiles.file("tokenizer.json", in: url)
    }
    guard let data = FileManager.default.contents(atPath: file.path) else {
      throw TokenizerError(
        file: file.path,
        "not found. A Hugging Face folder holds one; older ones have tokenizer.model (SentencePiece) or vocab.txt alone, "
          + "which must be converted (transformers: AutoTokenizer.from_pretrained(…).save_pretrained(…))")
    }
    do {
      try self.init(json: [UInt8](data))
    } catch var error as TokenizerError {
      error.file = file.path
      throw error
    }
    let configuration = try LoRAFiles.file("tokenizer_config.json", in: file.deletingLastPathComponent())
    if let data = FileManager.default.contents(atPath: configuration.path) {
      let fields: JSON
      do {
        fields = try data.withUnsafeBytes { try JSON(parsing: $0) }
      } catch {
        throw TokenizerError(file: configuration.path, "is not valid JSON: \(error)")
      }
      special = SpecialTokens(configuration: fields, guess: special) { [self] in id(of: $0) }
    }
  }

  /// A GGUF file that is named, or that is all of a model in a folder.
  private static func gguf(at url: URL) throws -> TensorFile? {
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
      throw TokenizerError("is not valid JSON: \(error)")
    }
    try self.init(file)
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
  private var merges: [(left: [UInt8], right: [UInt8])]?

  init(_ bytes: UnsafeRawBufferPointer) throws(JSONError) {
    var reader = JSONReader(bytes)
    var (parts, small) = ([String: JSON](), [JSON.Member]())
    var (vocabulary, merges): (TokenTable?, [(left: [UInt8], right: [UInt8])]?)
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
        case ("merges", UInt8(ascii: "[")): merges = try TokenizerFile.readMerges(&reader)
        default: small.append(JSON.Member(name, try reader.readValue()))
        }
      }
    }
    try reader.expectEnd()
    (self.parts, self.vocabulary, self.merges) = (parts, vocabulary, merges)
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
    guard let list = json.array else { throw TokenizerError(place: "added_tokens", "expected a list of objects") }
    return try list.enumerated().map { index, token in
      guard let id = token["id"]?.integer.flatMap({ Int32(exactly: $0) }), id >= 0,
        let content = token["content"]?.string
      else { throw TokenizerError(place: "added_tokens[\(index)]", "expected an “id” and a “content”") }
      func flag(_ name: String) -> Bool { token[name]?.bool ?? false }
      return AddedTokens.Token(
        id: id, content: Array(content.utf8), singleWord: flag("single_word"), stripsLeft: flag("lstrip"),
        stripsRight: flag("rstrip"), isNormalized: flag("normalized"), isSpecial: flag("special"))
    }
  }

  // MARK: The model

  func model(isByteLevel: Bool, hasWords: Bool) throws -> (TokenTable, any TokenModel) {
    guard var small = model else { throw TokenizerError("lacks “model”") }
    if small["type"] == nil {  // older files
      small["type"] = merges != nil ? "BPE" : small["continuing_subword_prefix"] != nil ? "WordPiece" : nil
    }
    let component = try TokenizerComponent(small, place: "model")
    guard component.type == "WordPiece" || component.type == "BPE" else {
      throw component.error("the type “\(component.type)” is not supported; supported: WordPiece, BPE")
    }
    guard let table = vocabulary else { throw component.error("lacks “vocab”") }
    if component.type == "WordPiece" {
      let name = try component.text("unk_token", default: "[UNK]")
      guard let unknown = table.id(of: name.utf8) else {
        throw component.error("the unknown token “\(name)” is not in the vocabulary")
      }
      let prefix = try component.text("continuing_subword_prefix", default: "##")
      let longest = try component.integer("max_input_chars_per_word", default: 100)
      return (
        table, WordPiece(table: table, unknown: unknown, continuingPrefix: Array(prefix.utf8), longestWord: longest)
      )
    }
    guard let merges else { throw component.error("lacks “merges”") }
    return (
      table,
      try pairEncoding(
        component, table, try mergeTable(merges, table), isByteLevel: isByteLevel, hasWords: hasWords)
    )
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

  private func mergeTable(_ merges: [(left: [UInt8], right: [UInt8])], _ table: TokenTable) throws -> MergeTable {
    var result = MergeTable(capacity: merges.count)
    for (rank, merge) in merges.enumerated() {
      func identifier(_ token: [UInt8]) throws -> Int32 {
        guard let id = table.id(of: token) else {
          throw TokenizerError(
            place: "model.merges[\(rank)]",
            "the token “\(String(decoding: token, as: UTF8.self))” is not in the vocabulary")
        }
        return id
      }
      result.insert(
        try identifier(merge.left), try identifier(merge.right), rank: rank,
        id: try identifier(merge.left + merge.right))
    }
    return result
  }
}
