import LoRAFiles
import LoRATensors

/// Rows and columns of values: for a terminal of any width, a page, a notebook, or as JSON.
///
/// ```swift
/// Table(key: "modules", of: report.modules, [
///   .init("module", key: "path") { .text($0.path) },
///   .init("parameters", key: "parameters", total: .count(sum)) { .count($0.parameterCount) },
/// ])
/// ```
public struct Table: Figure {
  /// A column's heading and how its entries lie.
  public struct Column: Sendable, ExpressibleByStringInterpolation {
    /// `nil`: for programs only.
    public let name: String?
    /// `nil`: for people only.
    public let key: String?
    /// Text starts on the left; numbers end on the right.
    public let isText: Bool
    /// Whether the text may be of any length.
    public let wraps: Bool
    /// What stands below the rows.
    public let total: Report.Value?

    /// A column; of numbers unless it is said to hold text.
    public init(
      _ name: String?, key: String? = nil, isText: Bool = false, wraps: Bool = false, total: Report.Value? = nil
    ) {
      (self.name, self.key, self.isText, self.wraps, self.total) = (name, key, isText, wraps, total)
    }

    /// A column of numbers.
    public init(stringLiteral name: String) { self.init(name) }
    /// A column of short texts.
    public static func text(_ name: String) -> Column { Column(name, isText: true) }
    /// Text of any length.
    public static func prose(_ name: String) -> Column { Column(name, isText: true, wraps: true) }
  }

  /// A column with what it shows of a row.
  public struct Property<Row> {
    let column: Column
    let value: (Row) -> Report.Value

    /// A column and how its value is read from a row.
    public init(
      _ name: String? = nil, key: String? = nil, wraps: Bool = false, total: Report.Value? = nil,
      _ value: @escaping (Row) -> Report.Value
    ) {
      column = Column(name, key: key, wraps: wraps, total: total)
      self.value = value
    }
  }

  /// The heading; nil for none.
  public let title: String?
  /// Its name in JSON; `nil`: for people only.
  public let key: String?
  /// From left to right.
  public let columns: [Column]
  /// From top to bottom, each with one entry a column.
  public let rows: [[Report.Value]]
  /// The row that stands out.
  public let emphasizedRow: Int?

  /// - `rows`: each with one entry a column.
  public init(
    title: String? = nil, key: String? = nil, columns: [Column], rows: [[Report.Value]], emphasizedRow: Int? = nil
  ) {
    for row in rows {
      expect(row.count == columns.count, "Table: a row of \(row.count) entries for \(columns.count) columns")
    }
    (self.title, self.key, self.columns, self.rows, self.emphasizedRow) = (title, key, columns, rows, emphasizedRow)
  }

  /// Entries that are text already.
  public init(title: String? = nil, columns: [Column], rows: [[String]], emphasizedRow: Int? = nil) {
    self.init(
      title: title, columns: columns, rows: rows.map { $0.map { Report.Value.text($0) } }, emphasizedRow: emphasizedRow)
  }

  /// A row for each of `items`; a column with text in it is one of text.
  public init<Row>(
    title: String? = nil, key: String? = nil, of items: [Row], _ properties: [Property<Row>], emphasizedRow: Int? = nil
  ) {
    let rows = items.map { item in properties.map { $0.value(item) } }
    let columns = properties.enumerated().map { index, property in
      let column = property.column
      return Column(
        column.name, key: column.key, isText: rows.contains { $0[index].isText } || rows.isEmpty && index == 0,
        wraps: column.wraps, total: column.total)
    }
    self.init(title: title, key: key, columns: columns, rows: rows, emphasizedRow: emphasizedRow)
  }

  /// The columns that people see.
  var shown: [Int] { columns.indices.filter { columns[$0].name != nil } }
  private var hasTotal: Bool { columns.contains { $0.total != nil } }

  /// The entries that people see and, below them, the totals.
  private func texts(_ text: (Report.Value) -> String) -> (body: [[String]], foot: [String]?) {
    let entries = shown.map { index in
      let values = rows.map { $0[index] } + (columns[index].total.map { [$0] } ?? [])
      let isAligned = values.allSatisfy { if case .number = $0 { true } else { $0 == .unknown } }
      return isAligned ? aligned(values.map { text($0.inColumn) }) : values.map(text)
    }
    let body = rows.indices.map { row in entries.map { $0[row] } }
    return (body, hasTotal ? entries.map { $0.count > rows.count ? $0[rows.count] : "" } : nil)
  }

  /// Numbers that end on the right, with their points one below the other; in spaces as wide as digits and points.
  private func aligned(_ numbers: [String]) -> [String] {
    let fractions = numbers.map { number in
      number.firstIndex(of: ".").map { number.distance(from: $0, to: number.endIndex) - 1 }
    }
    let longest = fractions.compactMap(\.self).max() ?? 0
    return zip(numbers, fractions).map { number, fraction in
      let point = longest > 0 && fraction == nil ? "\u{2008}" : ""
      return number + point + String(repeating: "\u{2007}", count: longest - (fraction ?? 0))
    }
  }

  /// An array with an object for each row.
  public var json: JSON {
    .array(
      rows.map { row in
        .object(zip(columns, row).compactMap { column, value in column.key.map { JSON.Member($0, value.json) } })
      })
  }

  public var html: String {
    func cell(_ column: Column, _ text: String) -> Markup {
      switch (column.isText, column.wraps) {
      case (true, true): Markup("td", ["class": "leading prose"], breakable: text)
      case (true, false):
        Markup("td", ["class": text.count > 24 ? "leading path" : "leading"], breakable: text)
      default: Markup("td", text: text)
      }
    }
    let caption = title.map { [Markup("caption", text: $0)] } ?? []
    let names = shown.map { index in
      let name = columns[index].name ?? ""
      return columns[index].isText
        ? Markup("th", ["scope": "col", "class": "leading"], text: name) : Markup("th", ["scope": "col"], text: name)
    }
    let texts = texts(\.text)
    func line(_ texts: [String]) -> [Markup] { zip(shown, texts).map { cell(columns[$0], $1) } }
    let body = texts.body.enumerated().map { index, row in
      Markup("tr", ["class": index == emphasizedRow ? "strong" : "row"], line(row))
    }
    let foot = texts.foot.map { [Markup("tfoot", [:], [Markup("tr", [:], line($0))])] } ?? []
    return Markup(
      "div", ["class": "table", "tabindex": 0],
      [
        Markup(
          "table", [:],
          caption + [Markup("thead", [:], [Markup("tr", [:], names)]), Markup("tbody", [:], body)] + foot)
      ]
    ).source
  }

  public var plainText: String { text(.plain) }
}

// MARK: - In a terminal

extension Table {
  /// Columns in line, two spaces between them, a rule below the names, another above the totals. Where they don't fit,
  /// names are broken, then texts are shortened, or wrapped where they may be of any length, then the table is cut into several with the first column each.
  ///
  /// - `limit`: rows beyond this many are counted, not shown.
  public func text(_ style: TextStyle, limit: Int = .max) -> String {
    let grid = Grid(self, limit: limit)
    var lines = (title.map { [style.painted($0.visible, .bold)] } ?? []) + grid.lines(style)
    if rows.count > limit {
      lines.append(style.painted("… and \((rows.count - limit).grouped) more (--json has all)", .dim))
    }
    return lines.joined(separator: "\n")
  }

  /// The cells that are shown, as text.
  private struct Grid {
    let isText: [Bool]
    let wraps: [Bool]
    let heads: [String]
    let body: [[String]]
    let foot: [String]?
    let emphasizedRow: Int?
    private static let gap = 2
    private static let leastTextWidth = 16

    init(_ table: Table, limit: Int) {
      let shown = table.shown
      isText = shown.map { table.columns[$0].isText }
      wraps = shown.map { table.columns[$0].wraps }
      heads = shown.map { (table.columns[$0].name ?? "").visible }
      let texts = table.texts { $0.plainText.visible }
      func typed(_ row: [String]) -> [String] {
        row.map { $0.replacing(/[\u{2007}\u{2008}]/, with: " ") }
      }
      (body, foot) = (texts.body.prefix(limit).map(typed), texts.foot.map(typed))
      emphasizedRow = table.emphasizedRow
    }

    func lines(_ style: TextStyle) -> [String] {
      guard !heads.isEmpty else { return [] }
      let cells = heads.indices.map { column in
        (body + (foot.map { [$0] } ?? [])).map { $0[column].displayWidth }.max() ?? 0
      }
      var widths = zip(cells, heads).map { max($0, $1.displayWidth) }
      guard let most = style.width, total(widths) > most else { return block(Array(heads.indices), widths, style) }
      widths = zip(cells, heads).map { cell, head in
        max(cell, head.split(separator: " ").map { String($0).displayWidth }.max() ?? 0)
      }
      // Texts give way, the longest first.
      while total(widths) > most,
        let longest = widths.indices.filter({ isText[$0] && widths[$0] > Self.leastTextWidth })
          .max(by: { widths[$0] < widths[$1] })
      {
        widths[longest] -= min(total(widths) - most, max(1, widths[longest] - Self.leastTextWidth))
      }
      widths = widths.map { min($0, most) }
      return blocks(widths, most).map { block($0, widths, style) }.reduce([]) { $0.isEmpty ? $1 : $0 + [""] + $1 }
    }

    private func total(_ widths: [Int]) -> Int { widths.reduce(-Self.gap) { $0 + $1 + Self.gap } }

    /// Columns that fit beside each other, the first in each.
    private func blocks(_ widths: [Int], _ most: Int) -> [[Int]] {
      var blocks: [[Int]] = [[0]]
      for column in heads.indices.dropFirst() {
        let last = blocks[blocks.count - 1] + [column]
        if last.count == 2 || total(last.map { widths[$0] }) <= most {
          blocks[blocks.count - 1] = last
        } else {
          blocks.append([0, column])
        }
      }
      return blocks
    }

    private func block(_ columns: [Int], _ widths: [Int], _ style: TextStyle) -> [String] {
      func line(_ cells: [String]) -> String {
        let padded = zip(columns, cells).map { column, text in
          let text = text.shortened(to: widths[column])
          let padding = String(repeating: " ", count: max(0, widths[column] - text.displayWidth))
          return isText[column] ? text + padding : padding + text
        }
        let joined = padded.joined(separator: String(repeating: " ", count: Self.gap))
        return String(joined.reversed().drop { $0 == " " }.reversed())
      }
      let names = columns.map { TextStyle(exactWidth: widths[$0]).wrapped(heads[$0]) }
      let height = names.map(\.count).max() ?? 1
      // Broken names end on one line.
      let head = (0..<height).map { row in
        style.painted(line(names.map { row < height - $0.count ? "" : $0[row - height + $0.count] }), .bold)
      }
      let rule = style.painted(
        columns.map { String(repeating: "─", count: widths[$0]) }.joined(separator: "──"), .dim)
      let rows = body.enumerated().flatMap { index, row in
        let cells = columns.map { wraps[$0] ? TextStyle(exactWidth: widths[$0]).wrapped(row[$0]) : [row[$0]] }
        return (0..<(cells.map(\.count).max() ?? 0)).map { part in
          style.painted(line(cells.map { part < $0.count ? $0[part] : "" }), index == emphasizedRow ? .bold : nil)
        }
      }
      let total = foot.map { foot in [rule, style.painted(line(columns.map { foot[$0] }), .bold)] } ?? []
      return head + [rule] + rows + total
    }
  }
}
