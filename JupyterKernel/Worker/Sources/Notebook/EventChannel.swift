import Foundation

/// The worker's way to the kernel: one JSON object a line, each a Jupyter message or the end of a request.
package final class EventChannel: @unchecked Sendable {
  package static let shared = EventChannel()

  private let lock = NSLock()
  private var descriptor: Int32 = -1
  private var displays: Set<String> = []

  package func open(_ descriptor: Int32) {
    lock.withLock { self.descriptor = descriptor }
  }

  /// Sends an event after everything that was printed before it.
  package func send(_ event: [String: Any]) {
    fflush(nil)
    guard var line = try? JSONSerialization.data(withJSONObject: event) else { return }
    line.append(0x0A)
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
    }
  }

  func isFirstUse(ofDisplay id: String) -> Bool {
    lock.withLock { displays.insert(id).inserted }
  }
}
