// The process's own output and errors: a full or closed one never goes unnoticed, nor ends what was going on.

import Foundation

/// Comments and progress. Where they can't be written, work goes on without them.
enum StandardError {
  static func write(_ text: String) { _ = writeAll(text.utf8, to: STDERR_FILENO) }
}

/// Results.
enum StandardOutput {
  /// The process's own output where `--json -` or `--report -` takes it: from the first use on, what is printed goes
  /// nowhere.
  private static let descriptor: Int32 = {
    fflush(nil)
    let own = dup(STDOUT_FILENO)
    let nowhere = open("/dev/null", O_WRONLY)
    dup2(nowhere, STDOUT_FILENO)
    close(nowhere)
    return own
  }()

  static func reserve() { _ = descriptor }

  /// Whether all of it arrived.
  static func write(_ text: String) -> Bool { writeAll(text.utf8, to: descriptor) }

  /// Whether all that was printed arrived.
  static func isFlushed() -> Bool { fflush(nil) == 0 }

  static let failure = InputError("standard output can't be written to: not all results arrived")
}

func writeAll(_ bytes: some Sequence<UInt8>, to descriptor: Int32) -> Bool {
  var bytes = Array(bytes)[...]
  while !bytes.isEmpty {
    let count = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
    guard count > 0 else { return false }
    bytes = bytes.dropFirst(count)
  }
  return true
}

/// Prints to standard output, as the standard library's function does, with what a terminal would obey made visible.
func print(_ text: String, terminator: String = "\n") { Swift.print(text.visible, terminator: terminator) }
