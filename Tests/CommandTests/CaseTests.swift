// Inputs that once went wrong, most of them reported in public by users of other tools: each with a command, and with
// what is right by peft, transformers, diffusers and LyCORIS (Fixtures/cases/cases.json).
//
// The cases of adapters and of broken files are in the repository. Those of image models and of language models' formats
// are larger; they run where ../shared/cases holds them.

import Foundation
import LoRAKit
import TestSupport
import Testing

struct CommandCase: Decodable, Sendable, CustomTestStringConvertible {
  let kind: String
  let name: String
  /// For bash, with `lora` in the path and $T an empty folder.
  let command: String
  /// Of its last command.
  let exit: Int32
  /// What it says, where it refuses.
  let says: String?
  /// A file or folder in $T, a file of what it should hold, and the part of a pipeline that it is.
  let expected: [String]?

  var testDescription: String { "\(kind). \(name): \(command)" }

  static let own = fixtures.appendingPathComponent("cases")
  static let shared = fixtures.appendingPathComponent("../../../shared/cases").standardizedFileURL
  static let all: [CommandCase] = {
    let data = FileManager.default.contents(atPath: own.appendingPathComponent("cases.json").path)
    return data.flatMap { try? JSONDecoder().decode([CommandCase].self, from: $0) } ?? []
  }()

  /// The folder that holds all that the command names; nil where none does.
  var root: URL? {
    let inputs = command.split(whereSeparator: " ;()|".contains).map(String.init)
      .filter { path in ["adapters/", "files/", "images/", "models/"].contains(where: path.hasPrefix) }
      .map { $0.replacingOccurrences(of: ":[0-9.]+$", with: "", options: .regularExpression) }
    return [Self.own, Self.shared].first { root in
      inputs.allSatisfy { FileManager.default.fileExists(atPath: root.appendingPathComponent($0).path) }
    }
  }
}

@Suite("Cases")
struct CaseTests {
  @Test("the table of cases is whole")
  func table() {
    #expect(CommandCase.all.count > 170)
    #expect(CommandCase.all.filter { $0.root == CommandCase.own }.count > 90)
  }

  @Test(
    "each ends as it should, writes what it should, and says what it should",
    arguments: CommandCase.all.filter { $0.root == CommandCase.own })
  func own(_ item: CommandCase) throws { try run(item) }

  @Test(
    "so does each whose inputs are larger",
    .enabled(if: FileManager.default.fileExists(atPath: CommandCase.shared.path), "needs ../shared/cases"),
    arguments: CommandCase.all.filter { $0.root != CommandCase.own })
  func shared(_ item: CommandCase) throws { try run(item) }

  private func run(_ item: CommandCase) throws {
    let root = try #require(item.root, "\(item.command) names what ../shared/cases lacks")
    let folder = try TemporaryFolder()
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/bash")
    // A sanitizer's shadow of the memory lies beyond any bound on addresses.
    let isSanitized = ProcessInfo.processInfo.environment["SANITIZER"] != nil
    process.arguments = ["-c", isSanitized ? item.command.replacing(#/ulimit -v \d+; /#, with: "") : item.command]
    process.currentDirectoryURL = root
    let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
    process.environment = [
      "PATH": CommandRun.program.deletingLastPathComponent().path + ":" + path, "T": folder.file("").path,
      "LANG": "C.UTF-8",
    ]
    let log = folder.file("log")
    try Data().write(to: log)
    let output = try FileHandle(forWritingTo: log)
    (process.standardOutput, process.standardError) = (output, output)
    try process.run()
    process.waitUntilExit()
    let text = String(decoding: try Data(contentsOf: log), as: UTF8.self)
    #expect(process.terminationReason == .exit && process.terminationStatus == item.exit, "\(text.suffix(800))")
    if let says = item.says { #expect(text.contains(says), "\(text.suffix(800))") }
    if let expected = item.expected {
      try compare(folder.file(expected[0]), root.appendingPathComponent(expected[1]), part: expected[2])
    }
  }

  /// Every tensor, or the logits, within rounding.
  private func compare(_ result: URL, _ expected: URL, part: String) throws {
    if expected.pathExtension == "json" {
      func logits(_ url: URL) throws -> [Double] { try readJSON(url)["logits"]?.array?.compactMap(\.number) ?? [] }
      let (found, right) = (try logits(result), try logits(expected))
      #expect(found.count == right.count && zip(found, right).allSatisfy { abs($0 - $1) < 1e-5 * max(1, abs($1)) })
      return
    }
    let found = try Checkpoint(result)
    var count = 0
    for tensor in try SafetensorsFile(expected).tensors {
      let parts = tensor.name.split(separator: "|", maxSplits: 1).map(String.init)
      // What has no part's name is the file's own.
      guard part == (parts.count == 2 ? parts[0] : "") || parts.count == 1 else { continue }
      let own = try #require(found[parts.last!], "\(tensor.name) is missing")
      count += 1
      let (x, y) = (own.numbers ?? [], tensor.numbers ?? [])
      let largest = y.map(abs).max() ?? 0
      let tolerance = own.format == .f32 ? 2e-6 : 2e-3
      #expect(
        own.shape == tensor.shape && !zip(x, y).contains { abs($0 - $1) > tolerance * max(largest, 1e-3) },
        "\(tensor.name)")
    }
    #expect(count > 0)
  }
}
