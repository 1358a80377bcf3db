// The process's own output and errors: a full or closed one never goes unnoticed, nor ends what was going on.

import Foundation

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Comments and progress. Where they can't be written, work goes on without them.
enum StandardError {
  static func write(_ text: String) {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      let count = bytes.withUnsafeBytes { Foundation.write(STDERR_FILENO, $0.baseAddress, $0.count) }
      guard count > 0 else { return }
      bytes = bytes.dropFirst(count)
    }
  }
}

/// Results.
enum StandardOutput {
  /// The process's own output where `--json -` takes it: from the first use on, what is printed goes to standard error.
  private static let descriptor: Int32 = {
    fflush(nil)
    let own = dup(STDOUT_FILENO)
    dup2(STDERR_FILENO, STDOUT_FILENO)
    return own
  }()

  static func reserveForJSON() { _ = descriptor }

  static func write(json text: String) throws {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      let count = bytes.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
      guard count > 0 else { throw OutputPathError(description: "standard output can't be written to") }
      bytes = bytes.dropFirst(count)
    }
  }

  /// Whether all that was printed arrived.
  static func isFlushed() -> Bool { fflush(nil) == 0 }
}
