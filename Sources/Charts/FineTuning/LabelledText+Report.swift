import LoRADatasets

extension LabelledText {
  /// "6,920 texts in 2 classes", "5,749 pairs of texts with a number each".
  public var account: String {
    let texts = isPaired ? count.counted("pair of texts", "pairs of texts") : count.counted("text")
    if columns?.label.isEmpty == true { return texts }
    return switch targets.problem {
    case .singleLabel: "\(texts) in \(labelNames.count.counted("class", "classes"))"
    case .multiLabel: "\(texts) with any of \(labelNames.count.counted("label"))"
    case .regression: "\(texts) with a number each"
    }
  }

  /// Which columns were taken, and the first three rows.
  ///
  /// - Parameter name: the file's.
  public func columnsSection(_ name: String) -> Report.Section? {
    guard let columns else { return nil }
    let names = columns.text + columns.label
    let width = columns.preview.first?.count ?? 0
    // Of several columns of labels, one list.
    let headings = width == names.count ? names : columns.text + (width > columns.text.count ? ["labels"] : [])
    let rows = columns.preview.map { row in row.map { Report.Value.text(LabelledText.shortened($0)) } }
    return .init(
      "The first rows of \(name)",
      [
        .note("\(account): \(columns.description)."),
        .figure(
          Table(
            columns: headings.map { columns.text.contains($0) ? .prose($0) : .text($0) },
            rows: rows.filter { $0.count == headings.count })),
      ])
  }

  /// The same in a few lines.
  public func columnsLines(_ name: String) -> [String] {
    guard let columns else { return [] }
    let names = labelNames.prefix(8).joined(separator: ", ") + (labelNames.count > 8 ? ", …" : "")
    let labels = targets.problem == .regression || columns.label.isEmpty ? "" : " (\(names))"
    return ["\(name): \(account)\(labels); \(columns.description)."]
      + columns.preview.map { "  " + $0.map(LabelledText.shortened).joined(separator: " | ") }
  }

  private static func shortened(_ text: String) -> String {
    let line = text.split(whereSeparator: \.isNewline).joined(separator: " ")
    return line.count > 100 ? line.prefix(100) + "…" : line
  }
}
