import LoRATensors

/// Rows and columns of text, for a report, a notebook or a terminal.
public struct Table: Figure {
  /// A column's heading and how its entries lie.
  public struct Column: Sendable, ExpressibleByStringInterpolation {
    /// The heading.
    public let name: String
    /// Text starts on the left; numbers end on the right.
    public let isText: Bool
    /// Whether a page may break the text into several lines.
    public let wraps: Bool

    /// A column; of numbers unless it is said to hold text.
    public init(_ name: String, isText: Bool = false, wraps: Bool = false) {
      self.name = name
      self.isText = isText
      self.wraps = wraps
    }

    public init(stringLiteral name: String) { self.init(name) }
    /// A column of short texts.
    public static func text(_ name: String) -> Column { Column(name, isText: true) }
    /// Text of any length.
    public static func prose(_ name: String) -> Column { Column(name, isText: true, wraps: true) }
  }

  /// The heading; nil for none.
  public let title: String?
  /// From left to right.
  public let columns: [Column]
  /// From top to bottom, each with one entry a column.
  public let rows: [[String]]
  /// The row that stands out.
  public let emphasizedRow: Int?

  /// - Parameter rows: each with one entry a column.
  public init(title: String? = nil, columns: [Column], rows: [[String]], emphasizedRow: Int? = nil) {
    for row in rows {
      expect(row.count == columns.count, "Table: a row of \(row.count) entries for \(columns.count) columns")
    }
    self.title = title
    self.columns = columns
    self.rows = rows
    self.emphasizedRow = emphasizedRow
  }

  public var html: String {
    func cells(_ name: String, _ texts: [String]) -> [Markup] {
      zip(columns, texts).map { column, text in
        switch (name, column.isText) {
        case ("th", true): Markup("th", ["scope": "col", "class": "leading"], text: text)
        case ("th", false): Markup("th", ["scope": "col"], text: text)
        case (_, true): Markup("td", ["class": column.wraps ? "leading prose" : "leading"], text: text)
        default: Markup("td", text: text)
        }
      }
    }
    let caption = title.map { [Markup("caption", text: $0)] } ?? []
    let head = Markup("thead", [:], [Markup("tr", [:], cells("th", columns.map(\.name)))])
    let body = rows.enumerated().map { index, row in
      Markup("tr", ["class": index == emphasizedRow ? "strong" : "row"], cells("td", row))
    }
    return Markup(
      "div", ["class": "table", "tabindex": 0],
      [Markup("table", [:], caption + [head, Markup("tbody", [:], body)])]
    ).source
  }

  /// For a terminal: columns in line, two spaces between them, a rule below the names.
  public var plainText: String {
    let widths = columns.indices.map { index in
      ([columns[index].name] + rows.map { $0[index] }).map(\.count).max() ?? 0
    }
    func line(_ texts: [String]) -> String {
      let cells = texts.indices.map { index in
        let padding = String(repeating: " ", count: widths[index] - texts[index].count)
        return columns[index].isText ? texts[index] + padding : padding + texts[index]
      }
      let joined = cells.joined(separator: "  ")
      return String(joined.reversed().drop { $0 == " " }.reversed())
    }
    let rule = widths.map { String(repeating: "─", count: $0) }.joined(separator: "  ")
    return ((title.map { [$0] } ?? []) + [line(columns.map(\.name)), rule] + rows.map(line)).joined(separator: "\n")
  }
}
