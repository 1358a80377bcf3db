// Texts of more tokens than a model reads at once, and texts of none.
import Foundation
import LoRAModels
import LoRANetworks
import LoRATensors
import TestSupport
import Testing

private let folder = fixtures.appendingPathComponent("models")

/// The small encoder (40 positions) with the word-piece tokenizer, in a folder of its own.
private func encoder() throws -> TemporaryFolder {
  let place = try TemporaryFolder()
  for name in ["config.json", "model.safetensors"] {
    try FileManager.default.copyItem(
      at: folder.appendingPathComponent("small-encoder/\(name)"), to: place.file(name))
  }
  try FileManager.default.copyItem(
    at: folder.appendingPathComponent("tokenizer-wordpiece.json"), to: place.file("tokenizer.json"))
  return place
}

private let long = String(repeating: "the quick brown fox jumps over the lazy dog ", count: 3) + "and the reader"

@Suite("Long texts and empty ones")
struct LongTextTests {
  private struct Case: Decodable {
    var tokenizer: String
    var text: String
    var length: Int
    var overlap: Int
    var windows: [[Int32]]
    var segments: [[Int32]]
  }

  @Test("windows are those of Python's truncation with a stride")
  func pythonWindows() throws {
    let data = try Data(contentsOf: folder.appendingPathComponent("tokenizer-windows.json"))
    let cases = try JSONDecoder().decode([Case].self, from: data)
    #expect(cases.count { $0.windows.count > 2 } > 20)
    for item in cases {
      let tokenizer = try Tokenizer(contentsOf: folder.appendingPathComponent("tokenizer-\(item.tokenizer).json"))
      let windows = tokenizer.encode([item.text], inWindowsOf: item.length, overlap: item.overlap)[0]
      #expect(windows.map(\.ids) == item.windows, "\(item.text.debugDescription)")
      #expect(windows.map(\.segments) == item.segments, "\(item.text.debugDescription)")
    }
  }

  @Test(
    "a text of megabytes has the tokens that it has as a whole, though it is cut up on the way",
    arguments: ["wordpiece", "smollm", "metaspace", "llama3", "gpt2"])
  func pieces(name: String) throws {
    let tokenizer = try Tokenizer(contentsOf: folder.appendingPathComponent("tokenizer-\(name).json"))
    // A text again and again adds the same tokens again and again, once it does for a few times (beyond the length from which WordPiece knows no word).
    var compared = 0
    for unit in ["the quick  brown fox,\njumps — über 漢字 ", "漢字", "aé"] {
      func ids(_ count: Int) -> [Int32] {
        tokenizer.encode(String(repeating: unit, count: count), addingSpecialTokens: false).ids
      }
      let few = (200...204).map(ids)
      let added = Array(few[1].dropFirst(few[0].count))
      guard zip(few, few.dropFirst()).allSatisfy({ $1 == $0 + added }) else { continue }
      let count = 5_000_000 / unit.utf8.count
      let expected = few[4] + Array(repeating: added, count: count - 204).joined()
      // No array in the expectation, whose differences would be worked out.
      let found = ids(count)
      let same = zip(found, expected).prefix { $0 == $1 }.count
      #expect(same == expected.count && found.count == expected.count, "\(unit): \(same) of \(expected.count) tokens")
      compared += 1
    }
    #expect(compared > 0)
  }

  @Test("texts in windows keep their order and their account: how many, in how many windows, which are blank")
  func account() throws {
    let tokenizer = try Tokenizer(contentsOf: folder.appendingPathComponent("tokenizer-wordpiece.json"))
    let texts = ["a fox", long, "", " \t\u{0}", "the dog"]
    let windows = try EncodedTexts(texts, tokenizer: tokenizer, length: 12, longTexts: .windows)
    let own = tokenizer.encode(long, addingSpecialTokens: false).ids.count
    // [CLS] and [SEP] leave room for 10 tokens, and each window begins 8 after the one before.
    let expected = 1 + (own - 10 + 7) / 8
    #expect(windows.count == 5 && windows.longCount == 1 && windows.longWindowCount == expected)
    #expect(try (0..<5).map { try windows.sequences(of: $0).count } == [1, expected, 1, 1, 1])
    #expect(windows.blankTexts == [2, 3] && windows.blankCount == 2)
    let each = tokenizer.encode(texts, inWindowsOf: 12, overlap: 2)
    #expect(try (0..<5).map(windows.sequences) == each)
    // The longest text, and the two next, which have four tokens with [CLS] and [SEP].
    #expect(windows.mostTokens(of: 3) == each[1].reduce(8) { $0 + $1.ids.count })
    let cut = try EncodedTexts(texts, tokenizer: tokenizer, length: 12)
    #expect(cut.count == 5 && cut.longCount == 1 && cut.longWindowCount == 0)
    #expect(try cut.sequences(of: 1).map(\.ids) == [each[1][0].ids] && each[1][0].ids.count == 12)
    #expect(throws: TokenizerError.self) { try EncodedTexts(texts, tokenizer: tokenizer, length: 2) }
  }

  @Test("a long text's logits are the mean of its windows', also for the gradient; a short text's are its own")
  func logits() throws {
    let place = try encoder()
    let classifier = try TextClassifier(
      model: place.url, labels: ["a", "b", "c"], maximumLength: 12, longTexts: .windows, seed: 3)
    let texts = try classifier.encode(["a fox", long, "the dog"])
    let predictions = try classifier.predict(texts, rows: 20)
    let ids = classifier.tokenizer.encode([long], inWindowsOf: 12, overlap: 2)[0].map { $0.ids.map(Int.init) }
    #expect(ids.count > 3)
    let each = ids.map { classifier.model(TokenRows(ids: [$0])).scalars }
    for label in 0..<3 {
      let mean = each.reduce(0) { $0 + $1[label] } / Float(ids.count)
      #expect(abs(predictions[1].logits[label] - mean) < 1e-5)
    }
    let alone = try TextClassifier(model: place.url, labels: ["a", "b", "c"], seed: 3).predict(["a fox", "the dog"])
    for (a, b) in zip([predictions[0], predictions[2]], alone) {
      for (x, y) in zip(a.logits, b.logits) { #expect(abs(x - y) < 1e-5) }
    }
    // As a training step sees them, in any order.
    let trained = try classifier.logits(of: texts, at: [2, 1])
    for (found, expected) in zip(trained.scalars, predictions[2].logits + predictions[1].logits) {
      #expect(abs(found - expected) < 1e-5)
    }
    // d mean/dW of the classifier is the mean of the windows' pooled vectors: each window counts 1/n.
    let item = NamedParameter(name: "bias", parameter: classifier.model.output.bias!)
    let (_, gradients) = try [item].valueAndGradients { try classifier.logits(of: texts, at: [1]).sum() }
    for value in try #require(gradients[item.parameter]).scalars { #expect(abs(value - 1) < 1e-5) }
  }

  @Test("a long text's embedding is the mean over its tokens, each counted once however many windows hold it")
  func embedding() throws {
    let place = try encoder()
    let embedder = try SentenceEmbedder(model: place.url, maximumLength: 12, longTexts: .windows)
    let found = try embedder.embed(["a fox", long])
    let ids = embedder.tokenizer.encode([long], inWindowsOf: 12, overlap: 2)[0].map { $0.ids.map(Int.init) }
    // The vectors of each token by its place in the text; [CLS] at −1, [SEP] at −2.
    var vectors: [Int: [[Float]]] = [:]
    for (window, ids) in ids.enumerated() {
      let hidden = embedder.model(TokenRows(ids: [ids]))
      for row in ids.indices {
        let token = row == 0 ? -1 : row == ids.count - 1 ? -2 : 8 * window + row - 1
        vectors[token, default: []].append(hidden.sliced(axis: 0, row..<(row + 1)).scalars)
      }
    }
    #expect(vectors.values.contains { $0.count == 2 })
    let size = embedder.model.description.hidden
    var mean = [Double](repeating: 0, count: size)
    for copies in vectors.values {
      for copy in copies { for place in 0..<size { mean[place] += Double(copy[place]) / Double(copies.count) } }
    }
    let norm = mean.reduce(0) { $0 + $1 * $1 }.squareRoot()
    for (a, b) in zip(found[1], mean) { #expect(abs(Double(a) - b / norm) < 1e-5) }
    // A text that fits has the model's own embedding.
    let short = embedder.model.sentenceEmbeddings(TokenRows(embedder.tokenizer.encode(["a fox"])))
    for (a, b) in zip(found[0], short.scalars) { #expect(abs(a - b) < 1e-5) }
  }

  @Test("a text without any token is an error that says which")
  func noTokens() throws {
    // A tokenizer that adds no special tokens.
    let place = try encoder()
    let json = try String(contentsOf: place.file("tokenizer.json"), encoding: .utf8)
    let start = try #require(json.range(of: "\"post_processor\""))
    let end = try #require(json.range(of: "\"decoder\""))
    try (json[..<start.lowerBound] + "\"post_processor\": null, " + json[end.lowerBound...]).write(
      to: place.file("tokenizer.json"), atomically: true, encoding: .utf8)
    for longTexts in LongTexts.allCases {
      let embedder = try SentenceEmbedder(model: place.url, longTexts: longTexts)
      let error = #expect(throws: NoTokensError.self) { try embedder.embed(["", "a fox", "  "]) }
      #expect(error?.texts == [0, 2] && error?.description.contains("text 1, 3") == true)
      #expect(try embedder.embed(["a fox"]).count == 1)
    }
  }

  @Test("the nearest class mean is that of the cosines, from evenly spread examples")
  func nearestClassMean() {
    // Means: (1, 0) of class 0, (1, 1)/√2 of class 1, whose direction alone counts.
    let nearest = NearestClassMean(
      embeddings: [[1, 0], [1, 0], [1, 0], [0.6, 0.8], [0.8, 0.6]], labels: [0, 0, 0, 1, 1], classCount: 2)
    #expect([[1, 0.3], [0.5, 0.3], [0, 1]].map(nearest.label) == [0, 1, 1])
    let labels = [0, 1, 0, 0, 1, 0, 0, 0, 0]
    #expect(NearestClassMean.examples(of: labels, perClass: 3) == [0, 1, 3, 4, 6])
    #expect(NearestClassMean.examples(of: labels, perClass: 99) == Array(0..<9))
  }
}
