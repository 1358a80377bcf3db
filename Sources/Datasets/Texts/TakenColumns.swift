/// Which columns of a file the texts and their labels were taken from, so that it can be said.
public struct TakenColumns: Sendable, Equatable {
  /// One column, or two where texts come in pairs. "column 0" where no line names them.
  public let text: [String]
  /// The label's column; several where each is a label of its own.
  public let label: [String]
  /// Whether the first line names the columns; nil where every row does (JSON).
  public let hasHeader: Bool?
  /// How the fields lie: "commas", "tabs", "JSON lines".
  public let format: String
  /// The first three rows: texts, and the labels as they are written.
  public let preview: [[String]]

  /// In a sentence: `text from “text”, label from “label” (commas; the first line names the columns)`.
  public var description: String {
    func list(_ names: [String]) -> String { names.map { "“\($0)”" }.joined(separator: " and ") }
    let header = hasHeader.map { $0 ? "; the first line names the columns" : "; the first line is an example" } ?? ""
    let labels = label.count > 6 ? list(Array(label.prefix(6))) + " and \(label.count - 6) more" : list(label)
    return (text.count > 1 ? "pairs of texts from " : "text from ") + list(text)
      + (label.isEmpty ? "" : (label.count > 1 ? ", labels from " : ", label from ") + labels) + " (\(format)\(header))"
  }
}
