// Real text through Python `tokenizers` and ours. Runs where LORA_PYTHON names a Python that has the package.
import Foundation
import LoRAModels
import TestSupport
import Testing

private let python = ProcessInfo.processInfo.environment["LORA_PYTHON"]

@Suite(
  "Tokenizers against Python", .enabled(if: python != nil && sharedData != nil, "needs LORA_PYTHON and shared/data"))
struct TokenizerInteropTests {
  /// Every line of the real texts, and each again with marks of its own, more than 100,000.
  static func lines() throws -> [String] {
    let text = try #require(sharedData).appendingPathComponent("text")
    let files = [
      "sst2/train.tsv", "sst2/dev.tsv", "sst2/test.tsv", "banking77/train.csv", "banking77/test.csv",
      "corpora/alice.txt", "corpora/shakespeare.txt",
    ]
    let plain = try files.flatMap {
      String(decoding: try Data(contentsOf: text.appendingPathComponent($0)), as: UTF8.self)
        .split(omittingEmptySubsequences: false) { $0 == "\n" || $0 == "\r\n" }.map(String.init)
    }
    let marks = [
      "é", "  ", "\t", "İ", "漢字", "🙂", "123456", "don’t", "WE'LL", "e\u{301}", "\u{A0}", "<s>", "ñ", "...", "א",
    ]
    return plain
      + plain.enumerated().map { index, line in
        let words = line.split(separator: " ", omittingEmptySubsequences: false)
        let middle = words.count / 2
        return (words[..<middle] + [Substring(marks[index % marks.count])] + words[middle...]).joined(separator: " ")
      }
  }

  @Test(
    "ids are Python's on more than 100,000 lines of text",
    arguments: [
      "models/all-MiniLM-L6-v2", "models/stories260K", "tokenizer-gpt2", "tokenizer-llama3", "tokenizer-qwen2",
      "tokenizer-smollm", "tokenizer-metaspace", "tokenizer-wordpiece",
    ])
  func realText(name: String) throws {
    let file =
      name.hasPrefix("models/")
      ? try #require(sharedData).appendingPathComponent("\(name)/tokenizer.json")
      : fixtures.appendingPathComponent("models/\(name).json")
    let lines = try TokenizerInteropTests.lines()
    #expect(lines.count > 100_000)
    let expected = try pythonIDs(of: lines, [file.path])

    let clock = ContinuousClock()
    var tokenizer: Tokenizer!
    let loading = try clock.measure { tokenizer = try Tokenizer(contentsOf: file) }
    var encodings: [Encoding] = []
    let encoding = clock.measure { encodings = tokenizer.encode(lines) }
    print("\(name): read in \(loading), \(lines.count) lines in \(encoding)")

    compare(lines, encodings.map { TokenizerInteropTests.text($0.ids) }, expected)
  }

  @Test("windows of long texts are those of Python's truncation with a stride")
  func windows() throws {
    let file = try #require(sharedData).appendingPathComponent("models/all-MiniLM-L6-v2/tokenizer.json")
    let lines = try TokenizerInteropTests.lines()
    // Whole paragraphs, so that many have several windows.
    let texts = stride(from: 0, to: lines.count, by: 7).map {
      lines[$0..<min($0 + 7, lines.count)].joined(separator: " ")
    }
    let tokenizer = try Tokenizer(contentsOf: file)
    for (length, overlap) in [(64, 31), (16, 0), (128, 100)] {
      let windows = tokenizer.encode(texts, inWindowsOf: length, overlap: overlap)
      #expect(windows.count { $0.count > 2 } > 1000 || length == 128)
      compare(
        texts, windows.map { $0.map { TokenizerInteropTests.text($0.ids) }.joined(separator: " | ") },
        try pythonIDs(of: texts, [file.path, "\(length)", "\(overlap)"]))
    }
  }

  private static func text(_ ids: [Int32]) -> String { ids.map(String.init).joined(separator: " ") }

  private func compare(_ lines: [String], _ found: [String], _ expected: [Substring]) {
    var differences = 0
    for (index, line) in lines.enumerated() where found[index] != expected[index] {
      differences += 1
      if differences < 4 { Issue.record("\(line.debugDescription): \(found[index]) is not \(expected[index])") }
    }
    #expect(differences == 0)
  }

  private func pythonIDs(of lines: [String], _ arguments: [String]) throws -> [Substring] {
    let input = FileManager.default.temporaryDirectory.appendingPathComponent("lines-\(UUID()).txt")
    let output = FileManager.default.temporaryDirectory.appendingPathComponent("ids-\(UUID()).txt")
    defer { for url in [input, output] { try? FileManager.default.removeItem(at: url) } }
    try Data(lines.joined(separator: "\n").utf8).write(to: input)
    try Data().write(to: output)
    let process = Process()
    process.executableURL = URL(fileURLWithPath: try #require(python))
    process.arguments = [repositoryRoot.appendingPathComponent("Tests/Interop/tokenizer_ids.py").path] + arguments
    process.standardInput = try FileHandle(forReadingFrom: input)
    process.standardOutput = try FileHandle(forWritingTo: output)
    try process.run()
    process.waitUntilExit()
    try #require(process.terminationStatus == 0)
    return try String(contentsOf: output, encoding: .utf8).split(separator: "\n", omittingEmptySubsequences: false)
  }
}
