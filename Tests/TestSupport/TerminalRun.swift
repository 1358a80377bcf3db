// Runs `lora` in a terminal of a given width.
import Foundation

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// What a terminal got from a run of `lora`, results and progress alike.
public struct TerminalRun: Sendable {
  public let exitCode: Int32
  public let text: String

  /// - Parameter typing: what is typed once a text has come (any, where it is empty), each after the one before; U+0003 is
  ///   Ctrl-C.
  public init(
    _ arguments: [String], columns: Int, environment: [String: String] = [:],
    typing: [(after: String, keys: String)] = []
  ) throws {
    var (ours, theirs): (Int32, Int32) = (-1, -1)
    var size = winsize()
    (size.ws_row, size.ws_col) = (40, UInt16(columns))
    guard openpty(&ours, &theirs, nil, nil, &size) == 0 else { throw CocoaError(.fileReadUnknown) }
    let process = Process()
    process.executableURL = CommandRun.program
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment
      .merging(["TERM": "xterm-256color", "NO_COLOR": ""]) { $1 }.merging(environment) { $1 }
    let terminal = FileHandle(fileDescriptor: theirs, closeOnDealloc: true)
    (process.standardOutput, process.standardError) = (terminal, terminal)
    process.standardInput = typing.isEmpty ? FileHandle.nullDevice : terminal
    try process.run()
    try terminal.close()
    // The kernel's buffer is small; reading ends with an error once no one holds the other end.
    var data = Data()
    var buffer = [UInt8](repeating: 0, count: 65_536)
    var (pending, seen) = (typing[...], 0)
    while case let count = read(ours, &buffer, buffer.count), count > 0 {
      data.append(contentsOf: buffer[..<count])
      while let next = pending.first {
        let found =
          next.after.isEmpty ? data.count..<data.count : data.range(of: Data(next.after.utf8), in: seen..<data.count)
        guard let end = found?.upperBound, end > seen || !next.after.isEmpty else { break }
        seen = end
        pending.removeFirst()
        if next.keys == "\u{03}" {
          process.interrupt()
        } else if !next.keys.isEmpty {
          _ = Array(next.keys.utf8).withUnsafeBytes { write(ours, $0.baseAddress, $0.count) }
        }
      }
    }
    close(ours)
    process.waitUntilExit()
    exitCode = process.terminationStatus
    text = String(decoding: data, as: UTF8.self).replacingOccurrences(of: "\r\n", with: "\n")
  }

  /// What is on each line at the end: a carriage return begins it anew, and colours take no cell.
  public var lines: [String] {
    text.replacing(/\u{1B}\[[0-9;]*[mK]/, with: "").split(separator: "\n", omittingEmptySubsequences: false)
      .map { line in String(line.split(separator: "\r").last ?? "") }
  }

  /// The most cells that anything written between two line ends or carriage returns took.
  public var widest: Int {
    text.replacing(/\u{1B}\[[0-9;]*[mK]/, with: "").split { $0 == "\n" || $0 == "\r" }.map(\.count).max() ?? 0
  }
}
