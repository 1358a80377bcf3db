import CNotebook
import Foundation
import Notebook

/// How a cell ended early, told so that its reader finds the place.
struct Ending {
  let outcome: notebook_outcome
  let title: String
  let name: String
  let source: String
  let isKept: Bool
  let session: Session

  var failure: CellFailure {
    switch outcome.ending {
    case notebook_interrupted:
      return CellFailure(name: "Interrupted", message: "the cell was interrupted. \(whatRemains)")
    case notebook_threw:
      let error = UncaughtError.last
      return CellFailure(
        name: error.typeName, message: error.description,
        traceback: ["\(Style.red(error.typeName)): \(error.description)", whatRemains])
    case notebook_exited:
      return CellFailure(
        name: "Exit", message: "the cell called exit(\(outcome.code)); the kernel goes on. \(whatRemains)")
    default: return trap
    }
  }

  private var whatRemains: String {
    isKept
      ? "What this and earlier cells defined is kept."
      : "What earlier cells defined is kept; this cell ended before all its variables had values, "
        + "so what it defined is not."
  }

  private var trap: CellFailure {
    let places = Backtrace(outcome: outcome, session: session)
    let reason: String
    if outcome.stack_overflow {
      reason = "stack overflow (a function that calls itself without end?)"
    } else if let runtimeFailure = places.runtimeFailure {
      reason = runtimeFailure
    } else if outcome.code == SIGSEGV || outcome.code == SIGBUS {
      reason = "access to memory that is not there (\(outcome.code == SIGBUS ? "SIGBUS" : "SIGSEGV"))"
    } else {
      reason = ""  // the Swift runtime has printed it; the kernel adds it
    }
    // The cell's own lines first, for they are its reader's; then those of packages, innermost first.
    let lines = places.lines.filter(\.isOfCell) + places.lines.filter { !$0.isOfCell }
    var traceback = lines.prefix(12).map { place in
      place.module == name
        ? "  at \(title), line \(place.line)" + quote(place.line, of: source)
        : "  at \(place.description)"
          + quote(place.line, of: (try? String(contentsOfFile: place.file, encoding: .utf8)) ?? "")
    }
    traceback.insert("\(Style.red("Fatal error")): \(reason)", at: 0)
    traceback.append(whatRemains)
    return CellFailure(name: "Fatal error", message: reason, traceback: traceback)
  }

  private func quote(_ line: Int, of text: String) -> String {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    guard lines.indices.contains(line - 1) else { return "" }
    return ": \(lines[line - 1].trimmingPrefix(while: \.isWhitespace))"
  }
}

/// The source lines of a trap, innermost first.
struct Backtrace {
  struct Place {
    let module: String
    let file: String
    let line: Int
    var isOfCell: Bool { module.hasPrefix("Cell") && file.hasSuffix("main.swift") }
    var description: String { isOfCell ? "\(module), line \(line)" : "\(file):\(line)" }
  }

  private(set) var runtimeFailure: String?
  private(set) var lines: [Place] = []

  init(outcome: notebook_outcome, session: Session) {
    let frames = withUnsafeBytes(of: outcome.frames) {
      Array($0.bindMemory(to: UInt.self).prefix(Int(outcome.frame_count)))
    }
    var previous = ""
    for frame in frames {
      var address: UInt = 0
      guard let path = notebook_library(frame, &address) else { continue }
      let library = URL(fileURLWithPath: String(cString: path))
      let isCell = library.path.hasPrefix(session.scratch.path)
      guard isCell || session.packages.contains(library: library) else { continue }
      guard
        let answer = try? Subprocess.run(
          session.toolchain.program("llvm-symbolizer"), ["-e", library.path, "0x" + String(address, radix: 16)])
      else { continue }
      // Pairs of lines, a function and its file:line:column, the innermost inlined function first.
      let text = answer.output.split(separator: "\n").map(String.init)
      for index in stride(from: 0, to: text.count - 1, by: 2) {
        let prefix = "Swift runtime failure: "
        if text[index].hasPrefix(prefix) {
          runtimeFailure = runtimeFailure ?? String(text[index].dropFirst(prefix.count))
        }
        guard let match = text[index + 1].firstMatch(of: /^(.+):(\d+):\d+$/), let line = Int(match.2), line > 0,
          !match.1.hasPrefix("<compiler-generated>"), previous != text[index + 1]
        else { continue }
        previous = text[index + 1]
        let module = isCell ? library.deletingPathExtension().lastPathComponent : ""
        lines.append(Place(module: module, file: String(match.1), line: line))
      }
    }
  }
}
