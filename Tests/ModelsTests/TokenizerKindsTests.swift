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
