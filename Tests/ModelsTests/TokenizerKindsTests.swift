// Tokenizers of many kinds against Python's tokenizers and sentencepiece: a folder that Tests/Interop/tokenizer_kinds.py
// made, and the few kinds of it that are committed.
import Foundation
import LoRAFiles
import LoRAModels
import TestSupport
import Testing

private let madeKinds = ProcessInfo.processInfo.environment["LORA_TOKENIZER_KINDS"].map { URL(fileURLWithPath: $0) }

private func json(_ url: URL) throws -> JSON {
  try Data(contentsOf: url).withUnsafeBytes { try JSON(parsing: $0, holdsTexts: true) }
}

/// How many of a folder's cases differ, with the first few.
private func differences(_ folder: URL, _ texts: [String]) throws -> (count: Int, shown: [String]) {
  let cases = try json(folder.appendingPathComponent("cases.json"))
  let tokenizer = try Tokenizer(contentsOf: folder)
  var (count, shown) = (0, [String]())
  func differ(_ what: String, _ text: String, _ found: String, _ expected: String) {
    count += 1
    if shown.count < 3 { shown.append("\(what) of \(text.debugDescription): \(found) is not \(expected)") }
  }
  for (name, adds) in [("ids", true), ("bare", false)] {
    for (text, expected) in zip(texts, cases[name]?.array ?? []) where !expected.isNull {
      let ids = tokenizer.encode(text, addingSpecialTokens: adds).ids
      let wanted = (expected.array ?? []).compactMap { $0.integer.map(Int32.init) }
      if ids != wanted { differ(name, text, "\(ids)", "\(wanted)") }
    }
  }
  let source = cases["ids"]?.array ?? cases["bare"]?.array ?? []
  for (name, skips) in [("text", true), ("whole", false), ("decoded", true)] {
    for (index, expected) in (cases[name]?.array ?? []).enumerated() where !expected.isNull {
      let ids = (source[index].array ?? []).compactMap { $0.integer.map(Int32.init) }
      let text = tokenizer.decode(ids, skippingSpecialTokens: skips)
      if !text.utf8.elementsEqual((expected.string ?? "").utf8) {
        differ(name, texts[index], text.debugDescription, (expected.string ?? "").debugDescription)
      }
    }
  }
  return (count, shown)
}

@Suite("Tokenizers of many kinds")
struct TokenizerKindsTests {
  static let kinds = fixtures.appendingPathComponent("models/kinds")

  @Test(
    "ids and texts of the committed kinds are Python's",
    arguments: [
      "xlm-r", "falcon", "bpe-w", "bpe-hashes", "wordlevel-scripts", "bert-added", "unigram-bytes", "model-symbols",
      "model-bpe",
    ])
  func committed(name: String) throws {
    let texts = try #require(json(TokenizerKindsTests.kinds.appendingPathComponent("texts.json")).strings)
    #expect(texts.count > 60)
    let (count, shown) = try differences(TokenizerKindsTests.kinds.appendingPathComponent(name), texts)
    #expect(count == 0, "\(count) differ: \(shown.joined(separator: "\n    "))")
  }

  @Test("a folder with a SentencePiece model alone begins and ends texts as its class does")
  func sentencePiece() throws {
    try withTemporaryDirectory { folder in
      let model = TokenizerKindsTests.kinds.appendingPathComponent("model-bpe/tokenizer.model")
      try FileManager.default.copyItem(at: model, to: folder.appendingPathComponent("tokenizer.model"))
      func ends(_ configuration: String) throws -> (first: Int32, last: Int32) {
        try Data(configuration.utf8).write(to: folder.appendingPathComponent("tokenizer_config.json"))
        let ids = try Tokenizer(contentsOf: folder).encode("Hello world").ids
        return (ids.first!, ids.last!)
      }
      #expect(try ends(#"{"tokenizer_class": "LlamaTokenizer"}"#).first == 1)
      #expect(try ends(#"{"tokenizer_class": "LlamaTokenizer", "add_bos_token": false}"#).first != 1)
      #expect(try ends(#"{"tokenizer_class": "T5Tokenizer"}"#).last == 2)
      #expect(try ends(#"{"tokenizer_class": "LlamaTokenizer", "add_eos_token": true}"#).last == 2)
    }
  }

  @Test(
    "of XLM-R and CamemBERT a SentencePiece model alone gives transformers' ids; of tokenizers with other orders it is refused by name"
  )
  func fairseq() throws {
    try withTemporaryDirectory { folder in
      let model = TokenizerKindsTests.kinds.appendingPathComponent("model-symbols/tokenizer.model")
      try FileManager.default.copyItem(at: model, to: folder.appendingPathComponent("sentencepiece.bpe.model"))
      func tokenizer(_ name: String) throws -> Tokenizer {
        try Data(#"{"tokenizer_class": "\#(name)"}"#.utf8).write(
          to: folder.appendingPathComponent("tokenizer_config.json"))
        return try Tokenizer(contentsOf: folder)
      }
      // By transformers 5.24.0 from this file and this class.
      for (name, texts, pair) in [
        (
          "CamembertTokenizer",
          [
            "Hello world": [5, 185, 59, 18, 169, 145, 6], "the fox ½": [5, 19, 11, 31, 18, 283, 11, 3, 294, 6],
            "日": [5, 11, 3, 6], " a  b <mask> c": [5, 32, 68, 304, 11, 46, 6],
          ], [5, 185, 59, 18, 6, 6, 169, 145, 6]
        ),
        (
          "XLMRobertaTokenizer",
          [
            "Hello world": [0, 182, 56, 15, 166, 142, 2], "the fox ½": [0, 16, 8, 28, 15, 280, 8, 3, 291, 2],
            "日": [0, 8, 3, 2], " a  b <mask> c": [0, 29, 65, 301, 8, 43, 2],
          ], [0, 182, 56, 15, 2, 2, 166, 142, 2]
        ),
      ] as [(String, [String: [Int32]], [Int32])] {
        let tokenizer = try tokenizer(name)
        for (text, ids) in texts { #expect(tokenizer.encode(text).ids == ids, "\(name): \(text)") }
        #expect(tokenizer.encode("Hello", and: "world").ids == pair, "\(name)")
      }
      for name in ["MBartTokenizer", "MBart50Tokenizer", "PegasusTokenizer", "AlbertTokenizer", "XLNetTokenizer"] {
        let error = #expect(throws: TokenizerError.self) { try tokenizer(name) }
        #expect("\(error!)".contains("is the SentencePiece model of a \(name)"), "\(error!)")
      }
    }
  }

  @Test("a SentencePiece model that is cut off anywhere is an error or a tokenizer, never a crash")
  func cutOff() throws {
    let model = TokenizerKindsTests.kinds.appendingPathComponent("model-symbols/tokenizer.model")
    let bytes = [UInt8](try Data(contentsOf: model))
    try withTemporaryDirectory { folder in
      let file = folder.appendingPathComponent("tokenizer.model")
      for count in stride(from: 0, to: bytes.count, by: 97) {
        try Data(bytes[..<count]).write(to: file)
        if let tokenizer = try? Tokenizer(contentsOf: folder) { _ = tokenizer.encode("Hello ½ world").ids }
      }
      try Data("no model".utf8).write(to: file)
      let error = #expect(throws: TokenizerError.self) { try Tokenizer(contentsOf: folder) }
      #expect(error?.file == file.path)
    }
  }

  @Test(
    "ids and texts are Python's, for each kind and text", .enabled(if: madeKinds != nil, "needs LORA_TOKENIZER_KINDS"))
  func made() throws {
    let folder = try #require(madeKinds)
    let texts = try #require(json(folder.appendingPathComponent("texts.json")).strings)
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0 != "texts.json" }.sorted()
    var equal = 0
    for name in names {
      do {
        let (count, shown) = try differences(folder.appendingPathComponent(name), texts)
        equal += count == 0 ? 1 : 0
        #expect(count == 0, "\(name): \(count) differ: \(shown.joined(separator: "\n    "))")
      } catch {
        Issue.record("\(name): \(error)")
      }
    }
    print("\(equal) of \(names.count) kinds are equal on \(texts.count) texts")
  }
}
