import LoRAAdapters
import LoRAFiles
import LoRATensors

/// What an operation has to say, once. A terminal's text, JSON, one HTML file and a notebook's cell are views of it, so
/// they can't disagree.
///
/// ```swift
/// var report = Report(title: "LoRA on digits", summary: "What one sees.")
/// report.sections.append(.init("Loss", [.prose("It falls."), .figure(chart, caption: "Mean of 10 steps.")]))
/// report.html
/// ```
/// Text in `backquotes` is set as code; nothing else in prose has a meaning.
public struct Report: Sendable {
  /// A heading and what stands under it.
  public struct Section: Sendable {
    /// The heading.
    public var title: String
    /// From top to bottom.
    public var blocks: [Block]

    /// A section of these blocks.
    public init(_ title: String, _ blocks: [Block]) {
      self.title = title
      self.blocks = blocks
    }
  }

  /// A part of a section.
  public enum Block: Sendable {
    /// A paragraph.
    case prose(String)
    /// Prose for a page, where there is room.
    case note(String)
    /// Numbers that matter, each with what it counts.
    case highlights([Field])
    /// Names and values, a line each.
    case fields([Field])
    /// For every view; JSON has it by its key.
    case table(Table, caption: String? = nil)
    /// For a page.
    case figure(any Figure, caption: String? = nil)
    /// Charts side by side at equal height, in several lines when they are many; one below the other on a narrow screen.
    /// The page is 1,000 pixels wide, so two charts look best about 480 wide and three about 320.
    case row([any Chart], caption: String? = nil)
    /// What a terminal shows in place of figures, as it stands.
    case terminal(String)
  }

  /// What it is about, with names.
  public var title: String
  /// What one sees, in a few sentences.
  public var summary: String
  /// From top to bottom.
  public var sections: [Section]
  /// `nil` where nothing is looked for.
  public var findings: [Finding]?
  /// How it ended, in a sentence.
  public var conclusion: Remark?
  /// What was asked for and how it was made; for a page.
  public var settings: [Field]
  /// What only programs want to know.
  public var members: [JSON.Member]
  private var parts: JSON?

  /// A report, whose parts may be added later.
  public init(
    title: String, summary: String, sections: [Section] = [], findings: [Finding]? = nil,
    conclusion: Remark? = nil, settings: [Field] = [], members: [JSON.Member] = []
  ) {
    (self.title, self.summary, self.sections, self.findings) = (title, summary, sections, findings)
    (self.conclusion, self.settings, self.members) = (conclusion, settings, members)
  }

  /// Several as one, each a member of the JSON.
  public init(joining reports: [(key: String, report: Report)]) {
    expect(!reports.isEmpty, "Report(joining:): no reports")
    self = reports[0].report
    sections = reports.flatMap(\.report.sections)
    findings = reports.flatMap { $0.report.findings ?? [] }
    summary = reports.map(\.report.summary).joined(separator: " ")
    parts = .object(reports.map { JSON.Member($0.key, $0.report.json) })
  }

  /// What is there for programs: fields and tables by their keys, findings, and the rest.
  public var json: JSON {
    if let parts { return parts }
    var result: [JSON.Member] = []
    for block in sections.flatMap(\.blocks) {
      switch block {
      case .highlights(let fields), .fields(let fields):
        result += fields.compactMap { field in field.key.map { JSON.Member($0, field.value.json) } }
      case .table(let table, _):
        if let key = table.key { result.append(JSON.Member(key, table.json)) }
      default: break
      }
    }
    if let findings {
      let table = Table(
        of: findings,
        [
          .init(key: "severity") { .text($0.severity.rawValue) }, .init(key: "message") { .text($0.message) },
          .init(key: "subjects") { .texts($0.subjects) },
        ])
      result.append(JSON.Member("findings", table.json))
    }
    // The first of a name counts: what stands in a table's cell and at the top is one and the same.
    return JSON.object(
      (members + result).reduce(into: [JSON.Member]()) { all, member in
        if !all.contains(where: { $0.key == member.key }) { all.append(member) }
      })
  }
}

extension Finding.Severity {
  /// In a line of text.
  var label: String { self == .error ? "ERROR" : rawValue }
}
