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

  /// `base [███████░░░] 2100/6000  412/s  loss 0.1312  0:09 left`
  public func text(done: Int, seconds: Double, note: String = "", unit: String = "", width: Int = 24) -> String {
    let share = total > 0 ? min(1, Double(done) / Double(total)) : 1
    let full = Int((share * Double(width)).rounded())
    let bar = String(repeating: "█", count: full) + String(repeating: "░", count: width - full)
    let rate = seconds > 0 ? Double(done) / seconds : 0
    var parts = ["\(label) [\(bar)] \(done)/\(total)\(unit)"]
    if rate > 0 { parts.append("\(ProgressLine.format(rate: rate))/s") }
    if !note.isEmpty { parts.append(note) }
    if done >= total {
      parts.append(ProgressLine.format(seconds: seconds))
    } else if rate > 0 {
      parts.append("\(ProgressLine.format(seconds: Double(total - done) / rate)) left")
    }
    return parts.joined(separator: "  ")
  }

  static func format(rate: Double) -> String {
    if rate >= 100 { return "\(Int(rate.rounded()))" }
    return "\((rate * 10).rounded() / 10)"
  }

  /// 9 s → 0:09, 3,671 s → 1:01:11
  public static func format(seconds: Double) -> String {
    let whole = Int(seconds.rounded())
    func two(_ x: Int) -> String { x < 10 ? "0\(x)" : "\(x)" }
    let (hours, minutes, rest) = (whole / 3600, whole / 60 % 60, whole % 60)
    return hours > 0 ? "\(hours):\(two(minutes)):\(two(rest))" : "\(minutes):\(two(rest))"
  }
}
