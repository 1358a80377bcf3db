import LoRAKit

/// A table in plain text: the first column left, numbers right.
struct TextTable {
  var head: [String]
  var rows: [[String]] = []
  /// A last row below a rule.
  var foot: [String]?
  /// Rows beyond this many are counted, not shown.
  var limit = 400

  var text: String {
    let shown = Array(rows.prefix(limit))
    let all = [head] + shown + (foot.map { [$0] } ?? [])
    let widths = head.indices.map { column in all.map { $0[column].count }.max()! }
    func line(_ cells: [String]) -> String {
      zip(cells, widths).enumerated().map { index, cell in
        let padding = String(repeating: " ", count: cell.1 - cell.0.count)
        return index == 0 ? cell.0 + padding : padding + cell.0
      }.joined(separator: "  ")
    }
    let rule = widths.map { String(repeating: "─", count: $0) }.joined(separator: "──")
    var lines = [line(head), rule] + shown.map(line)
    if rows.count > limit { lines.append("… and \(grouped(rows.count - limit)) more (--json has all)") }
    if let foot { lines += [rule, line(foot)] }
    return lines.joined(separator: "\n")
  }
}

/// 0.0123456 → "0.01235", 1234567 → "1.235e+06".
func short(_ number: Double) -> String { String(format: "%.4g", number) }

/// 0.1234 → "12.34%".
func percent(_ share: Double) -> String { share.isFinite ? "\(fixed(100 * share, share < 0.001 ? 4 : 2))%" : "–" }

/// 27136 → "27.1 kB".
func byteText(_ bytes: Int) -> String {
  let units = ["bytes", "kB", "MB", "GB", "TB"]
  var value = Double(bytes)
  var unit = 0
  while value >= 999.5 && unit < units.count - 1 {
    value /= 1000
    unit += 1
  }
  return unit == 0 ? "\(bytes) bytes" : "\(fixed(value, value < 10 ? 2 : 1)) \(units[unit])"
}

/// Findings as lines, the worst first.
func text(_ findings: [Finding], subjects limit: Int = 8) -> String {
  findings.sorted { $0.severity > $1.severity }.map { finding in
    let label = ["error": "ERROR", "warning": "warning"][finding.severity.rawValue] ?? "note"
    let subjects = finding.subjects.prefix(limit).map { "\n    \($0)" }.joined()
    let more = finding.subjects.count > limit ? "\n    … and \(finding.subjects.count - limit) more" : ""
    return "\(label): \(finding.message)\(finding.subjects.isEmpty ? "" : ":")\(subjects)\(more)"
  }.joined(separator: "\n")
}

/// Findings as JSON.
func json(_ findings: [Finding]) -> JSON {
  .array(
    findings.map { finding in
      [
        "severity": .string(finding.severity.rawValue), "message": .string(finding.message),
        "subjects": .array(finding.subjects.map(JSON.string)),
      ]
    })
}

/// Prints notes and warnings where there are any.
func printFindings(_ findings: [Finding]) {
  if !findings.isEmpty { print("\n" + text(findings)) }
}
