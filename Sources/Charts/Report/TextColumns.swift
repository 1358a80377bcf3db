/// Texts beside each other in columns of a fixed-width font, row by row as they grow.
///
/// ```swift
/// var columns = TextColumns(count: 2, within: 80)!
/// columns.append("Once upon a time ", to: 0)
/// columns.append("ROMEO: ", to: 1)
/// print(columns.completeRows())  // those that no later text changes
/// ```
package struct TextColumns {
  /// Terminal cells of a column.
  package let width: Int
  private var texts: [WrappedText]
  private static let separator = " │ "
  private static let leastWidth = 28

  /// Columns for `count` texts in `totalWidth` cells; nil where they would be too narrow to read.
  package init?(count: Int, within totalWidth: Int) {
    let room = totalWidth - (count - 1) * TextColumns.separator.count
    guard count > 0, room / count >= TextColumns.leastWidth else { return nil }
    width = room / count
    texts = Array(repeating: WrappedText(width: room / count), count: count)
  }

  /// Two rows: the names, and a rule.
  package func header(_ names: [String]) -> [String] {
    let cells = names.map { name in name.displayWidth > width ? String(name.prefix(width / 2 - 1)) + "…" : name }
    return [
      row(cells), Array(repeating: String(repeating: "─", count: width), count: names.count).joined(separator: "─┼─"),
    ]
  }

  package mutating func append(_ text: String, to column: Int) { texts[column].append(text) }

  /// Nothing more comes in this column.
  package mutating func end(_ column: Int) { texts[column].end() }

  /// The rows, not given out before, that are complete in every column.
  package mutating func completeRows() -> [String] {
    let longest = texts.map(\.lines.count).max()!
    let count = texts.filter { !$0.hasEnded }.map(\.lines.count).min() ?? longest
    let rows = (0..<count).map { index in row(texts.map { index < $0.lines.count ? $0.lines[index] : "" }) }
    for index in texts.indices { texts[index].lines.removeFirst(min(count, texts[index].lines.count)) }
    return rows
  }

  private func row(_ cells: [String]) -> String {
    cells.enumerated().map { index, cell in
      index == cells.count - 1 ? cell : cell + String(repeating: " ", count: max(0, width - cell.displayWidth))
    }.joined(separator: TextColumns.separator)
  }
}

extension Substring {
  fileprivate func trimmingSuffix(while isTrimmed: (Character) -> Bool) -> Substring {
    self[..<(lastIndex { !isTrimmed($0) }.map(index(after:)) ?? startIndex)]
  }
}

/// A text broken into lines as it grows: at spaces and beside wide characters, inside a word where it is longer than a
/// line.
struct WrappedText {
  let width: Int
  /// Lines that no later text changes.
  var lines: [String] = []
  private(set) var hasEnded = false
  private var rest = ""

  init(width: Int) { self.width = width }

  mutating func append(_ text: String) {
    for character in text {
      switch character {
      case "\t": rest += "    "
      case _ where character.isNewline: rest += "\n"
      case _ where character.unicodeScalars.contains { $0.properties.generalCategory == .control }: break
      default: rest.append(character)
      }
    }
    while let end = firstLineEnd() {
      lines.append(String(rest[..<end.line].trimmingSuffix { $0 == " " }))
      rest = String(rest[end.next...])
    }
  }

  mutating func end() {
    if !rest.isEmpty { lines.append(rest) }
    rest = ""
    hasEnded = true
  }

  /// Where the first line ends and the next begins; nil as long as more text could go on it.
  private func firstLineEnd() -> (line: String.Index, next: String.Index)? {
    var used = 0
    var lastBreak: (line: String.Index, next: String.Index)?
    for index in rest.indices {
      let character = rest[index]
      let next = rest.index(after: index)
      if character == "\n" { return (index, next) }
      if character == " " { lastBreak = (index, next) }
      let cells = character.displayWidth
      used += cells
      guard used <= width else { return lastBreak ?? (index, index) }
      if cells == 2 { lastBreak = (next, next) }
    }
    return nil
  }
}

// MARK: - Terminal cells

extension String {
  /// Cells that a terminal shows it in.
  package var displayWidth: Int { reduce(0) { $0 + $1.displayWidth } }
}

extension Character {
  /// 0, 1 or 2 cells: East Asian wide characters (Unicode Standard Annex #11) and emoji take two, marks alone none.
  package var displayWidth: Int {
    if unicodeScalars.contains(where: { $0.value == 0xFE0F }) { return 2 }
    return unicodeScalars.map(\.displayWidth).max() ?? 0
  }
}

extension Unicode.Scalar {
  /// The blocks whose characters are wide.
  private static let wide: [ClosedRange<UInt32>] = [
    0x1100...0x115F, 0x2E80...0x303E, 0x3041...0x4DBF, 0x4E00...0xA4CF, 0xA960...0xA97F, 0xAC00...0xD7A3,
    0xF900...0xFAFF, 0xFE30...0xFE6F, 0xFF01...0xFF60, 0xFFE0...0xFFE6, 0x16FE0...0x18DFF, 0x1AFF0...0x1B2FF,
    0x20000...0x3FFFD,
  ]

  fileprivate var displayWidth: Int {
    if value < 0x300 { return properties.generalCategory == .control ? 0 : 1 }
    switch properties.generalCategory {
    case .nonspacingMark, .enclosingMark, .format, .control: return 0
    default: return properties.isEmojiPresentation || Unicode.Scalar.wide.contains { $0.contains(value) } ? 2 : 1
    }
  }
}
