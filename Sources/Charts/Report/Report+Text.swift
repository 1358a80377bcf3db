// A report in a terminal.

import LoRAAdapters

extension Report {
  /// For a terminal: tables and lines, then the summary, what is odd, and how it ended.
  public func text(_ style: TextStyle = .plain) -> String {
    let shown = sections.map { (title: $0.title, blocks: $0.blocks.compactMap { Self.text($0, style) }) }
      .filter { !$0.blocks.isEmpty }
    var parts = shown.flatMap { section in
      (shown.count > 1 ? [style.painted(section.title.visible, .bold)] : []) + section.blocks
    }
    if !summary.isEmpty { parts.append(Self.prose(summary, style)) }
    if let findings, !findings.isEmpty { parts.append(Self.text(findings, style)) }
    if let conclusion { parts.append(style.painted(Self.prose(conclusion.text, style), conclusion.paint)) }
    return parts.joined(separator: "\n\n")
  }

  private static func text(_ block: Block, _ style: TextStyle) -> String? {
    switch block {
    case .prose(let text): return prose(text, style)
    case .highlights(let fields), .fields(let fields):
      let shown = fields.compactMap { field in field.label.map { ($0.visible, field.value.plainText.visible) } }
      guard let width = shown.map(\.0.displayWidth).max() else { return nil }
      return shown.map { label, value in
        label + String(repeating: " ", count: width - label.displayWidth + 2)
          + style.wrapped(value, indent: width + 2).joined(separator: "\n")
      }.joined(separator: "\n")
    case .table(let table, _): return table.rows.isEmpty ? nil : table.text(style, limit: 400)
    case .terminal(let text): return text
    case .note, .figure, .row: return nil
    }
  }

  private static func prose(_ text: String, _ style: TextStyle) -> String {
    style.wrapped(text.visible.replacing("`", with: "")).joined(separator: "\n")
  }

  /// Findings, the worst first, each with what it is about.
  private static func text(_ findings: [Finding], _ style: TextStyle, limit: Int = 8) -> String {
    findings.sorted { $0.severity > $1.severity }.map { finding in
      let subjects = finding.subjects.prefix(limit).map(\.visible)
      let more = finding.subjects.count > limit ? ["… and \(finding.subjects.count - limit) more"] : []
      var lines = style.wrapped(
        "\(finding.severity.label): \(finding.message.visible)\(subjects.isEmpty ? "" : ":")", indent: 2)
      let paint: TextStyle.Paint =
        switch finding.severity {
        case .error: .red
        case .warning: .yellow
        case .note: .dim
        }
      let label = finding.severity.label + ":"
      lines[0] = style.painted(label, paint) + lines[0].dropFirst(label.count)
      return (lines + (subjects + more).map { "    " + style.wrapped($0, indent: 4).joined(separator: "\n") })
        .joined(separator: "\n")
    }.joined(separator: "\n")
  }
}
