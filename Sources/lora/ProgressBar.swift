import Foundation
import LoRAKit

/// Progress on standard error: a bar that redraws itself on a terminal, a plain line now and then elsewhere.
///
/// ```swift
/// let bar = ProgressBar("merging", total: tensors.count, isQuiet: output.quiet)
/// for tensor in tensors { …; bar.advance() }
/// bar.finish()
/// ```
final class ProgressBar {
  private let line: ProgressLine
  private let unit: String
  private let isQuiet: Bool
  private let isTerminal = isatty(STDERR_FILENO) == 1
  private let start = Date()
  private var lastDrawn = Date()
  private var hasDrawn = false
  private var done = 0

  init(_ label: String, total: Int, unit: String = "", isQuiet: Bool) {
    self.line = ProgressLine(label: label, total: total)
    self.unit = unit
    self.isQuiet = isQuiet
  }

  /// Counts work as done; `note` is only made when the bar is drawn.
  func advance(by amount: Int = 1, note: @autoclosure () -> String = "") {
    done += amount
    if isQuiet { return }
    let now = Date()
    guard now.timeIntervalSince(lastDrawn) > (isTerminal ? 0.1 : 5) else { return }
    lastDrawn = now
    hasDrawn = true
    draw(note(), at: now)
  }

  /// Draws the bar a last time and ends the line.
  func finish(note: String = "") {
    if isQuiet { return }
    draw(note, at: Date())
    if isTerminal { write("\n") }
  }

  /// Leaves the line as it is, for a message to follow.
  func abandon() {
    if !isQuiet && isTerminal && hasDrawn { write("\n") }
  }

  private func draw(_ note: String, at now: Date) {
    // One cell less than there are: a terminal breaks the line after the last.
    let width = Terminal.width(STDERR_FILENO).map { $0 - 1 } ?? .max
    let text = line.text(
      done: done, seconds: now.timeIntervalSince(start), note: note.visible, unit: unit, width: width)
    // \u{1B}[K clears what a longer line before has left.
    write(isTerminal ? "\r\(text)\u{1B}[K" : text + "\n")
  }

  private func write(_ text: String) { StandardError.write(text) }
}

/// Comments on standard error, unless quiet.
func comment(_ text: String, isQuiet: Bool) {
  guard !isQuiet else { return }
  let lines = Terminal.style(STDERR_FILENO).wrapped(text.visible)
  StandardError.write(lines.joined(separator: "\n") + "\n")
}
