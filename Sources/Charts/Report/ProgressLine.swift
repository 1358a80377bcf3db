/// The text of a progress bar: what, how far, how fast, how long still. It prints nothing: a terminal is for the
/// command line to write to.
public struct ProgressLine: Sendable {
  /// What is going on, at the line's beginning.
  public let label: String
  /// How many steps there are in all; 0 where nobody knows.
  public let total: Int

  /// A line for so many steps.
  public init(label: String, total: Int) {
    self.label = label
    self.total = total
  }

  /// `base [███████░░░] 2,100/6,000  412/s  loss 0.1312  0:09 left`
  ///
  /// - `width`: cells that it may take; where they are few, the bar, the note and the rate give way in turn.
  public func text(done: Int, seconds: Double, note: String = "", unit: String = "", width: Int = .max) -> String {
    let rate = seconds > 0 ? Double(done) / seconds : 0
    let time =
      done >= total
      ? ProgressLine.format(seconds: seconds)
      : rate > 0 ? "\(ProgressLine.format(seconds: Double(total - done) / rate)) left" : ""
    func text(bar: Int, note: String, rate: String) -> String {
      let bar = bar > 0 ? " \(self.bar(done: done, width: bar))" : ""
      return (["\(label)\(bar) \(done.grouped)/\(total.grouped)\(unit)"] + [rate, note, time].filter { !$0.isEmpty })
        .joined(separator: "  ")
    }
    let speed = rate > 0 ? "\(ProgressLine.format(rate: rate))/s" : ""
    let texts = [
      text(bar: 24, note: note, rate: speed), text(bar: 12, note: note, rate: speed),
      text(bar: 12, note: note.shortened(to: 20), rate: speed), text(bar: 12, note: "", rate: speed),
      text(bar: 0, note: "", rate: ""),
    ]
    return texts.first { $0.displayWidth <= width } ?? texts[4].shortened(to: width)
  }

  private func bar(done: Int, width: Int) -> String {
    let share = total > 0 ? min(1, Double(done) / Double(total)) : 1
    let full = Int((share * Double(width)).rounded())
    return "[" + String(repeating: "█", count: full) + String(repeating: "░", count: width - full) + "]"
  }

  static func format(rate: Double) -> String {
    rate >= 100 ? Int(rate.rounded()).grouped : "\((rate * 10).rounded() / 10)"
  }

  /// 9 s → 0:09, 3,671 s → 1:01:11
  public static func format(seconds: Double) -> String {
    let whole = Int(seconds.rounded())
    func two(_ x: Int) -> String { x < 10 ? "0\(x)" : "\(x)" }
    let (hours, minutes, rest) = (whole / 3600, whole / 60 % 60, whole % 60)
    return hours > 0 ? "\(hours):\(two(minutes)):\(two(rest))" : "\(minutes):\(two(rest))"
  }
}
