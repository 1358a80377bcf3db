// Runs the `lora` program that was built beside the tests, and reads what it did.
import Foundation

/// What a run of `lora` gave.
public struct CommandRun: Sendable {
  public let exitCode: Int32
  public let output: String
  public let errors: String

  /// Where the program lies: beside the test bundle.
  public static let program: URL = {
    var folder = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
    while folder.path != "/" {
      for candidate in [folder, folder.appendingPathComponent("release"), folder.appendingPathComponent("debug")] {
        let program = candidate.appendingPathComponent("lora")
        if FileManager.default.isExecutableFile(atPath: program.path) { return program }
      }
      folder.deleteLastPathComponent()
    }
    return repositoryRoot.appendingPathComponent(".build/release/lora")
  }()

  /// Runs `lora` to its end. `whileRunning` is called with the process once it is started; what a file holds is piped into
  /// it, or a text.
  public init(
    _ arguments: [String], in folder: URL? = nil, environment: [String: String] = [:], piping file: URL? = nil,
    input: String? = nil,
    whileRunning: (Process) throws -> Void = { _ in }
  ) throws {
    let process = Process()
    process.executableURL = Self.program
    process.arguments = arguments
    process.currentDirectoryURL = folder
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    // Files rather than pipes: nothing can fill up.
    let scratch = try TemporaryFolder()
    let (outputFile, errorFile) = (scratch.url.appendingPathComponent("out"), scratch.url.appendingPathComponent("err"))
    for file in [outputFile, errorFile] { try Data().write(to: file) }
    process.standardOutput = try FileHandle(forWritingTo: outputFile)
    process.standardError = try FileHandle(forWritingTo: errorFile)
    let typed = Pipe()
    process.standardInput = input == nil ? FileHandle.nullDevice : typed
    let source = Process()
    if let file {
      let pipe = Pipe()
      process.standardInput = pipe
      source.executableURL = URL(fileURLWithPath: "/bin/cat")
      source.arguments = [file.path]
      source.standardOutput = pipe
      try source.run()
    }
    try process.run()
    // Less than a pipe holds, so that writing never waits.
    if let input { try typed.fileHandleForWriting.write(contentsOf: Data(input.utf8)) }
    try typed.fileHandleForWriting.close()
    try whileRunning(process)
    process.waitUntilExit()
    exitCode = process.terminationStatus
    output = String(decoding: try Data(contentsOf: outputFile), as: UTF8.self)
    errors = String(decoding: try Data(contentsOf: errorFile), as: UTF8.self)
  }
}

/// A folder that is removed with this value.
public final class TemporaryFolder: Sendable {
  public let url: URL

  public init() throws {
    url = FileManager.default.temporaryDirectory.appendingPathComponent("swift-lora-tests-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(at: url) }

  public func file(_ name: String) -> URL { url.appendingPathComponent(name) }
  public var names: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: url.path)) ?? []).sorted() }
}
