// Option values at their limits, and two programs that write to one place.

import Foundation
import LoRAKit
import TestSupport
import Testing

@Suite("Limits") struct LimitTests {
  /// 0, negative, the largest, one beyond it, no number.
  private static let integers = ["0", "-1", "\(Int.max)", "\(Int.min)", "99999999999999999999", "x", ""]
  private static let numbers = ["0", "-1", "nan", "inf", "-inf", "1e-300", "1e300", "3.4e38", "x", ""]

  /// A command, and an option of it with the values to try.
  struct Case: CustomTestStringConvertible, Sendable {
    let line: String
    let option: String
    let values: [String]
    var testDescription: String { "\(line) --\(option)" }

    init(_ line: String, _ option: String, _ values: [String]) {
      (self.line, self.option, self.values) = (line, option, values)
    }
  }

  private static func cases(_ line: String, integers names: String = "", numbers others: String = "") -> [Case] {
    names.split(separator: " ").map { Case(line, String($0), integers) }
      + others.split(separator: " ").map { Case(line, String($0), numbers) }
  }

  static let all =
    cases("digits --steps 1 --hidden 4,4", integers: "batch-size epochs rank digit", numbers: "alpha learning-rate")
    + [
      Case("digits --steps 1", "steps", ["0", "-1", "99999999999999999999"]),
      Case("digits --steps 1", "hidden", ["0,0", "-1,3", "\(Int.max),3", "3", "x", "4,4,4"]),
      Case("svd BASE", "rank", integers + ["0,1", "1,,2", "1,99999"]),
      Case("extract BASE TUNED -o OUT", "budget", integers + ["1e300MB", "-5MB", "99999999999GB", "nanMB"]),
      Case("convert PLAIN --to kohya -o OUT", "kohya-prefix", ["", "a\u{7}b", String(repeating: "x", count: 5000)]),
      Case("merge LLAMA PLAIN -o OUT", "threads", integers),
      Case("generate --model DECODER --prompt a --tokens 2", "prompt", ["", String(repeating: "the ", count: 20_000)]),
    ]
    + cases("svd BASE", numbers: "energy")
    + cases("extract BASE TUNED -o OUT", integers: "rank", numbers: "energy")
    + cases("extract BASE TUNED -o OUT --rank 2", integers: "max-rank power-iterations seed")
    + cases("resize PLAIN -o OUT", integers: "rank", numbers: "energy ratio cumulative")
    + cases("combine PLAIN PLAIN -o OUT --method svd", integers: "rank")
    + cases("combine PLAIN PLAIN -o OUT --method ties", numbers: "density")
    + cases("average PLAIN PLAIN -o OUT", integers: "rank")
    + cases("convert PLAIN --to lora -o OUT", integers: "rank")
    + cases(
      "generate --model DECODER --prompt a --tokens 2", integers: "tokens top-k seed",
      numbers: "temperature top-p min-p repetition-penalty")
    + cases("embed --model ENCODER fox", integers: "length")
    + cases("evaluate --model DECODER --data TEXT", integers: "length")

  @Test(
    "a value at an option's limit is used, or refused in words that say which: no crash, no long wait", arguments: all)
  func limits(_ item: Case) throws {
    let folder = try TemporaryFolder()
    let place = try Workplace()
    let paths = [
      "BASE": Self.single.path, "TUNED": try tuned(in: folder).path, "PLAIN": Self.adapter("plain"),
      "LLAMA": Self.adapter("llama"), "OUT": folder.file("out").path, "ENCODER": place.encoder,
      "DECODER": place.decoder, "TEXT": folder.file("text.txt").path,
    ]
    try Data("the quick fox jumps over it. ".utf8).write(to: folder.file("text.txt"))
    for value in item.values {
      let arguments = item.line.split(separator: " ").map { paths[String($0)] ?? String($0) }
      let start = Date()
      let run = try CommandRun(arguments + ["--\(item.option)=\(value)"], in: folder.url)
      #expect([0, 1, 64].contains(run.exitCode), "\(value.prefix(40)): \(run.exitCode) \(run.errors.suffix(300))")
      #expect(run.exitCode == 0 || !run.errors.isEmpty)
      if run.exitCode == 64 {
        #expect(run.errors.contains(item.option), "\(value.prefix(40)): \(run.errors.prefix(300))")
      }
      #expect(Date().timeIntervalSince(start) < 60, "\(value.prefix(40))")
      if run.exitCode != 0 { #expect(!FileManager.default.fileExists(atPath: paths["OUT"]!), "\(value.prefix(40))") }
      try? FileManager.default.removeItem(atPath: paths["OUT"]!)
    }
  }

  @Test("a weight of an adapter that is no number is refused", arguments: ["nan", "inf", "1e39", "x", ""])
  func weights(_ weight: String) throws {
    let folder = try TemporaryFolder()
    let plain = Self.adapter("plain")
    for arguments in [
      ["merge", Self.adapter("llama"), "\(plain):\(weight)"], ["combine", "\(plain):\(weight)", plain],
      ["unmerge", Self.adapter("llama"), "\(plain):\(weight)"],
    ] {
      let run = try CommandRun(arguments + ["-o", folder.file("out").path])
      #expect([1, 64].contains(run.exitCode) && !run.errors.isEmpty, "\(arguments[0]): \(run.exitCode) \(run.errors)")
      #expect(!FileManager.default.fileExists(atPath: folder.file("out").path))
    }
  }

  @Test("of programs that write to one place at once, one's output is there whole, and nothing else of any")
  func writers() throws {
    let folder = try TemporaryFolder()
    let out = folder.file("out")
    for round in 0..<4 {
      let ranks = [1, 2, 1, 2]
      let processes = try ranks.map { rank in
        let process = Process()
        process.executableURL = CommandRun.program
        process.arguments = [
          "resize", Self.adapter("plain"), "--rank", "\(rank)", "-o", out.path, "--force", "--quiet",
        ]
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        return process
      }
      for process in processes { process.waitUntilExit() }
      let codes = processes.map(\.terminationStatus)
      #expect(codes.allSatisfy { $0 == 0 || $0 == 1 } && codes.contains(0), "\(round): \(codes)")
      let adapter = try StoredAdapter(contentsOf: out)
      #expect(Set(adapter.modules.map(\.rank)) == [adapter.configuration.rank])
      _ = try succeed(["check", out.path, "--base", Self.adapter("llama")])
      _ = try succeed(["resize", Self.adapter("plain"), "--rank", "1", "-o", out.path, "--force", "--quiet"])
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder.url.path) == ["out"])
    }
  }

  // MARK: Inputs

  private static let single = fixtures.appendingPathComponent("cases/adapters/single-file/base.safetensors")
  private static func adapter(_ name: String) -> String {
    fixtures.appendingPathComponent("cases/adapters/\(name)").path
  }

  /// The base with random changes.
  private func tuned(in folder: TemporaryFolder) throws -> URL {
    var generator = SeededGenerator(seed: 3)
    let tensors = try SafetensorsFile(Self.single).tensors.map { stored in
      let value = try stored.tensor()
      return try StoredTensor(
        name: stored.name, value + Tensor.normal(value.shape, deviation: 0.1, using: &generator), as: stored.format)
    }
    try SafetensorsWriter.write(tensors, to: folder.file("tuned.safetensors"))
    return folder.file("tuned.safetensors")
  }
}
