import Foundation
import LoRAKit
import TestSupport
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

@Suite struct ToolboxCommandTests {
  static func fixture(_ name: String) -> String { fixtures.appendingPathComponent("checkpoints/\(name)").path }
  private var base: String { Self.fixture("llama/base") }
  private var adapter: String { Self.fixture("llama/adapter") }

  @Test(
    "Wrong usage exits with 64 and says what is wrong",
    arguments: [
      (["extract", "a", "b"], "--rank"), (["extract", "a", "b", "--rank", "2", "--energy", "0.5"], "Choose one"),
      (["extract", "a", "b", "--rank", "0"], "at least 1"), (["extract", "a", "b", "--energy", "1.5"], "share"),
      (["extract", "a", "b", "--budget", "much"], "budget"), (["resize", "a"], "Choose one"),
      (["resize", "a", "--rank", "0"], "1 to 65536"), (["resize", "a", "--ratio", "2"], "share"),
      (["combine"], "adapter"), (["combine", "a", "--rank", "3"], "svd"),
      (["combine", "a", "--density", "0"], "share"), (["average", "a:0", "b"], "above 0"),
      (["merge", "a"], "adapter"), (["merge", "a", "b", "--dtype", "f8"], "dtype"),
      (["convert", "a", "--to", "x"], "to"),
      (["check", "a"], "base"), (["inspect"], "path"), (["diff", "a"], "second"),
      (["merge", "a", "b", "--threads", "0"], "threads"),
    ] as [([String], String)])
  func usage(arguments: [String], words: String) throws {
    let run = try CommandRun(arguments)
    #expect(run.exitCode == 64)
    #expect(run.errors.contains(words))
  }

  @Test(
    "What is not there, or not what it should be, exits with 1 and names the file",
    arguments: [
      ["inspect", "/no/such/thing"], ["check", "/no/such/thing", "--base", "/nor/this"],
      ["merge", "/no/such", "/thing"],
      ["extract", "/no/such", "/thing", "--rank", "2"], ["resize", "/no/such/thing", "--rank", "2"],
      ["combine", "/no/such/thing"], ["convert", "/no/such/thing", "--to", "mlx"],
      ["diff", "/no/such/thing", "/thing"],
    ])
  func missing(arguments: [String]) throws {
    let run = try CommandRun(arguments)
    #expect(run.exitCode == 1)
    #expect(run.errors.contains("/no/such"))
  }

  @Test(
    "Each command's help has an example",
    arguments: [
      "inspect", "check", "merge", "unmerge", "extract", "resize", "combine", "average", "convert", "diff",
    ])
  func help(_ command: String) throws {
    let run = try CommandRun([command, "--help"])
    #expect(run.exitCode == 0)
    #expect(run.output.contains("EXAMPLE") && run.output.contains("lora \(command) "))
  }

  @Test("inspect writes what it shows as JSON and as a report")
  func inspect() throws {
    let folder = try TemporaryFolder()
    let run = try CommandRun(
      [
        "inspect", Self.fixture("llama-rslora-patterns/adapter"), "--quiet", "--json", folder.file("x.json").path,
        "--report", folder.file("x.html").path,
      ])
    #expect(run.exitCode == 0 && run.errors.isEmpty)
    #expect(run.output.contains("rsLoRA") && run.output.contains("model.layers.1.self_attn.q_proj"))
    let json = try JSON(parsing: String(contentsOf: folder.file("x.json"), encoding: .utf8))
    let modules = try #require(json["adapter"]?["modules"]?.array)
    #expect(modules.count == 14)
    let query = try #require(modules.first { $0["path"] == "model.layers.1.self_attn.q_proj" })
    // rank_pattern gives it 4; α is 5: 5/√4.
    #expect(query["rank"] == 4 && query["scale"] == 2.5)
    #expect(try String(contentsOf: folder.file("x.html"), encoding: .utf8).contains("Singular values"))
    let checkpoint = try CommandRun(["inspect", base, "--quiet", "--values"])
    #expect(checkpoint.exitCode == 0 && checkpoint.output.contains("model.embed_tokens.weight"))
  }

  @Test("check says yes with 0 and no with 1")
  func check() throws {
    #expect(try CommandRun(["check", adapter, "--base", base, "--quiet"]).exitCode == 0)
    let other = try CommandRun(["check", adapter, "--base", Self.fixture("gpt2/base"), "--quiet"])
    #expect(other.exitCode == 1 && other.output.contains("base does not have"))
  }

  @Test(
    "A dry run writes nothing; an output that exists is not replaced unless forced",
    arguments: [
      ["merge", "BASE", "ADAPTER"], ["resize", "ADAPTER", "--rank", "2"], ["combine", "ADAPTER", "ADAPTER"],
      ["average", "ADAPTER", "ADAPTER"],
      ["convert", "ADAPTER", "--to", "mlx"],
    ])
  func writing(arguments: [String]) throws {
    let folder = try TemporaryFolder()
    let arguments =
      arguments.map { $0 == "BASE" ? base : $0 == "ADAPTER" ? adapter : $0 } + [
        "-o", folder.file("out").path, "--quiet",
      ]
    let dry = try CommandRun(arguments + ["--dry-run"])
    #expect(dry.exitCode == 0 && dry.output.contains("dry-run"))
    #expect(folder.names == [])
    #expect(try CommandRun(arguments).exitCode == 0)
    #expect(folder.names == ["out"])
    let again = try CommandRun(arguments)
    #expect(again.exitCode == 1 && again.errors.contains("--force"))
    #expect(try CommandRun(arguments + ["--force"]).exitCode == 0)
    #expect(folder.names == ["out"])
  }

  @Test("merge, extract, unmerge and diff follow from each other")
  func roundTrip() throws {
    let folder = try TemporaryFolder()
    let (merged, extracted, restored) = (folder.file("m").path, folder.file("x").path, folder.file("r").path)
    #expect(try CommandRun(["merge", base, adapter, "-o", merged, "--quiet"]).exitCode == 0)
    let extract = try CommandRun(["extract", base, merged, "--rank", "3", "-o", extracted, "--quiet"])
    #expect(extract.exitCode == 0 && extract.output.contains("100.00% of the squared change"))
    let json = folder.file("d.json")
    #expect(try CommandRun(["diff", adapter, extracted, "--quiet", "--json", json.path]).exitCode == 0)
    let modules = try JSON(parsing: String(contentsOf: json, encoding: .utf8))["modules"]!.array!
    #expect(modules.count == 4 && modules.allSatisfy { $0["cosine"]!.number! > 0.9999 })
    #expect(try CommandRun(["unmerge", merged, adapter, "-o", restored, "--quiet"]).exitCode == 0)
    let difference = try CommandRun(["diff", base, restored, "--quiet", "--json", json.path])
    #expect(difference.exitCode == 0)
    #expect(try JSON(parsing: String(contentsOf: json, encoding: .utf8))["relative_difference"]!.number! < 1e-6)
  }

  /// A model of 32 MB and an adapter for half of it.
  func makeLarge(_ folder: TemporaryFolder) throws -> (base: String, adapter: String) {
    let weight = Tensor.full([1024, 4096], 0.5)
    try SafetensorsWriter.write(
      [StoredTensor(name: "q.weight", weight), StoredTensor(name: "v.weight", weight)],
      to: folder.file("base.safetensors"))
    var configuration = PEFTConfiguration()
    configuration.selection.targets = .names(["q"])
    configuration.rank = 4
    let adapter = try StoredAdapter(
      url: folder.url, configuration: configuration,
      modules: [
        StoredModule(
          path: "q", a: StoredTensor(name: "a", .full([4, 4096], 0.1)),
          b: StoredTensor(name: "b", .full([1024, 4], 0.1)), alpha: 8)
      ])
    try adapter.write(peft: folder.file("adapter"))
    return (folder.file("base.safetensors").path, folder.file("adapter").path)
  }

  @Test("A process that is killed leaves the old file or the whole new one")
  func killed() throws {
    let folder = try TemporaryFolder()
    let (base, adapter) = try makeLarge(folder)
    let output = folder.file("out.safetensors")
    var wholes = 0
    for milliseconds in [5, 15, 25, 40, 60, 90] {
      try Data("old".utf8).write(to: output)
      _ = try CommandRun(["merge", base, adapter, "-o", output.path, "--force", "--quiet"]) { process in
        usleep(UInt32(milliseconds) * 1000)
        kill(process.processIdentifier, SIGKILL)
      }
      if try Data(contentsOf: output) == Data("old".utf8) { continue }
      wholes += 1
      let tensor = try #require(try SafetensorsFile(output)["q.weight"])
      // 0.5 + 2 · 4 · 0.1 · 0.1
      #expect(try tensor.tensor().scalars.allSatisfy { abs($0 - 0.58) < 1e-5 })
    }
    #expect(wholes <= 6)
  }

  #if os(Linux)
    @Test("A disk that is full leaves the old file, and an error that says so")
    func diskFull() throws {
      let folder = try TemporaryFolder()
      let (base, adapter) = try makeLarge(folder)
      let output = folder.file("out.safetensors")
      try Data("old".utf8).write(to: output)
      let before = folder.names
      // A limit on the size of files stands for the full disk: writing fails in the same way.
      let process = Process()
      process.executableURL = URL(fileURLWithPath: "/bin/bash")
      process.arguments = [
        "-c", "trap '' XFSZ; ulimit -f 4096; exec \"$0\" merge \"$1\" \"$2\" -o \"$3\" --force --quiet",
        CommandRun.program.path,
        base, adapter, output.path,
      ]
      let errors = Pipe()
      process.standardError = errors
      try process.run()
      let message = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
      process.waitUntilExit()
      #expect(process.terminationStatus == 1)
      #expect(message.contains(output.path))
      #expect(try Data(contentsOf: output) == Data("old".utf8))
      #expect(folder.names == before)
    }
  #endif
}
