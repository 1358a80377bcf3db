import Dispatch
import Foundation

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Ctrl-C as a question: work asks between two steps whether it shall stop. A second Ctrl-C ends the program at once.
final class Interruption: @unchecked Sendable {
  private let lock = NSLock()
  private var count = 0
  private var sources: [any DispatchSourceSignal] = []

  init() {
    for number in [SIGINT, SIGTERM] {
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
      source.setEventHandler { [weak self] in self?.received(number) }
      source.resume()
      sources.append(source)
    }
  }

  var isRequested: Bool { lock.withLock { count > 0 } }

  private func received(_ number: Int32) {
    let isSecond = lock.withLock {
      count += 1
      return count > 1
    }
    if isSecond { _exit(128 + number) }
  }

  deinit {
    for source in sources { source.cancel() }
    for number in [SIGINT, SIGTERM] { signal(number, SIG_DFL) }
  }
}
