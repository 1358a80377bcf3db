// Every command that writes, stopped at every call that changes the disk: killed there, or told that the disk is full or
// broken. Afterwards the old output is whole or the new one is, and the next run leaves nothing behind.

#if os(Linux)
  import Foundation
  import TestSupport
  import Testing

  /// A command and what it writes, in a folder of its own.
  struct WritingCommand: CustomTestStringConvertible, Sendable {
    let name: String
    /// OUT is the output, ENCODER, DECODER, TEXTS and STORY the models and texts of ``Workplace``, PLAIN and LLAMA cases.
    let arguments: String
    /// What makes an older output there.
    let older: String?
    var testDescription: String { name }

    static let all = [
      WritingCommand(name: "merge", arguments: "merge LLAMA PLAIN -o OUT", older: "merge LLAMA OTHER -o OUT"),
      WritingCommand(
        name: "merge, shards over one file", arguments: "merge SHARDS OTHER -o OUT", older: "merge LLAMA PLAIN -o OUT"),
      WritingCommand(
        name: "merge, a file", arguments: "merge FILE DOTS -o OUT.safetensors",
        older: "merge FILE DOTS:0.5 -o OUT.safetensors"),
      WritingCommand(name: "unmerge", arguments: "unmerge LLAMA PLAIN -o OUT", older: "unmerge LLAMA OTHER -o OUT"),
      WritingCommand(
        name: "extract", arguments: "extract LLAMA SHARDED --rank 2 -o OUT", older: "resize PLAIN --rank 1 -o OUT"),
      WritingCommand(name: "resize", arguments: "resize PLAIN --rank 2 -o OUT", older: "resize PLAIN --rank 1 -o OUT"),
      WritingCommand(
        name: "combine", arguments: "combine PLAIN OTHER -o OUT", older: "resize PLAIN --rank 1 -o OUT"),
      WritingCommand(
        name: "convert to kohya", arguments: "convert PLAIN --to kohya -o OUT.safetensors",
        older: "convert OTHER --to kohya -o OUT.safetensors"),
      WritingCommand(
        name: "convert to mlx over peft", arguments: "convert PLAIN --to mlx -o OUT",
        older: "resize PLAIN --rank 1 -o OUT"),
      WritingCommand(
        name: "inspect", arguments: "inspect PLAIN --json OUT.json", older: "inspect OTHER --json OUT.json"),
      WritingCommand(
        name: "svd", arguments: "svd FILE --json OUT.json", older: "inspect OTHER --json OUT.json"),
      WritingCommand(
        name: "train classify",
        arguments: "train classify --model ENCODER --data TEXTS --steps 1 --batch-size 2 -o OUT",
        older: "train classify --model ENCODER --data TEXTS --steps 2 --rank 2 --batch-size 2 -o OUT"),
      WritingCommand(
        name: "train lm --full",
        arguments: "train lm --model DECODER --data STORY --full --steps 1 --batch-size 1 -o OUT",
        older: "train lm --model DECODER --data STORY --steps 1 --batch-size 1 -o OUT"),
      WritingCommand(
        name: "embed", arguments: "embed --model ENCODER fox --json OUT.json", older: "inspect OTHER --json OUT.json"),
    ]
  }

  @Suite("Crashes")
  struct CrashTests {
    /// The library that fails calls; nil where there is no C compiler.
    static let faults: URL? = {
      let source = fixtures.appendingPathComponent("crash/faults.c")
      let library = FileManager.default.temporaryDirectory.appendingPathComponent("lora-faults-\(getpid()).so")
      let compiler = Process()
      compiler.executableURL = URL(fileURLWithPath: "/usr/bin/env")
      compiler.arguments = ["clang", "-shared", "-fPIC", "-O1", "-w", "-o", library.path, source.path, "-ldl"]
      guard (try? compiler.run()) != nil else { return nil }
      compiler.waitUntilExit()
      return compiler.terminationStatus == 0 ? library : nil
    }()

    /// A folder with inputs, and the state of an output in it.
    private struct Place {
      let work = try! Workplace()
      let output: TemporaryFolder

      init() throws { output = try TemporaryFolder() }

      func arguments(_ line: String) -> [String] {
        let cases = fixtures.appendingPathComponent("cases/adapters")
        let paths = [
          "ENCODER": work.encoder, "DECODER": work.decoder, "TEXTS": work.train, "STORY": work.story,
          "LLAMA": cases.appendingPathComponent("llama").path, "PLAIN": cases.appendingPathComponent("plain").path,
          "OTHER": cases.appendingPathComponent("plain-q").path,
          "SHARDS": cases.appendingPathComponent("shards/good").path,
          "SHARDED": cases.appendingPathComponent("tied-different").path,
          "FILE": cases.appendingPathComponent("single-file/base.safetensors").path,
          "DOTS": cases.appendingPathComponent("single-file/dots.safetensors").path,
        ]
        let words = line.split(separator: " ").map(String.init).map { word in
          for name in paths.keys.sorted(by: { $0.count > $1.count }) where word == name || word.hasPrefix(name + ":") {
            return paths[name]! + word.dropFirst(name.count)
          }
          return word.hasPrefix("OUT") ? output.file("out").path + word.dropFirst("OUT".count) : word
        }
        let isReport = words.contains("--json")
        return words + ["--quiet", "--threads", "1"] + (isReport ? [] : ["--force"])
      }

      /// The output's files; temporary ones left out. What a training took in time is not compared.
      var state: [String: Data] {
        var found: [String: Data] = [:]
        let files = FileManager.default.enumerator(at: output.url, includingPropertiesForKeys: nil)
        for case let url as URL in files ?? .init() where !url.path.contains(".partial") {
          guard !url.hasDirectoryPath, url.lastPathComponent != "metrics.jsonl" else { continue }
          found[url.path] = FileManager.default.contents(atPath: url.path)
        }
        return found
      }

      var temporaryFiles: [String] {
        (FileManager.default.enumerator(atPath: output.url.path)?.allObjects ?? []).compactMap { $0 as? String }
          .filter { $0.contains(".partial") || $0.contains(".old") }
      }

      func reset(to older: String?) throws {
        for name in output.names { try FileManager.default.removeItem(at: output.file(name)) }
        if let older { _ = try succeed(arguments(older)) }
      }
    }

    @Test(
      "the old output is whole or the new one is, whenever the program stops",
      .enabled(if: CrashTests.faults != nil, "needs clang"), arguments: WritingCommand.all)
    func stops(_ command: WritingCommand) throws {
      let faults = try #require(Self.faults)
      let place = try Place()
      let log = place.work.path("calls")
      func run(at call: Int? = nil, _ kind: String = "fail") throws -> CommandRun {
        var environment = ["LD_PRELOAD": faults.path, "FAULT_ROOT": place.output.url.path + "/", "FAULT_KIND": kind]
        if let call { environment["FAULT_AT"] = "\(call)" } else { environment["FAULT_LOG"] = log }
        return try CommandRun(place.arguments(command.arguments), environment: environment)
      }
      try place.reset(to: command.older)
      let old = place.state
      #expect(try run().exitCode == 0)
      let new = place.state
      #expect(new != old && !new.isEmpty)
      let calls = try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n").map(String.init)
      #expect(calls.contains { $0.hasSuffix("write") } && (calls.contains("rename") || calls.contains("exchange")))

      for kind in ["kill", "fail"] {
        for call in 1...calls.count {
          // Of many writes in a row, the first and the last say as much as all.
          if call > 2, call < calls.count, calls[call - 3...call].allSatisfy({ $0 == "pwrite" }) { continue }
          try place.reset(to: command.older)
          let stopped = try run(at: call, kind)
          let state = place.state
          let title = "\(kind) at \(call), \(calls[call - 1])"
          #expect(state == old || state == new, "\(title): \(state.keys.sorted())")
          if kind == "fail" {
            #expect(
              [0, 1].contains(stopped.exitCode) && (stopped.exitCode == 1 || state == new),
              "\(title): \(stopped.errors)")
          }
          #expect(try run().exitCode == 0, "\(title)")
          #expect(place.state == new, "after \(title)")
          #expect(place.temporaryFiles.isEmpty, "after \(title): \(place.temporaryFiles)")
        }
      }
    }
  }
#endif
