// Serves one notebook: requests are JSON lines on standard input, events are JSON lines on the descriptor
// given by --events, and what cells print goes to standard output and error as it is.

import CNotebook
import Foundation
import Notebook

@main
struct Worker {
  static func main() {
    let arguments = CommandLine.arguments
    if let index = arguments.firstIndex(of: "--sourcekit"), index + 1 < arguments.count {
      serveSourceKit(library: arguments[index + 1])
      return
    }
    guard let index = arguments.firstIndex(of: "--events"), index + 1 < arguments.count,
      let events = Int32(arguments[index + 1])
    else {
      FileHandle.standardError.write(Data("This program is started by the Jupyter kernel swift_kernel.\n".utf8))
      exit(64)
    }

    // Cells and the programs they start find an empty standard input.
    let requests = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 16)
    let null = open("/dev/null", O_RDONLY)
    dup2(null, STDIN_FILENO)
    close(null)
    _ = fcntl(events, F_SETFD, FD_CLOEXEC)
    EventChannel.shared.open(events)
    notebook_guard_install()

    var session: Session?
    while let line = readLine(from: requests) {
      guard let request = Request(line: line) else { continue }
      notebook_clear_interrupt()
      if case .start(let configuration) = request {
        do {
          session = try Session(configuration: configuration)
          EventChannel.shared.send(reply: ["status": "ok"])
        } catch {
          EventChannel.shared.send(reply: CellFailure(error).reply)
        }
      } else if let session {
        EventChannel.shared.send(reply: session.answer(request))
      }
    }
  }

  private static func readLine(from descriptor: Int32) -> Data? {
    enum Pending { nonisolated(unsafe) static var bytes = Data() }
    while true {
      if let end = Pending.bytes.firstIndex(of: 0x0A) {
        let line = Data(Pending.bytes[..<end])
        Pending.bytes = Data(Pending.bytes[(end + 1)...])
        return line
      }
      var chunk = [UInt8](repeating: 0, count: 1 << 16)
      let count = read(descriptor, &chunk, chunk.count)
      if count < 0 && errno == EINTR { continue }
      if count <= 0 { return nil }
      Pending.bytes.append(contentsOf: chunk[..<count])
    }
  }
}

/// What the kernel asks of the worker.
enum Request {
  case start(Session.Configuration)
  /// Builds the packages that the kernel was installed with.
  case prepare
  case execute(code: String, count: Int)
  case complete(code: String, offset: Int)
  case inspect(code: String, offset: Int)
  case isComplete(code: String)

  init?(line: Data) {
    guard let object = try? JSONSerialization.jsonObject(with: line) as? [String: Any] else { return nil }
    let code = object["code"] as? String ?? ""
    let offset = object["offset"] as? Int ?? 0
    switch object["command"] as? String {
    case "start":
      self = .start(
        Session.Configuration(
          toolchain: URL(fileURLWithPath: object["toolchain"] as? String ?? ""),
          cache: URL(fileURLWithPath: object["cache"] as? String ?? ""),
          scratch: URL(fileURLWithPath: object["scratch"] as? String ?? ""),
          packages: (object["packages"] as? [String] ?? []).map { URL(fileURLWithPath: $0) }))
    case "prepare": self = .prepare
    case "execute": self = .execute(code: code, count: object["count"] as? Int ?? 0)
    case "complete": self = .complete(code: code, offset: offset)
    case "inspect": self = .inspect(code: code, offset: offset)
    case "is_complete": self = .isComplete(code: code)
    default: return nil
    }
  }
}
