import LoRAFiles

/// How a file writes which labels a text has.
enum LabelSetStyle: Equatable {
  /// A list of names or numbers: ["a", "b"], as JSON or as Python prints it.
  case list
  /// A list with a 0 or a 1 for every label.
  case flags
  /// Names between this character.
  case separated(Character)

  /// Of some labels that are met; nil where each is one label.
  init?(of labels: [String]) {
    let lists = labels.compactMap(LabelSetStyle.elements)
    if !labels.isEmpty, lists.count == labels.count {
      let isEven = lists.allSatisfy { $0.count == lists[0].count } && lists[0].count > 1
      self = isEven && lists.allSatisfy { $0.allSatisfy { LabelFlag($0) != nil } } ? .flags : .list
      return
    }
    // "a,b" is two labels where a and b are labels too; "Bars, restaurants" alone is one.
    let known = Set(labels)
    for separator in [",", ";", "|"] as [Character] {
      let several = known.filter { $0.contains(separator) }
      let parts = several.map { $0.split(separator: separator).map { String($0).trimmed } }
      guard !several.isEmpty, several.count < known.count else { continue }
      let whole = known.subtracting(several)
      if parts.allSatisfy({ $0.contains(where: whole.contains) }) {
        self = .separated(separator)
        return
      }
    }
    return nil
  }

  /// The labels that a text says it has; of flags, the places of those that are on. Nil where it is not so written.
  func labels(in text: String) -> [String]? {
    switch self {
    case .list: return LabelSetStyle.elements(text)
    case .separated(let separator):
      return text.split(separator: separator).map { String($0).trimmed }.filter { !$0.isEmpty }
    case .flags:
      guard let flags = LabelSetStyle.elements(text)?.map({ LabelFlag($0) }), !flags.contains(where: { $0 == nil })
      else { return nil }
      return flags.enumerated().filter { $0.element == .on }.map { String($0.offset) }
    }
  }

  /// The elements of a list.
  static func elements(_ text: String) -> [String]? {
    guard text.first == "[", text.last == "]" else { return nil }
    // Python prints its lists with single quotes.
    let list =
      (try? JSON(parsing: text))?.array ?? (try? JSON(parsing: text.replacing("'", with: "\"")))?.array
    return list.flatMap { list in
      let texts = list.compactMap(RowReader.text)
      return texts.count == list.count ? texts : nil
    }
  }
}
