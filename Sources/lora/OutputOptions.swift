import ArgumentParser
import Foundation
import LoRAKit

/// What every command takes: how loud it is, and how many threads it uses.
struct RunOptions: ParsableArguments {
  @Flag(help: "Print results and errors only: no progress, no comments.")
  var quiet = false

  @Option(help: "Colours: auto has them on terminals, unless NO_COLOR is set.")
  var color = ColorChoice.auto

  @Option(help: "Threads to compute with. (default: all processors)")
  var threads: Int?

  func validate() throws {
    try check("threads", threads, "a number from 1 to 1024") { (1...1024).contains($0) }
  }

  /// Sets the number of threads, and makes sure that what is to be written can be, before any work is done.
  func prepare(writing paths: [Path?]) throws {
    if let threads { Threads.count = threads }
    if paths.filter({ $0?.isStream == true }).count > 1 {
      throw ValidationError("Standard output takes one of what shall go to \"-\"; name a file for the other.")
    }
    for path in paths {
      guard let path else { continue }
      if path.isStream { StandardOutput.reserve() } else { try checkWritable(path.description) }
    }
  }
}

/// What every command that reports takes besides: where its report goes, and in what form.
struct OutputOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("Write the results as JSON; \"-\": to standard output, in place of text.", valueName: "path"))
  var json: Path?

  @Option(
    help: ArgumentHelp(
      "Write a report with tables and charts, one HTML file; \"-\": to standard output, in place of text.",
      valueName: "path"))
  var report: Path?

  @OptionGroup var run: RunOptions

  var quiet: Bool { run.quiet }

  func prepare(alsoWriting other: Path? = nil) throws { try run.prepare(writing: [other, json, report]) }

  /// Every view of a report that is asked for: text on standard output, JSON, a page.
  ///
  /// - Parameters:
  ///   - printsText: false where the results have been printed as they came.
  ///   - writesJSON: false where they have been written so, too.
  func show(_ report: Report, printsText: Bool = true, writesJSON: Bool = true) throws {
    if printsText { Swift.print(report.text(Terminal.style())) }
    if writesJSON, let json { try json.write(report.json.sorted.pretty + "\n") }
    guard let path = self.report else { return }
    var page = report
    page.settings = [.init("command", .text(Self.commandLine))] + page.settings
    page.settings += [
      .init(
        "date",
        .text(
          Date().formatted(
            .iso8601.year().month().day().dateTimeSeparator(.space).time(includingFractionalSeconds: false)))),
      .init("time taken", .seconds(-programStart.timeIntervalSinceNow)), .init("lora", .text(LoRACommand.version)),
    ]
    try path.write(page.html)
    if !path.isStream { comment("The report: \(path)", isQuiet: quiet) }
  }

  /// Has the JSON that is asked for written part by part; where none is, it goes nowhere.
  func writeJSON(_ body: (inout JSONParts) throws -> Void) throws {
    func write(_ write: @escaping (String) throws -> Void) throws {
      var parts = JSONParts(write)
      try body(&parts)
      try parts.finish()
    }
    if let json { try json.write(parts: write) } else { try write { _ in } }
  }

  /// As it can be typed again.
  private static var commandLine: String {
    (["lora"] + CommandLine.arguments.dropFirst()).map(shellQuoted).joined(separator: " ")
  }
}

/// An argument as a shell reads it.
func shellQuoted(_ argument: String) -> String {
  argument.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber) || "-_./:=,+@%".contains($0) } && !argument.isEmpty
    ? argument : "'" + argument.replacing("'", with: "'\\''") + "'"
}

/// When the program began.
let programStart = Date()

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
  try OutputFile.probe(url)
}

/// The one rule about what is there: it is replaced only where that is asked for. An empty folder is nothing.
func checkReplaceable(_ url: URL, force: Bool) throws {
  let files = FileManager.default
  guard !force, files.fileExists(atPath: url.path) else { return }
  if let names = try? files.contentsOfDirectory(atPath: url.path), names.isEmpty { return }
  throw InputError("\(url.path): exists already; --force replaces it, -o writes elsewhere")
}

/// Throws where an output can't be written, a file or a folder by its name; folders above it are made.
func checkOutput(_ url: URL) throws {
  var isDirectory: ObjCBool = false
  let exists = FileManager.default.fileExists(atPath: url.path, isDirectory: &isDirectory)
  let isFile = exists ? !isDirectory.boolValue : ["safetensors", "gguf"].contains(url.pathExtension)
  if isFile { try OutputFile.probe(url) } else { try OutputDirectory.probe(url) }
}
