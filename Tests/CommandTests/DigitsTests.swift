import Foundation
import TestSupport
import Testing

/// A model and a budget small enough for a test; the data are the embedded digits.
private let quick = ["digits", "--hidden", "24,16", "--epochs", "1", "--steps", "20"]

private struct Result: Decodable, Equatable {
  struct Dataset: Decodable, Equatable {
    let name: String
    let train: Int
    let test: Int
  }
  struct Arm: Decodable, Equatable {
    let name: String
    let trainableParameters: Int
    let steps: Int
    let accuracy: Double
    let errors: [Int]
    let targetErrors: Int
  }
  let dataset: Dataset
  let parameters: Int
  let targetDigit: Int
  let seed: Int
  let arms: [Arm]
  let baseUnchanged: Bool
  let disabledEqualsBase: Bool
}

private func run(_ arguments: [String], json: URL) throws -> (CommandRun, Result) {
  let run = try CommandRun(arguments + ["--json", json.path])
  let decoder = JSONDecoder()
  decoder.keyDecodingStrategy = .convertFromSnakeCase
  return (run, try decoder.decode(Result.self, from: Data(contentsOf: json)))
}

@Suite("lora digits")
struct DigitsTests {
  @Test("prints one table, and writes the same as JSON and as one report without network")
  func outputs() throws {
    let folder = try TemporaryFolder()
    let report = folder.file("report.html")
    let (run, result) = try run(quick + ["--rank", "2", "--report", report.path], json: folder.file("result.json"))
    #expect(run.exitCode == 0)
    #expect(result.dataset == .init(name: "sample", train: 4000, test: 1000))
    // 784·24 + 24 + 24·16 + 16 + 16·10 + 10
    #expect(result.parameters == 19_410)
    #expect(result.arms.map(\.name) == ["base", "lora", "full", "lora-replay", "full-replay"])
    // Rank 2 on [24, 784], [16, 24], [10, 16]: 2·(808 + 40 + 26)
    #expect(result.arms.map(\.trainableParameters) == [19_410, 1748, 19_410, 1748, 19_410])
    #expect(result.arms.map(\.steps) == [400, 20, 20, 20, 20])
    #expect(result.baseUnchanged && result.disabledEqualsBase)
    let base = result.arms[0]
    #expect(base.accuracy > 0.8, "the base learns")
    #expect(base.errors[result.targetDigit] == base.errors.max())
    for arm in result.arms {
      #expect(arm.targetErrors == arm.errors[result.targetDigit])
      #expect(abs(arm.accuracy - (1 - Double(arm.errors.reduce(0, +)) / 1000)) < 1e-9)
      #expect(run.output.contains("\(arm.name) "))
    }
    #expect(result.arms[2].targetErrors < base.targetErrors, "training on the digit alone repairs it")
    #expect(run.output.contains("bit for bit"))
    let html = try String(contentsOf: report, encoding: .utf8)
    #expect(html.contains("<svg") && html.hasSuffix("</html>\n"))
    #expect(!html.contains("src=\"http") && !html.contains("href=\"http"))
    #expect(folder.names == ["report.html", "result.json"], "nothing half-written is left")
  }

  @Test("the same seed gives the same result at any number of threads; another seed another")
  func seeds() throws {
    let folder = try TemporaryFolder()
    let arguments = quick + ["--arms", "lora,full-replay", "--quiet"]
    let (one, a) = try run(arguments + ["--threads", "1"], json: folder.file("1"))
    let (_, b) = try run(arguments + ["--threads", "2"], json: folder.file("2"))
    let (_, c) = try run(arguments + ["--threads", "3", "--seed", "1"], json: folder.file("3"))
    #expect(a == b)
    #expect(a != c)
    #expect(one.errors.isEmpty, "quiet means quiet")
  }

  @Test("a run that was interrupted goes on bit for bit from its checkpoint")
  func resume() throws {
    let folder = try TemporaryFolder()
    let state = folder.file("state.safetensors")
    let arguments = ["digits", "--hidden", "300,200", "--epochs", "3", "--steps", "5", "--arms", "lora"]
    let (_, whole) = try run(arguments + ["--quiet"], json: folder.file("whole"))
    let interrupted = try CommandRun(arguments + ["--checkpoint", state.path, "--json", folder.file("none").path]) {
      process in
      // The first kept state appears after 500 of 1,200 steps.
      for _ in 0..<2000 where !FileManager.default.fileExists(atPath: state.path) && process.isRunning { usleep(5000) }
      process.interrupt()
    }
    #expect(interrupted.exitCode == 130)
    #expect(interrupted.errors.contains("--resume"))
    #expect(!folder.names.contains("none"))
    let (_, resumed) = try run(arguments + ["--resume", state.path, "--quiet"], json: folder.file("resumed"))
    #expect(resumed == whole)

    let other = try CommandRun(arguments + ["--resume", state.path, "--seed", "7"])
    #expect(other.exitCode == 1)
    #expect(other.errors.contains("another run"))
    try Data("no state".utf8).write(to: state)
    let noState = try CommandRun(arguments + ["--resume", state.path])
    #expect(noState.exitCode == 1)
    #expect(noState.errors.contains(state.path))
  }

  @Test(
    "wrong usage is exit code 64 and one line that says what is needed",
    arguments: [
      (["--digit", "10"], "0 to 9"), (["--digit", "x"], "digit"), (["--rank", "0"], "1 to 10"),
      (["--rank", "11"], "1 to 10"), (["--alpha", "0"], "above 0"), (["--alpha", "nan"], "above 0"),
      (["--learning-rate", "0"], "above 0"), (["--steps", "0"], "at least 1"), (["--batch-size", "0"], "at least 1"),
      (["--hidden", "10"], "two sizes"), (["--hidden", "a,b"], "two sizes"), (["--arms", "dora"], "lora-replay"),
      (["--threads", "0"], "1 to 1024"), (["--seed", "-1"], "seed"), (["--unknown"], "unknown"),
    ])
  func usage(_ arguments: [String], _ expected: String) throws {
    let run = try CommandRun(["digits"] + arguments)
    #expect(run.exitCode == 64)
    #expect(run.errors.contains(expected), "\(run.errors)")
    #expect(run.output.isEmpty)
  }

  @Test("an output that can't be written is found before training")
  func unwritable() throws {
    let folder = try TemporaryFolder()
    for path in [folder.file("no/such/report.html").path, folder.url.path] {
      for option in ["--report", "--json", "--checkpoint"] {
        let start = Date()
        let run = try CommandRun(["digits", option, path])
        #expect(run.exitCode == 1)
        #expect(run.errors.contains(path))
        #expect(Date().timeIntervalSince(start) < 5)
      }
    }
    #expect(folder.names.isEmpty)
  }

  @Test(
    "a full disk is one error, and no file is left", .enabled(if: FileManager.default.fileExists(atPath: "/dev/full")))
  func fullDisk() throws {
    let run = try CommandRun(quick + ["--arms", "lora", "--quiet", "--json", "/dev/full"])
    #expect(run.exitCode == 1)
    #expect(run.errors.contains("/dev/full"))
    var information = stat()
    #expect(stat("/dev/full", &information) == 0 && information.st_mode & S_IFMT == S_IFCHR, "it is still a device")
  }

  @Test("a loss that is not finite stops, and says at which step and what to try")
  func divergence() throws {
    let run = try CommandRun(quick + ["--arms", "full", "--learning-rate", "1e30", "--quiet"])
    #expect(run.exitCode == 1)
    #expect(run.errors.contains("at step") && run.errors.contains("Try a smaller one"))
  }

  @Test("bad data is one error that names the file", arguments: ["missing", "truncated", "label", "counts", "noise"])
  func badData(_ kind: String) throws {
    let folder = try TemporaryFolder()
    var images: [UInt8] = [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 28, 0, 0, 0, 28] + [UInt8](repeating: 7, count: 2 * 784)
    var labels: [UInt8] = [0, 0, 8, 1, 0, 0, 0, 2, 3, 9]
    switch kind {
    case "truncated": images.removeLast(100)
    case "label": labels[9] = 10
    case "counts": labels = [0, 0, 8, 1, 0, 0, 0, 1, 3]
    case "noise": images = [0x1f, 0x8b, 1, 2, 3, 4]
    default: break
    }
    for part in ["train", "t10k"] where kind != "missing" {
      try Data(images).write(to: folder.file("\(part)-images-idx3-ubyte"))
      try Data(labels).write(to: folder.file("\(part)-labels-idx1-ubyte"))
    }
    let run = try CommandRun(["digits", "--data", folder.url.path])
    #expect(run.exitCode == 1)
    #expect(run.errors.contains(folder.url.lastPathComponent))
    #expect(run.errors.contains("expected"))
  }
}

@Suite("lora")
struct ProgramTests {
  @Test("the version is printed at once")
  func version() throws {
    let run = try CommandRun(["--version"])
    #expect(run.exitCode == 0)
    #expect(run.output.hasPrefix("0."))
  }

  @Test("an unknown command is wrong usage")
  func unknown() throws {
    #expect(try CommandRun(["frobnicate"]).exitCode == 64)
  }
}
