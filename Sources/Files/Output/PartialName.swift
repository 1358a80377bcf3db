// Names of files and folders that are being written: hidden, beside their final place, and known to be left over once the
// process that wrote them is gone.

import Foundation

enum PartialName {
  private static let suffix = ".partial"

  /// A name for what will be called `name`: ".name.PROCESS-RANDOM.partial".
  ///
  /// What is written within another output that is not there yet bears that one's name, so that a later run knows it.
  static func make(for name: String) -> String {
    ".\(final(name)).\(getpid())-\(UInt32.random(in: 0 ... .max))\(suffix)"
  }

  static func isPartial(_ name: String) -> Bool { final(name) != name }

  /// "name" of ".name.PROCESS-RANDOM.partial"; any other name itself.
  private static func final(_ name: String) -> String {
    guard name.hasPrefix("."), name.hasSuffix(suffix) else { return name }
    let rest = name.dropFirst().dropLast(suffix.count)
    guard let dot = rest.lastIndex(of: "."), rest[rest.index(after: dot)...].contains("-") else { return name }
    return String(rest[..<dot])
  }

  /// Removes what processes that are no more left behind for `name` in a folder.
  static func removeStale(for name: String, in folder: URL) {
    let start = ".\(final(name))."
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
    for entry in names where entry.hasPrefix(start) && entry.hasSuffix(suffix) {
      let middle = entry.dropFirst(start.count).dropLast(suffix.count)
      guard let process = middle.split(separator: "-").first.flatMap({ pid_t($0) }), process != getpid() else {
        continue
      }
      // Only "no such process" says that nobody writes any more.
      if kill(process, 0) != 0 && errno == ESRCH {
        try? FileManager.default.removeItem(at: folder.appendingPathComponent(entry))
      }
    }
  }
}
