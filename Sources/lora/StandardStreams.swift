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
  static func write(_ text: String) { _ = writeAll(text, to: STDERR_FILENO) }
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

  /// Whether all of it arrived.
  static func write(json text: String) -> Bool { writeAll(text, to: descriptor) }

  /// Whether all that was printed arrived.
  static func isFlushed() -> Bool { fflush(nil) == 0 }
}

private func writeAll(_ text: String, to descriptor: Int32) -> Bool {
  var bytes = Array(text.utf8)[...]
  while !bytes.isEmpty {
    let count = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
    guard count > 0 else { return false }
    bytes = bytes.dropFirst(count)
  }
  return true
}

/// Prints to standard output, as the standard library's function does, with what a terminal would obey made visible.
func print(_ text: String, terminator: String = "\n") { Swift.print(shown(text), terminator: terminator) }

/// A text with its control characters, and those that change the direction of writing, as escapes: names come from files.
func shown(_ text: String) -> String {
  func isHidden(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x09, 0x0A: false
    case 0x00..<0x20, 0x7F..<0xA0, 0x200E...0x200F, 0x202A...0x202E, 0x2066...0x2069: true
    default: false
    }
  }
  guard text.unicodeScalars.contains(where: isHidden) else { return text }
  return text.unicodeScalars.reduce(into: "") { result, scalar in
    if isHidden(scalar) {
      result += "\\u{\(String(scalar.value, radix: 16))}"
    } else {
      result.unicodeScalars.append(scalar)
    }
  }
}
