// What is let in and what is let out: links in folders from elsewhere, special files as targets, full outputs, names that a
// terminal would obey, answers that are no numbers.

import Foundation
import LoRAKit
import TestSupport
import Testing

@Suite("Doors") struct DoorTests {
  private static let adapters = fixtures.appendingPathComponent("cases/adapters")
  private let files = FileManager.default

  @Test("a link in a model's folder is followed within it and to the cache's blobs, and nowhere else")
  func links() throws {
    let folder = try TemporaryFolder()
    let llama = Self.adapters.appendingPathComponent("llama")
    let snapshot = folder.file("models--a--b/snapshots/0123")
    let blobs = folder.file("models--a--b/blobs")
    for place in [snapshot, blobs] { try files.createDirectory(at: place, withIntermediateDirectories: true) }
    for name in ["config.json", "model.safetensors"] {
      try files.copyItem(at: llama.appendingPathComponent(name), to: blobs.appendingPathComponent("x" + name))
      try files.createSymbolicLink(
        atPath: snapshot.appendingPathComponent(name).path, withDestinationPath: "../../blobs/x" + name)
    }
    _ = try succeed(["logits", snapshot.path, "--ids", "1,2"])
    // So is one in a folder of a snapshot, where pipelines have their parts and repositories several adapters.
    let part = snapshot.appendingPathComponent("checkpoints/part")
    try files.createDirectory(at: part, withIntermediateDirectories: true)
    for name in ["config.json", "model.safetensors"] {
      try files.createSymbolicLink(
        atPath: part.appendingPathComponent(name).path, withDestinationPath: "../../../../blobs/x" + name)
    }
    _ = try succeed(["logits", part.path, "--ids", "1,2"])
    // Weights and configuration from elsewhere are refused; other files are not carried into the output.
    for (name, target) in [
      ("model.safetensors", blobs.appendingPathComponent("xmodel.safetensors").path), ("config.json", "/etc/passwd"),
    ] {
      let model = folder.file("linked-\(name)")
      try files.copyItem(at: llama, to: model)
      try files.removeItem(at: model.appendingPathComponent(name))
      try files.createSymbolicLink(atPath: model.appendingPathComponent(name).path, withDestinationPath: target)
      let run = try CommandRun(["logits", model.path, "--ids", "1,2"])
      #expect(run.exitCode == 1 && run.errors.contains("is a link to \(target), and is not followed"), "\(run.errors)")
    }
    // A link to nothing is neither a file nor the lack of one.
    for name in ["model.safetensors", "config.json", "model.safetensors.index.json"] {
      let model = folder.file("dangling-\(name)")
      try files.copyItem(at: llama, to: model)
      if name != "model.safetensors.index.json" { try files.removeItem(at: model.appendingPathComponent(name)) }
      if name.hasSuffix("index.json") { try files.removeItem(at: model.appendingPathComponent("model.safetensors")) }
      try files.createSymbolicLink(atPath: model.appendingPathComponent(name).path, withDestinationPath: "gone")
      let run = try CommandRun(["inspect", model.path])
      #expect(run.exitCode == 1 && run.errors.contains("\(name): is a link to gone, where nothing is"), "\(run.errors)")
    }
    let adapter = folder.file("dangling-adapter")
    try files.copyItem(at: Self.adapters.appendingPathComponent("plain"), to: adapter)
    try files.removeItem(at: adapter.appendingPathComponent("adapter_model.safetensors"))
    try files.createSymbolicLink(
      atPath: adapter.appendingPathComponent("adapter_model.safetensors").path, withDestinationPath: "gone")
    let run = try CommandRun(["inspect", adapter.path])
    #expect(run.exitCode == 1 && run.errors.contains("is a link to gone, where nothing is"), "\(run.errors)")
    let model = folder.file("model")
    try files.copyItem(at: llama, to: model)
    try files.createSymbolicLink(atPath: model.path + "/notes.txt", withDestinationPath: "/etc/passwd")
    _ = try succeed([
      "merge", model.path, Self.adapters.appendingPathComponent("plain").path, "-o", folder.file("out").path,
    ])
    #expect(!files.fileExists(atPath: folder.file("out/notes.txt").path))
  }

  @Test("a pipe, a device or a link to nothing is no place for an output, and stays what it is")
  func targets() throws {
    let folder = try TemporaryFolder()
    #expect(mkfifo(folder.file("pipe").path, 0o600) == 0)
    try files.createSymbolicLink(atPath: folder.file("link").path, withDestinationPath: "/nowhere/at/all")
    let plain = Self.adapters.appendingPathComponent("plain").path
    for name in ["pipe", "link"] {
      for arguments in [
        ["convert", plain, "--to", "kohya", "-o", folder.file(name).path, "--force"],
        ["resize", plain, "--rank", "1", "-o", folder.file(name).path, "--force"],
      ] {
        let run = try CommandRun(arguments)
        #expect(run.exitCode == 1 && run.errors.contains(name), "\(arguments): \(run.errors)")
      }
    }
    var status = stat()
    #expect(lstat(folder.file("pipe").path, &status) == 0 && status.st_mode & S_IFMT == S_IFIFO)
    #expect(try files.destinationOfSymbolicLink(atPath: folder.file("link").path) == "/nowhere/at/all")
  }

  @Test("what is no place for an output is said before any work is done, and nothing is made there")
  func earlyRefusals() throws {
    let folder = try TemporaryFolder()
    let place = try Workplace()
    #expect(mkfifo(folder.file("pipe").path, 0o600) == 0)
    try files.createSymbolicLink(atPath: folder.file("link").path, withDestinationPath: "/nowhere/at/all")
    try Data("x".utf8).write(to: folder.file("file"))
    let before = folder.names
    let plain = Self.adapters.appendingPathComponent("plain").path
    for name in ["pipe", "link", "file/out", "file"] {
      for arguments in [
        ["resize", plain, "--rank", "1"], ["merge", Self.adapters.appendingPathComponent("llama").path, plain],
        ["train", "lm", "--model", place.decoder, "--data", place.story, "--steps", "1"],
      ] {
        let run = try CommandRun(arguments + ["-o", folder.file(name).path, "--force"])
        #expect(run.exitCode == 1 && run.errors.contains(name.prefix { $0 != "/" }), "\(arguments): \(run.errors)")
        // No progress: a single line.
        #expect(run.errors.split(separator: "\n").count == 1 || name == "file", "\(arguments): \(run.errors)")
        #expect(folder.names == before)
      }
    }
    let deep = try CommandRun(["resize", plain, "--rank", "1", "-o", folder.file("a/b/c").path])
    #expect(deep.exitCode == 0 && files.fileExists(atPath: folder.file("a/b/c/adapter_config.json").path))
    let linked = try CommandRun(["inspect", plain, "--json", folder.file("link").path])
    #expect(linked.exitCode == 1 && linked.errors.contains("is a link to nothing"), "\(linked.errors)")
  }

  @Test(
    "a replaced output has the rights of what was there; the folder that one stands in stays, and what else it holds")
  func rights() throws {
    let folder = try TemporaryFolder()
    let plain = Self.adapters.appendingPathComponent("plain").path
    func rights(_ name: String) throws -> Int {
      var status = stat()
      #expect(stat(folder.file(name).path, &status) == 0)
      return Int(status.st_mode & 0o7777)
    }
    func number(_ name: String) throws -> UInt64 {
      var status = stat()
      #expect(stat(folder.file(name).path, &status) == 0)
      return UInt64(status.st_ino)
    }
    let out = folder.file("out")
    try files.createDirectory(at: out.appendingPathComponent("notes"), withIntermediateDirectories: true)
    try Data("mine".utf8).write(to: out.appendingPathComponent("notes/a.txt"))
    chmod(out.appendingPathComponent("notes").path, 0o700)
    chmod(out.path, 0o750)
    let resize = ["resize", plain, "--rank", "1", "--force", "-o"]
    _ = try succeed(resize + [out.path])
    #expect(try rights("out") == 0o750 && rights("out/notes") == 0o700)
    let inode = try number("out")
    for place in [".", "", out.path] {
      let run = try CommandRun(resize + [place], in: out)
      #expect(run.exitCode == 0, "\(run.errors)")
      #expect(try number("out") == inode && StoredAdapter(contentsOf: out).modules.allSatisfy { $0.rank == 1 })
    }
    #expect(try String(contentsOf: out.appendingPathComponent("notes/a.txt"), encoding: .utf8) == "mine")
    _ = try succeed(["inspect", plain, "--json", folder.file("a.json").path])
    chmod(folder.file("a.json").path, 0o600)
    _ = try succeed(["inspect", plain, "--json", folder.file("a.json").path])
    #expect(try rights("a.json") == 0o600)
    #expect(folder.names == ["a.json", "out"])
  }

  #if os(Linux)
    @Test(
      "a full standard output ends with an error; a full standard error ends nothing",
      arguments: [
        "inspect PLAIN", "svd FILE", "check PLAIN --base LLAMA", "diff PLAIN PLAIN", "embed --model ENCODER fox",
      ])
    func full(_ line: String) throws {
      let place = try Workplace()
      let paths = [
        "PLAIN": Self.adapters.appendingPathComponent("plain").path,
        "LLAMA": Self.adapters.appendingPathComponent("llama").path,
        "FILE": Self.adapters.appendingPathComponent("single-file/base.safetensors").path, "ENCODER": place.encoder,
      ]
      let arguments = line.split(separator: " ").map { paths[String($0)] ?? String($0) }.joined(separator: " ")
      func status(_ redirection: String) throws -> Int32 {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/bash")
        process.arguments = ["-c", "\(CommandRun.program.path) \(arguments) \(redirection)"]
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        return process.terminationStatus
      }
      #expect(try status(">/dev/full") == 1)
      #expect(try status(">&-") == 1)
      #expect(try status("2>/dev/full >/dev/null") == 0)
    }
  #endif

  @Test("a pipe in the place of a model's or an adapter's file is refused, not waited for")
  func pipes() throws {
    let folder = try TemporaryFolder()
    let (llama, plain) = (Self.adapters.appendingPathComponent("llama"), Self.adapters.appendingPathComponent("plain"))
    for (source, name) in [
      (llama, "config.json"), (llama, "model.safetensors"), (plain, "adapter_config.json"),
      (plain, "adapter_model.safetensors"),
    ] {
      let copy = folder.file(name)
      try files.copyItem(at: source, to: copy)
      try files.removeItem(at: copy.appendingPathComponent(name))
      #expect(mkfifo(copy.appendingPathComponent(name).path, 0o600) == 0)
      let run = try CommandRun(source == llama ? ["logits", copy.path, "--ids", "1,2"] : ["inspect", copy.path])
      #expect(run.exitCode == 1 && run.errors.contains("expected an ordinary file"), "\(name): \(run.errors)")
    }
    #expect(mkfifo(folder.file("pipe").path, 0o600) == 0)
    #expect(try CommandRun(["svd", folder.file("pipe").path]).exitCode == 1)
  }

  #if os(Linux)
    @Test("a device is no data", .timeLimit(.minutes(1)))
    func devices() throws {
      let place = try Workplace()
      let run = try CommandRun([
        "train", "classify", "--model", place.encoder, "--data", "/dev/zero", "-o", place.path("a"),
      ])
      #expect(run.exitCode == 1 && run.errors.contains("/dev/zero"), "\(run.errors)")
    }

    @Test(
      "a folder that is a mount point, of the same file system too, takes the output",
      .enabled(if: getuid() == 0, "root mounts"))
    func mountPoint() throws {
      let folder = try TemporaryFolder()
      for name in ["real", "mounted"] {
        try files.createDirectory(at: folder.file(name), withIntermediateDirectories: true)
      }
      try Data("kept".utf8).write(to: folder.file("real/notes.txt"))
      func mount(_ arguments: [String]) throws -> Bool {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = arguments
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        return process.terminationStatus == 0
      }
      // Not everywhere may root mount.
      guard try mount(["mount", "--bind", folder.file("real").path, folder.file("mounted").path]) else { return }
      defer { _ = try? mount(["umount", folder.file("mounted").path]) }
      _ = try succeed([
        "resize", Self.adapters.appendingPathComponent("plain").path, "--rank", "1", "-o", folder.file("mounted").path,
        "--force",
      ])
      let names = try files.contentsOfDirectory(atPath: folder.file("real").path).sorted()
      #expect(names == ["adapter_config.json", "adapter_model.safetensors", "notes.txt"])
    }
  #endif

  @Test("names from files reach a terminal with their control characters as escapes")
  func escapes() throws {
    let folder = try TemporaryFolder()
    let name = "a\u{1B}]0;title\u{7}\u{202E}b"
    try SafetensorsWriter.write(
      [StoredTensor(name: name, Tensor(shape: [2, 2], scalars: [1, 2, 3, 4]))], to: folder.file("x.safetensors"))
    let run = try succeed(["inspect", folder.file("x.safetensors").path])
    #expect(run.output.contains(#"a\u{1b}]0;title\u{7}\u{202e}b"#))
    #expect(!run.output.unicodeScalars.contains { $0.value == 0x1B || $0.value == 0x202E })
  }

  @Test("NaN is no answer", arguments: ["classify", "embed", "logits"])
  func numbers(_ command: String) throws {
    let place = try Workplace()
    _ = try succeed([
      "train", "classify", "--model", place.encoder, "--data", place.train, "--steps", "1", "--full", "-o",
      place.path("m"),
    ])
    let weights = place.folder.file("m/model.safetensors")
    let broken = try SafetensorsFile(weights).tensors.map { tensor in
      tensor.name.hasSuffix("word_embeddings.weight")
        ? try StoredTensor(name: tensor.name, Tensor.full(tensor.shape, .nan)) : tensor
    }
    try SafetensorsWriter.write(broken, to: place.folder.file("broken"))
    try files.removeItem(at: weights)
    try files.moveItem(at: place.folder.file("broken"), to: weights)
    let run = try CommandRun(
      command == "logits"
        ? ["logits", place.path("m"), "--text", "fox"] : [command, "--model", place.path("m"), "fox"])
    #expect(run.exitCode == 1 && run.errors.contains("broken"), "\(run.errors)")
    #expect(!run.output.contains("nan"))
  }

  @Test("a training goes on with the same data under another name, and not with other data under the same")
  func resume() throws {
    let place = try Workplace()
    func train(_ data: String, _ state: [String], _ output: String) throws -> CommandRun {
      try CommandRun(
        ["train", "classify", "--model", place.encoder, "--data", data, "--steps", "2", "-o", place.path(output)]
          + state)
    }
    #expect(try train(place.train, ["--checkpoint", place.path("state")], "a").exitCode == 0)
    try files.copyItem(atPath: place.train, toPath: place.path("copy.tsv"))
    #expect(try train(place.path("copy.tsv"), ["--resume", place.path("state")], "b").exitCode == 0)
    let text = try String(contentsOfFile: place.train, encoding: .utf8)
    try text.replacingOccurrences(of: "brown", with: "lazy").write(
      toFile: place.train, atomically: true, encoding: .utf8)
    let run = try train(place.train, ["--resume", place.path("state")], "c")
    #expect(run.exitCode == 1 && run.errors.contains("was saved by another run"), "\(run.errors)")
  }
}
