// Numbers of things, as people read them.

extension Int {
  /// 60000 as "60,000".
  package var grouped: String {
    var digits = String(magnitude)
    var end = digits.endIndex
    while let next = digits.index(end, offsetBy: -3, limitedBy: digits.startIndex), next > digits.startIndex {
      digits.insert(",", at: next)
      end = next
    }
    return (self < 0 ? "-" : "") + digits
  }

  /// 1 as "1 text", 60000 as "60,000 texts".
  ///
  /// - `plural`: where it is not the noun with an s.
  package func counted(_ noun: String, _ plural: String? = nil) -> String {
    "\(grouped) \(self == 1 ? noun : plural ?? noun + "s")"
  }
}
