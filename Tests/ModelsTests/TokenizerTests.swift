import Foundation
import LoRAFiles
import LoRAModels
import TestSupport
import Testing

// Tokenizers against Python `tokenizers`: whole ones (trained by Tests/Fixtures/models/make_tokenizers.py, and those of
// real models) and each part by itself.

private let folder = fixtures.appendingPathComponent("models")

private func read<T: Decodable>(_ type: T.Type, _ url: URL) throws -> T {
  try JSONDecoder().decode(type, from: Data(contentsOf: url))
}

/// Byte by byte: Swift's `==` on strings takes canonically equivalent ones for equal.
private func identical(_ a: String, _ b: String) -> Bool { a.utf8.elementsEqual(b.utf8) }

private struct Case: Decodable {
  var text: String
  var ids: [Int32]
  var plain: [Int32]
  var decoded: String
  var whole: String
}

@Suite("Tokenizers")
struct TokenizerTests {
  @Test(
    "ids and text are those of Python tokenizers",
    arguments: ["gpt2", "llama3", "qwen2", "smollm", "metaspace", "wordpiece"])
  func agreesWithPython(name: String) throws {
    let tokenizer = try Tokenizer(contentsOf: folder.appendingPathComponent("tokenizer-\(name).json"))
    let cases = try read([Case].self, folder.appendingPathComponent("tokenizer-\(name)-cases.json"))
    #expect(cases.count > 50)
    for item in cases {
      #expect(tokenizer.encode(item.text).ids == item.ids, "\(item.text.debugDescription)")
      #expect(
        tokenizer.encode(item.text, addingSpecialTokens: false).ids == item.plain, "\(item.text.debugDescription)")
      #expect(identical(tokenizer.decode(item.ids), item.decoded), "\(item.text.debugDescription)")
      #expect(identical(tokenizer.decode(item.ids, skippingSpecialTokens: false), item.whole))
    }
    // All at once, over several threads and with remembered words, gives the same.
    let many = (0..<40).flatMap { _ in cases }
    #expect(tokenizer.encode(many.map(\.text)).map(\.ids) == many.map(\.ids))
  }

  private struct Reference: Decodable {
    struct Case: Decodable {
      var text: String
      var ids: [Int32]
      var decoded: String?
    }
    var cases: [Case]
  }

  @Test(
    "real models' reference strings give their ids", .enabled(if: sharedData != nil, "needs shared/data"),
    arguments: ["all-MiniLM-L6-v2", "stories260K"])
  func realModels(name: String) throws {
    let model = try #require(sharedData).appendingPathComponent("models/\(name)")
    let tokenizer = try Tokenizer(contentsOf: model)
    let reference = try read(Reference.self, model.appendingPathComponent("tokenizer-reference.json"))
    #expect(!reference.cases.isEmpty)
    for item in reference.cases {
      #expect(tokenizer.encode(item.text).ids == item.ids, "\(item.text.debugDescription)")
      if let decoded = item.decoded { #expect(identical(tokenizer.decode(item.ids), decoded)) }
    }
  }

  @Test("special tokens have the roles that tokenizer_config.json gives", .enabled(if: sharedData != nil))
  func roles() throws {
    let models = try #require(sharedData).appendingPathComponent("models")
    let bert = try Tokenizer(contentsOf: models.appendingPathComponent("all-MiniLM-L6-v2"))
    #expect(
      bert.special == SpecialTokens(padding: 0, unknown: 100, classification: 101, separator: 102, mask: 103))
    #expect(bert.idBound == 30522)
    let llama = try Tokenizer(contentsOf: models.appendingPathComponent("stories260K"))
    #expect(llama.special == SpecialTokens(beginning: 1, end: 2, unknown: 0))
    #expect(llama.token(403) == "▁Once" && llama.id(of: "▁Once") == 403 && llama.token(512) == nil)
  }

  // MARK: Parts

  private struct Parts: Decodable {
    struct Pair: Decodable {
      var tokenizer: String
      var first: String
      var second: String
      var length: Int?
      var ids: [Int32]
      var segments: [Int32]
      var single: [Int32]
    }
    var pairs: [Pair]
  }

  /// The parts under `name`: each with its cases, [input, output].
  private func parts(_ name: String) throws -> [(part: TokenizerComponent, cases: [[Any]])] {
    let data = try Data(contentsOf: folder.appendingPathComponent("tokenizer-parts.json"))
    let all = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    let list = try #require(all[name] as? [[String: Any]])
    #expect(list.count > 8)
    return try list.map {
      let part = try JSONSerialization.data(withJSONObject: try #require($0["part"]))
      return (
        try TokenizerComponent(try JSON(parsing: String(decoding: part, as: UTF8.self)), place: name),
        try #require($0["cases"] as? [[Any]])
      )
    }
  }

  @Test("each normalizer gives Python's text")
  func normalizers() throws {
    for (part, cases) in try parts("normalizers") {
      let normalizer = try Normalizer(part)
      for item in cases {
        let text = try #require(item[0] as? String)
        var bytes = Array(text.utf8)
        normalizer.apply(to: &bytes)
        #expect(bytes == Array((item[1] as! String).utf8), "\(part.type) of \(text.debugDescription)")
      }
    }
  }

  @Test("each pre-tokenizer cuts where Python does")
  func preTokenizers() throws {
    for (part, cases) in try parts("pre_tokenizers") {
      let preTokenizer = try PreTokenizer(part)
      let spelled = try PreTokenizer.endsWithBytes(part)
      for item in cases {
        let text = try #require(item[0] as? String)
        var pieces = TextPieces(Array(text.utf8))
        preTokenizer.apply(to: &pieces)
        let found = pieces.ranges.map { range -> [UInt8] in
          guard spelled else { return Array(pieces.bytes[range]) }
          return pieces.bytes[range].flatMap { byte in
            // GPT-2's alphabet, written a second time.
            let character: Int =
              switch byte {
              case 0x00...0x20: 256 + Int(byte)
              case 0x7F...0xA0: 256 + 33 + Int(byte) - 0x7F
              case 0xAD: 256 + 67
              default: Int(byte)
              }
            return Array(String(Unicode.Scalar(character)!).utf8)
          }
        }
        let expected = (item[1] as! [String]).map { Array($0.utf8) }.filter { !$0.isEmpty }
        #expect(found == expected, "\(part.type) of \(text.debugDescription)")
      }
    }
  }

  @Test("each decoder gives Python's text")
  func decoders() throws {
    for (part, cases) in try parts("decoders") {
      let decoder = try TokenDecoder(part)
      for item in cases {
        let tokens = (item[0] as! [String]).map { Array($0.utf8) }
        let text = decoder.text(of: tokens)
        #expect(identical(text, item[1] as! String), "\(part.type) of \(item[0]): \(text), not \(item[1])")
      }
    }
  }

  @Test("pairs, segments and truncation are Python's")
  func pairs() throws {
    for pair in try read(Parts.self, folder.appendingPathComponent("tokenizer-parts.json")).pairs {
      let tokenizer = try Tokenizer(contentsOf: folder.appendingPathComponent("tokenizer-\(pair.tokenizer).json"))
      let encoding = tokenizer.encode(pair.first, and: pair.second, maximumLength: pair.length)
      #expect(encoding.ids == pair.ids, "\(pair)")
      #expect(encoding.segments == pair.segments, "\(pair)")
      let single = tokenizer.encode(pair.second, maximumLength: pair.length)
      #expect(single.ids == pair.single, "\(pair)")
      #expect(single.removedCount == tokenizer.encode(pair.second).ids.count - single.ids.count)
    }
  }

  @Test("of a pair that is too long the longer text loses first, and the longer one keeps the odd token, as in Python")
  func kept() {
    // tokenizers' enable_truncation(room, strategy="longest_first") on texts of so many words.
    for (first, second, room, expected) in [
      (10, 6, 7, (4, 3)), (6, 10, 7, (3, 4)), (6, 6, 7, (3, 4)), (9, 2, 8, (6, 2)), (2, 9, 8, (2, 6)),
      (4, 4, 8, (4, 4)),
      (5, 12, 9, (4, 5)), (0, 9, 4, (0, 4)),
    ] { #expect(Tokenizer.kept(first, second, room: room) == expected, "\(first), \(second) in \(room)") }
  }

  @Test("a known word pattern cuts as its regular expression does", arguments: WordPattern.allCases)
  func wordPatterns(pattern: WordPattern) throws {
    var random = SystemRandomNumberGenerator()
    let alphabet = Array("aZé漢1½ \n\r\t\u{A0}'sStrRvelLmd.,!-_😀\u{301}ſ".unicodeScalars)
    let expression = try NSRegularExpression(pattern: pattern.expression)
    for _ in 0..<2000 {
      var scalars = String.UnicodeScalarView()
      for _ in 0..<Int.random(in: 1...12, using: &random) { scalars.append(alphabet.randomElement(using: &random)!) }
      let text = String(scalars)
      var pieces = TextPieces(Array(text.utf8))
      PreTokenizer.split(.words(pattern), .isolated).apply(to: &pieces)
      let expected = expression.matches(in: text, range: NSRange(location: 0, length: text.utf16.count)).map {
        Array(String(decoding: Array(text.utf16)[Range($0.range)!], as: UTF16.self).utf8)
      }
      #expect(pieces.ranges.map { Array(pieces.bytes[$0]) } == expected, "\(text.debugDescription)")
    }
  }

  // MARK: Batches

  @Test("a batch pads its rows to one width, at the end that is asked for")
  func batches() {
    let rows = [[1, 2, 3], [4], []].map { Encoding(ids: $0, segments: $0.map { _ in 1 }, removedCount: 0) }
    let right = TokenBatch(rows, padding: 9)
    #expect(right.ids == [1, 2, 3, 4, 9, 9, 9, 9, 9] && right.columns == 3 && right.lengths == [3, 1, 0])
    #expect(right.segments == [1, 1, 1, 1, 0, 0, 0, 0, 0])
    let left = TokenBatch(rows, padding: 9, side: .left, multiple: 4)
    #expect(left.ids == [9, 1, 2, 3, 9, 9, 9, 4, 9, 9, 9, 9] && left.columns == 4)
  }

  // MARK: Bad input

  /// A file with one part replaced.
  private func file(_ changes: [String: Any], model: [String: Any] = [:]) throws -> [UInt8] {
    var small: [String: Any] = ["type": "BPE", "vocab": ["a": 0, "b": 1, "ab": 2], "merges": [["a", "b"]]]
    small.merge(model) { $1 }
    var all: [String: Any] = ["model": small, "added_tokens": [[String: Any]]()]
    all.merge(changes) { $1 }
    return [UInt8](try JSONSerialization.data(withJSONObject: all))
  }

  @Test("both spellings of merges are read")
  func merges() throws {
    #expect(try Tokenizer(json: file([:])).encode("abba").ids == [2, 1, 0])
    #expect(try Tokenizer(json: file([:], model: ["merges": ["a b"]])).encode("abba").ids == [2, 1, 0])
  }

  @Test("tokens that are canonically equivalent stay two")
  func canonicalEquivalence() throws {
    // é as one scalar, and as e with an accent.
    let json = #"{"model":{"type":"BPE","vocab":{"\u00e9":0,"e":1,"\u0301":2,"e\u0301":3},"merges":[["e","\u0301"]]}}"#
    let tokenizer = try Tokenizer(json: Array(json.utf8))
    #expect(tokenizer.encode("\u{E9}e\u{301}").ids == [0, 3])
  }

  @Test("what is not supported is named, with its place")
  func unsupported() throws {
    func message(_ bytes: [UInt8]) -> String {
      do {
        _ = try Tokenizer(json: bytes)
        return ""
      } catch { return "\(error)" }
    }
    let other: [String: Any] = ["type": "Sequence", "normalizers": [["type": "NFC"], ["type": "Other"]]]
    #expect(
      message(try file(["normalizer": other])).hasPrefix(
        "tokenizer.json: normalizer.normalizers[1]: the type “Other” is not supported, expected "))
    #expect(
      message(try file(["normalizer": ["type": "Precompiled", "precompiled_charsmap": "/w8AAAA="]])).contains(
        "“precompiled_charsmap” is damaged, expected a map of characters"))
    #expect(message(try file(["pre_tokenizer": ["type": "Other"]])).contains("“Other”"))
    #expect(message(try file(["pre_tokenizer": ["type": "FixedLength", "length": 0]])).contains("“length” is 0"))
    #expect(message(try file(["decoder": ["type": "Other"]])).contains("decoder: the type “Other”"))
    #expect(message(try file(["post_processor": ["type": "Other"]])).contains("“Other”"))
    #expect(message(try file([:], model: ["type": "Other"])).contains("model: the type “Other”"))
    #expect(message(try file([:], model: ["type": "Unigram"])).contains("“vocab” is no list of tokens"))
    #expect(
      message(try file([:], model: ["type": "Unigram", "vocab": [["a", -1.0]], "unk_id": 1])).contains("“unk_id” is 1"))
    #expect(message(try file([:], model: ["type": "Unigram", "vocab": [["a"]]])).contains("no token with its score"))
    #expect(message(try file([:], model: ["dropout": 0.1])).contains("“dropout”"))
    #expect(message(try file([:], model: ["merges": [["a", "c"]]])).contains("model.merges[0]: the token “c”"))
    #expect(
      message(try file([:], model: ["merges": [["b", "a"]]])).contains("model.merges[0]: the token “ba”"))
    #expect(message(try file([:], model: ["merges": ["a b c"]])).contains("a merge is no pair of tokens"))
    #expect(
      message(try file([:], model: ["type": "WordPiece"])).contains(
        "the unknown token “[UNK]” is not in the vocabulary"))
    #expect(
      message(try file(["pre_tokenizer": ["type": "Split", "pattern": ["Regex": "("], "behavior": "Isolated"]]))
        .contains("can't be read"))
    #expect(message(try file(["pre_tokenizer": ["type": "Split", "pattern": ["Other": "x"]]])).contains("pattern"))
    #expect(message(Array("{}".utf8)).hasPrefix("tokenizer.json: lacks “model”, expected an object. Take "))
    // Each is harmless alone; thirty would make 10³⁰ bytes of one.
    let growing: [String: Any] = ["type": "Replace", "pattern": ["String": "a"], "content": "aaaaaaaaaa"]
    let steps = Array(repeating: growing, count: 30)
    #expect(
      message(try file(["normalizer": ["type": "Sequence", "normalizers": steps]])).contains(
        "bytes of one, expected at most 1000"))
    #expect(
      message(try file(["decoder": ["type": "Sequence", "decoders": steps]])).contains("decoder: its replacements"))
    let text = ["Sequence": ["id": "A", "type_id": 0] as [String: Any]]
    let twice: [String: Any] = [
      "type": "TemplateProcessing", "single": [text, text], "pair": [String](), "special_tokens": [String: String](),
    ]
    #expect(message(try file(["post_processor": twice])).contains("the sequence “A” more than once"))
  }

  @Test("a damaged file is an error wherever it is cut off")
  func damaged() throws {
    let whole = [UInt8](try Data(contentsOf: folder.appendingPathComponent("tokenizer-metaspace.json")))
    for length in stride(from: 0, to: whole.count - 2, by: 37) {
      #expect(throws: TokenizerError.self) { try Tokenizer(json: Array(whole[..<length])) }
    }
    #expect(throws: TokenizerError.self) { try Tokenizer(contentsOf: fixtures.appendingPathComponent("nowhere")) }
  }
}

@Suite("Patterns of tokenizers") struct TokenizerPatternTests {
  @Test("one that backtracks without end is refused; those of real tokenizers are not")
  func backtracking() throws {
    for pattern in ["(a+)+b", "(x|xx)+y", "([a-z]+)*1", "(\\p{L}+\\s?)+$", "(.*.*)*=z"] {
      #expect(TextPattern.backtracks(try NSRegularExpression(pattern: pattern)), "\(pattern)")
    }
    let gpt = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
    for pattern in [gpt, "\\p{N}{1,3}", " {2,}", "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\s*[\\r\\n]+", "(?i:a|b)+c?"] {
      #expect(!TextPattern.backtracks(try NSRegularExpression(pattern: pattern)), "\(pattern)")
    }
  }
}
