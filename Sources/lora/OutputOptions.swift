import ArgumentParser
import Foundation
import LoRAKit

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// What every command that computes takes: where its numbers go, how loud it is, how many threads it uses.
struct OutputOptions: ParsableArguments {
  @Option(
    name: .customLong("json"),
    help: ArgumentHelp("Write the results as JSON; \"-\": to standard output.", valueName: "path"))
  var jsonPath: String?

  @Flag(help: "Print results and errors only: no progress, no comments.")
  var quiet = false

  @Option(help: "Threads to compute with. Default: all processors.")
  var threads: Int?

  func validate() throws {
    if let threads, !(1...1024).contains(threads) {
      throw ValidationError("--threads \(threads): a number from 1 to 1024 is needed.")
    }
  }

  /// Sets the number of threads and makes sure that the outputs can be written, before any work is done.
  func prepare(alsoWriting others: String?...) throws {
    if let threads { Threads.count = threads }
    for path in others + (jsonPath == "-" ? [] : [jsonPath]) { try path.map(checkWritable) }
    if jsonPath == "-" { StandardOutput.reserveForJSON() }
  }

  /// Writes JSON with sorted keys where `--json` asks for it.
  func write(json value: some Encodable) throws {
    guard let jsonPath else { return }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    let text = String(decoding: try encoder.encode(value), as: UTF8.self) + "\n"
    if jsonPath == "-" {
      guard StandardOutput.write(json: text) else {
        throw InputError("standard output can't be written to")
      }
    } else {
      try OutputFile.write(text, to: URL(fileURLWithPath: jsonPath))
    }
  }
}

/// Throws where a file can't be created at `path`: found before work is done, not after.
func checkWritable(_ path: String) throws {
  let url = URL(fileURLWithPath: path)
  let folder = url.deletingLastPathComponent()
  var isDirectory: ObjCBool = false
  if FileManager.default.fileExists(atPath: url.path, isDirectory: &isDirectory), isDirectory.boolValue {
    throw InputError("\(path): is a folder; name a file to write")
  }
  var information = stat()
  // A terminal, a pipe: nothing is created.
  if stat(url.path, &information) == 0, information.st_mode & S_IFMT != S_IFREG { return }
  guard FileManager.default.fileExists(atPath: folder.path, isDirectory: &isDirectory), isDirectory.boolValue else {
    throw InputError("\(path): there is no folder \(folder.path); create it first")
  }
  // A root user may write anywhere that the file system allows, so ask by trying.
  do { try OutputFile.probe(url) } catch {
    throw InputError("\(path): the folder \(folder.path) can't be written to")
  }
}

/// The one rule about what is there: it is replaced only where that is asked for. An empty folder is nothing.
func checkReplaceable(_ url: URL, force: Bool) throws {
  let files = FileManager.default
  guard !force, files.fileExists(atPath: url.path) else { return }
  if let names = try? files.contentsOfDirectory(atPath: url.path), names.isEmpty { return }
  throw InputError("\(url.path): exists already; --force replaces it, -o writes elsewhere")
}

/// Throws where a folder can't be made, or files in it, at `path`.
func checkFolderWritable(_ path: String) throws {
  let url = URL(fileURLWithPath: path)
  var isDirectory: ObjCBool = false
  guard FileManager.default.fileExists(atPath: url.path, isDirectory: &isDirectory) else {
    return try checkWritable(path)
  }
  guard isDirectory.boolValue else { throw InputError("\(path): is a file; name a folder to write") }
  try checkWritable(url.appendingPathComponent("config.json").path)
}

/// 27496 → "27 kB"
func fileSize(_ bytes: Int) -> String {
  switch bytes {
  case ..<1000: "\(bytes) bytes"
  case ..<1_000_000: "\(fixed(Double(bytes) / 1e3, 0)) kB"
  case ..<1_000_000_000: "\(fixed(Double(bytes) / 1e6, 0)) MB"
  default: "\(fixed(Double(bytes) / 1e9, 1)) GB"
  }
}
