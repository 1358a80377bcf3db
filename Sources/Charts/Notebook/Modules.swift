// How modules look in a notebook.
import LoRANetworks

extension ModuleSummary: CustomPlaygroundDisplayConvertible {
  public var playgroundDescription: Any {
    let page = Table(
      title: title, columns: zip(Self.columns, [true, true, true, false, false]).map { .init($0, isText: $1) },
      // No page keeps the blanks that a text is indented by.
      rows: table.map { [$0[0].replacing("  ", with: "\u{2003}")] + $0.dropFirst() }
    ).playgroundDescription
    return (page as? [String: String] ?? [:]).merging(["text/plain": description]) { $1 }
  }
}
