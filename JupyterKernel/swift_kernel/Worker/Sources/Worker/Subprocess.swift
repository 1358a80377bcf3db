import CNotebook
import Foundation

/// A program that ran to its end in this process's group, so that an interrupt of the group reaches it.
struct Subprocess {
  let status: Int32
  let output: String

  var succeeded: Bool { status == 0 }

  /// Runs `program`, with its output and errors together; each complete line also goes to `onLine`.
  static func run(
    _ program: URL, _ arguments: [String], onLine: ((Substring) -> Void)? = nil
  ) throws -> Subprocess {
    var ends: [Int32] = [0, 0]
    guard pipe(&ends) == 0 else { throw failure(program, errno) }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    defer { close(ends[0]) }

    var pointers: [UnsafeMutablePointer<CChar>?] = ([program.path] + arguments).map { strdup($0) } + [nil]
    defer { for pointer in pointers { free(pointer) } }
    let process = notebook_spawn(program.path, &pointers, ends[1])
    close(ends[1])
    guard process > 0 else { throw failure(program, -process) }
    // An interrupt that came before the program was there has not reached it.
    if notebook_interrupt_requested() { kill(process, SIGINT) }

    var bytes = [UInt8]()
    var lineStart = 0
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = read(ends[0], &chunk, chunk.count)
      if count < 0 && errno == EINTR { continue }
      if count <= 0 { break }
      bytes += chunk[..<count]
      while let onLine, let end = bytes[lineStart...].firstIndex(of: 0x0A) {
        onLine(Substring(decoding: bytes[lineStart..<end], as: UTF8.self))
        lineStart = end + 1
      }
    }
    var status: Int32 = 0
    while waitpid(process, &status, 0) < 0 && errno == EINTR {}
    if notebook_interrupt_requested() { throw CellFailure.interrupted }
    let exitStatus = status & 0x7F == 0 ? (status >> 8) & 0xFF : 128 + (status & 0x7F)
    return Subprocess(status: exitStatus, output: String(decoding: bytes, as: UTF8.self))
  }

  private static func failure(_ program: URL, _ code: Int32) -> CellFailure {
    CellFailure(
      name: "Toolchain error",
      message: "\(program.path) could not be started: \(String(cString: strerror(code))). "
        + "Check that the Swift toolchain is complete.")
  }
}
