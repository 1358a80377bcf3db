import Foundation
import LoRAKit
import TestSupport
import Testing

/// "-" is standard input wherever a file is read, and refused where no stream can be meant.
@Suite("Standard input") struct StreamTests {
  private static let llama = fixtures.appendingPathComponent("checkpoints/llama")
  private static let weights = llama.appendingPathComponent("base/model.safetensors")
  private static let adapter = llama.appendingPathComponent("adapter").path

  @Test("a piped checkpoint merges to the same bytes as a named one, and leaves no copy behind")
  func checkpoint() throws {
    let folder = try TemporaryFolder()
    let environment = ["TMPDIR": folder.url.path]
    let piped = try CommandRun(
      ["merge", "-", Self.adapter, "-o", "piped.safetensors"], in: folder.url, environment: environment,
      piping: Self.weights)
    #expect(piped.exitCode == 0, "\(piped.errors)")
    #expect(
      try CommandRun(["merge", Self.weights.path, Self.adapter, "-o", "named.safetensors"], in: folder.url).exitCode
        == 0)
    #expect(
      try Data(contentsOf: folder.file("piped.safetensors")) == Data(contentsOf: folder.file("named.safetensors")))
    #expect(folder.names == ["named.safetensors", "piped.safetensors"])
  }

  @Test("a piped adapter is inspected, checked and converted as a named one is")
  func adapter() throws {
    let folder = try TemporaryFolder()
    let convert = try CommandRun(
      ["convert", Self.adapter, "--to", "kohya", "--allow-loss", "-o", "a.safetensors"], in: folder.url)
    #expect(convert.exitCode == 0, "\(convert.errors)")
    let file = folder.file("a.safetensors")
    for arguments in [["inspect", "IT"], ["check", "IT", "--model", Self.weights.path, "--without-peft"]] {
      func json(_ path: String, piping source: URL?) throws -> JSON {
        let run = try CommandRun(
          arguments.map { $0 == "IT" ? path : $0 } + ["--json", "-", "--quiet"], piping: source)
        #expect(run.exitCode == 0, "\(run.errors)")
        return try JSON(parsing: run.output)
      }
      #expect(try json("-", piping: file) == json(file.path, piping: nil))
    }
    // Without -o the output is called for what was done.
    let back = try CommandRun(
      ["convert", "-", "--to", "peft", "--base", Self.weights.path], in: folder.url, piping: file)
    #expect(back.exitCode == 0 && folder.names.contains("peft"), "\(back.errors)")
  }

  @Test("piped data is read as a file is, in the format that it begins in", arguments: ["train.tsv", "test.csv"])
  func data(name: String) throws {
    let place = try Workplace()
    let train = try succeed([
      "train", "classify", "--model", place.encoder, "--data", place.train, "--steps", "2", "-o", place.path("out"),
      "--quiet",
    ])
    #expect(train.errors.isEmpty)
    func accuracy(_ data: String, piping source: URL?) throws -> String {
      let run = try CommandRun(
        ["evaluate", "--model", place.encoder, "--adapter", place.path("out"), "--data", data, "--quiet"],
        piping: source)
      #expect(run.exitCode == 0, "\(run.errors)")
      return run.output
    }
    let file = place.folder.file(name)
    #expect(try accuracy("-", piping: file) == accuracy(file.path, piping: nil))
  }

  @Test("a piped text, or piped prompts, measure a decoder as a file does")
  func decoder() throws {
    let place = try Workplace()
    let text = place.folder.file("text")
    try Data(String(repeating: "the fox and the dog. ", count: 40).utf8).write(to: text)
    func loss(_ data: String, piping source: URL?) throws -> String {
      let run = try CommandRun(["evaluate", "--model", place.decoder, "--data", data, "--quiet"], piping: source)
      #expect(run.exitCode == 0, "\(run.errors)")
      return run.output
    }
    #expect(try loss("-", piping: text) == loss(text.path, piping: nil))
    let prompts = place.folder.file("prompts")
    try Data(#"{"prompt": "the fox", "completion": " and the dog"}"#.utf8).write(to: prompts)
    #expect(try loss("-", piping: prompts).contains("tokens predicted"))
    #expect(try loss("-", piping: prompts) != loss("-", piping: text))
  }

  @Test(
    "where no stream can be meant, that is said, and nothing is read or written",
    arguments: [
      (["convert", "ADAPTER", "--to", "mlx", "-o", "-"], 1), (["merge", "BASE", "ADAPTER", "-o", "-"], 1),
      (["digits", "--data", "-"], 1), (["digits", "-o", "-"], 1), (["digits", "--checkpoint", "-"], 64),
      (["digits", "--resume", "-"], 64), (["svd", "--output", "-"], 1), (["logits", "-", "--ids", "1"], 1),
      (["generate", "--model", "-"], 64), (["generate", "--model", "m", "--adapter", "-"], 1),
      (["train", "lm", "--model", "m", "--data", "d", "-o", "-"], 64), (["page", "-o", "-", "--numbers", "-"], 64),
    ] as [([String], Int32)])
  func refusals(_ arguments: [String], _ code: Int32) throws {
    let folder = try TemporaryFolder()
    let run = try CommandRun(
      arguments.map { $0 == "ADAPTER" ? Self.adapter : $0 == "BASE" ? Self.weights.path : $0 }, in: folder.url)
    #expect(run.exitCode == code && run.output.isEmpty, "\(run.errors)")
    #expect(run.errors.contains("stream") || run.errors.contains("tandard output takes one"), "\(run.errors)")
    #expect(folder.names.isEmpty)
  }
}
