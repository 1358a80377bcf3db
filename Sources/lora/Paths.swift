// Paths on the command line. "-" is standard input wherever a file is read, and refused where no stream can be meant.

import ArgumentParser
import Foundation
import LoRAKit

/// A file or a folder as it was typed.
struct Path: ExpressibleByArgument, CustomStringConvertible {
  let description: String

  init(argument: String) { description = argument }

  static var defaultCompletionKind: CompletionKind { .file() }

  var isStream: Bool { description == "-" }
  /// As messages call it.
  var name: String { isStream ? "standard input" : description }
  var lastComponent: String { isStream ? "standard input" : url.lastPathComponent }
  /// Of what is no stream.
  var url: URL { URL(fileURLWithPath: description) }

  static let standardInput = URL(fileURLWithPath: "/dev/stdin")

  /// A file to read.
  func input() throws -> URL {
    guard isStream else { return url }
    if let launched = Ranks.launched {
      throw InputError("-: of \(launched.count) processes that were started only one has standard input; name a file")
    }
    try StandardInput.becomeFile()
    return Self.standardInput
  }

  /// All bytes of a file.
  func content() throws -> Data {
    do { return try Data(contentsOf: input()) } catch is CocoaError { throw InputError("\(name): can't be read") }
  }

  /// What is a folder, or is written in several places at once.
  func place(of what: String) throws -> URL {
    if isStream { throw InputError("-: no stream can be \(what); name a path") }
    return url
  }

  /// Writes a text there, or to standard output.
  func write(_ text: String) throws { try write(parts: { write in try write(text) }) }

  /// Has a text written there part by part; a file appears when it is whole.
  func write(parts body: (_ write: @escaping (String) throws -> Void) throws -> Void) throws {
    guard !isStream else {
      return try body { guard StandardOutput.write($0) else { throw StandardOutput.failure } }
    }
    let output = try OutputParts(url)
    try body { try output.append(Data($0.utf8)) }
    try output.finish()
  }

  func adapter() throws -> StoredAdapter { try StoredAdapter(contentsOf: input()) }
  func checkpoint() throws -> Checkpoint { try Checkpoint(input()) }
}

extension [Path] {
  /// The folders of adapters.
  func adapters() throws -> [URL] { try map { try $0.place(of: "an adapter's folder") } }
}

/// What is piped into the program.
private enum StandardInput {
  /// Copies a pipe into a file without a name and takes that for standard input: weights and texts are read at any place.
  /// It is gone with the program, however that ends.
  static func becomeFile() throws {
    var information = stat()
    guard fstat(STDIN_FILENO, &information) == 0 else { throw InputError("standard input: is closed") }
    if information.st_mode & S_IFMT == S_IFREG { return }
    var path = Array(FileManager.default.temporaryDirectory.appendingPathComponent("lora-XXXXXX").path.utf8CString)
    let copy = mkstemp(&path)
    guard copy >= 0 else { throw failure("no temporary file can be made to keep it") }
    unlink(path)
    var buffer = [UInt8](repeating: 0, count: 1 << 18)
    while true {
      let count = read(STDIN_FILENO, &buffer, buffer.count)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw failure("can't be read") }
      if count == 0 { break }
      guard writeAll(buffer[..<count], to: copy) else { throw failure("the temporary file that keeps it can't grow") }
    }
    guard lseek(copy, 0, SEEK_SET) == 0, dup2(copy, STDIN_FILENO) >= 0 else { throw failure("can't be kept") }
    close(copy)
  }

  private static func failure(_ problem: String) -> InputError {
    InputError("standard input: \(problem): \(String(cString: strerror(errno)))")
  }
}
