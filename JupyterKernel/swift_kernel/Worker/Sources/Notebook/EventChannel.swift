import CNotebook
import Foundation

/// The worker's way to the kernel: one JSON object a line, each a Jupyter message or the reply to a request.
///
/// The kernel acknowledges each message with a byte, after it has passed on what was printed before; so that what is
/// printed after can't overtake it.
package final class EventChannel: @unchecked Sendable {
  package static let shared = EventChannel()

  private let lock = NSLock()
  private var descriptor: Int32 = -1
  private var displays: Set<String> = []

  package func open(_ descriptor: Int32) {
    lock.withLock { self.descriptor = descriptor }
  }

  package func send(message: String, content: [String: Any]) {
    send(["message": message, "content": content], isAcknowledged: true)
  }

  package func send(reply: [String: Any]) {
    send(["reply": reply], isAcknowledged: false)
  }

  private func send(_ event: [String: Any], isAcknowledged: Bool) {
    fflush(nil)
    guard var line = try? JSONSerialization.data(withJSONObject: event) else { return }
    line.append(0x0A)
    notebook_set_critical(true)
    defer { notebook_set_critical(false) }
    lock.withLock {
      line.withUnsafeBytes { bytes in
        var rest = bytes[...]
        while !rest.isEmpty {
          let written = write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
          if written < 0 && errno == EINTR { continue }
          if written <= 0 { return }
          rest = rest.dropFirst(written)
        }
      }
      var byte: UInt8 = 0
      while isAcknowledged, read(descriptor, &byte, 1) < 0, errno == EINTR {}
    }
  }

  func isFirstUse(ofDisplay id: String) -> Bool {
    lock.withLock { displays.insert(id).inserted }
  }
}
