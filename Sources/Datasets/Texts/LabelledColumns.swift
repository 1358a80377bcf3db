import Foundation
import LoRAFiles
import LoRATensors

/// Finds which columns of a table hold the texts and the labels, and whether its first row names them: by the names that
/// people use, else by what the columns hold. What is not clear is asked for.
struct LabelledColumns {
  /// The places of one or two columns of texts, and of the label's columns, among `names`.
  let text: [Int]
  let label: [Int]
  /// What the columns are called.
  let names: [String]
  let hasHeader: Bool

  /// Names as `key` makes them; the sooner, the sooner taken.
  private static let textNames = [
    "text", "sentence", "content", "review", "question", "query", "utterance", "tweet", "comment", "commenttext",
    "message", "reviewtext", "reviewbody", "body", "sms", "headline", "title", "document", "description",
  ]
  private static let labelNames = [
    "labeltext", "labelname", "label", "goldlabel", "labels", "category", "class", "intent", "sentiment", "target",
    "emotion", "isduplicate", "quality", "entailmentlabel", "score", "similarity", "similarityscore",
    "relatednessscore", "polarity", "topic", "stars", "rating",
  ]
  /// Of GLUE's tasks (MNLI, QQP, QNLI, MRPC, RTE, STS-B) and their like, and of what rerankers learn from.
  private static let pairNames = [
    ("sentence1", "sentence2"), ("premise", "hypothesis"), ("question1", "question2"), ("question", "sentence"),
    ("1string", "2string"), ("sentencea", "sentenceb"), ("texta", "textb"), ("text1", "text2"), ("query", "passage"),
    ("query", "document"), ("question", "passage"), ("question", "context"), ("question", "answer"),
    ("claim", "evidence"),
  ]
  private static let identifierNames: Set = ["", "id", "idx", "index", "guid", "uid", "unnamed0", "pairid", "promptid"]

  /// A name without case, spaces and signs.
  private static func key(_ name: String) -> String { name.lowercased().filter { $0.isLetter || $0.isNumber } }

  /// - Parameters:
  ///   - text: the columns that were named; empty to find them. `label` likewise, and nil where none is wanted.
  ///   - hasHeader: whether the first row names the columns; nil finds out.
  /// - Throws: `DatasetError` that shows the columns where the choice is not clear.
  init(
    text: [LabelledText.Column], label: [LabelledText.Column]?, in sample: TableSample, hasHeader: Bool?, file: URL
  ) throws {
    let isNamed = (text + (label ?? [])).contains { if case .named = $0 { true } else { false } }
    guard
      let hasHeader = sample.isJSON
        ? true
        : hasHeader ?? (isNamed && Self.names(sample.first, hold: text + (label ?? [])) ? true : Self.hasHeader(sample))
    else {
      throw Self.unclear(
        sample, hasHeader: false, found: "a first line that may name the columns or be an example",
        wantsLabel: label != nil, file: file)
    }
    self.hasHeader = hasHeader
    let names = hasHeader ? sample.first.map(\.trimmed) : sample.first.indices.map { "column \($0)" }
    self.names = names
    func place(of column: LabelledText.Column) throws -> Int {
      try Self.place(of: column, in: sample, hasHeader: hasHeader, wantsLabel: label != nil, file: file)
    }
    let keys = hasHeader ? names.map(Self.key) : []
    func index(of key: String) -> Int? { keys.firstIndex(of: key) }

    var texts = try text.map(place)
    var labels = try label?.map(place) ?? []
    func isFree(_ index: Int) -> Bool { !texts.contains(index) && !labels.contains(index) }
    if text.isEmpty, names.count > 2 || label == nil,
      let pair = Self.pairNames.lazy.compactMap({ pair in
        index(of: pair.0).flatMap { first in index(of: pair.1).map { [first, $0] } }
      }).first(where: { $0.allSatisfy(isFree) })
    {
      texts = pair
    }
    if texts.isEmpty { texts = Self.textNames.lazy.compactMap(index).first(where: isFree).map { [$0] } ?? [] }
    if let label, label.isEmpty {
      labels = Self.labelNames.lazy.compactMap(index).first(where: isFree).map { [$0] } ?? []
      let traits = names.indices.map { sample.traits(of: $0, with: hasHeader ? nil : sample.first[$0]) }
      if labels.isEmpty, hasHeader {
        // Each label as a column of its own.
        let flags = names.indices.filter { isFree($0) && traits[$0].areFlags }
        if flags.count > 1 { labels = flags }
      }
      let rest = names.indices.filter { index in
        isFree(index) && !(hasHeader && Self.identifierNames.contains(Self.key(names[index])))
          && !traits[index].areIdentifiers
      }
      switch (texts.isEmpty, labels.isEmpty, rest.count) {
      case (true, true, 2):
        let (first, second) = (rest[0], rest[1])
        guard
          let isFirst = Self.isLabel(traits[first], ratherThan: traits[second])
            ?? (hasHeader && !sample.isJSON ? false : nil)
        else { throw Self.unclear(sample, hasHeader: hasHeader, file: file) }
        (texts, labels) = isFirst ? ([second], [first]) : ([first], [second])
      case (true, false, 1): texts = rest
      case (false, true, 1): labels = rest
      default: break
      }
      // What is a text's alone is no class.
      if labels.count == 1, traits[labels[0]].count >= 4, traits[labels[0]].distinct == traits[labels[0]].count,
        !traits[labels[0]].areNumbers || traits[labels[0]].areIdentifiers
      {
        throw Self.unclear(
          sample, hasHeader: hasHeader, found: "a label of its own for every text in the column “\(names[labels[0]])”",
          file: file)
      }
    } else if label == nil, texts.isEmpty, names.count == 1 {
      texts = [0]
    }
    guard !texts.isEmpty, label == nil || !labels.isEmpty else {
      throw Self.unclear(sample, hasHeader: hasHeader, wantsLabel: label != nil, file: file)
    }
    if let twice = texts.indices.first(where: { texts[..<$0].contains(texts[$0]) || labels.contains(texts[$0]) }) {
      throw DatasetError(
        .unknownColumn, file: file, found: "the column “\(names[texts[twice]])” named twice",
        expected: "one column for each text and each label",
        advice: Advice("Say which columns they are", Self.naming(label != nil)))
    }
    (self.text, self.label) = (texts, labels)
  }

  private static func names(_ first: [String], hold columns: [LabelledText.Column]) -> Bool {
    columns.allSatisfy { column in
      if case .named(let name) = column {
        first.contains { $0.isExactly(name) || $0.trimmed.isExactly(name) }
      } else {
        true
      }
    }
  }

  private static func place(
    of column: LabelledText.Column, in sample: TableSample, hasHeader: Bool, wantsLabel: Bool, file: URL
  ) throws -> Int {
    switch column {
    case .position(let position):
      expect(position >= 0, "LabelledText: column \(position) is negative")
      guard !sample.isJSON else {
        throw DatasetError(
          .unknownColumn, file: file, found: "a column position", expected: "the name of a key",
          advice: Advice("Name the key", naming(wantsLabel)))
      }
      guard position < sample.first.count else {
        throw DatasetError(
          .wrongFormat, file: file,
          found: "\(sample.first.count.counted("field")) in the first row",
          expected: "one at position \(position.grouped), counted from 0",
          advice: "Check its separators and quotes, or choose other columns")
      }
      return position
    case .named(let name):
      let found = hasHeader ? sample.first : nil
      guard
        let position = found?.firstIndex(where: name.isExactly)
          ?? found?.firstIndex(where: { $0.trimmed.isExactly(name) })
      else {
        throw DatasetError(
          .unknownColumn, file: file,
          found: found.map { "the \(sample.isJSON ? "keys" : "columns") \(list($0))" }
            ?? "no line that names the columns",
          expected: "a column \"\(name)\"",
          advice: Advice("Choose a column that exists, by name or by position from 0", naming(wantsLabel)))
      }
      return position
    }
  }

  /// Whether the first row names the columns; nil where nothing speaks for it or against it.
  private static func hasHeader(_ sample: TableSample) -> Bool? {
    let first = sample.first
    guard !sample.rows.isEmpty else { return true }
    let entries = first.indices.map(sample.column)
    // What comes again below is an entry.
    if first.indices.contains(where: { !first[$0].trimmed.isEmpty && entries[$0].contains(first[$0]) }) { return false }
    let known = identifierNames.union(textNames).union(labelNames).union(pairNames.flatMap { [$0.0, $0.1] })
    if first.contains(where: { !$0.trimmed.isEmpty && known.contains(key($0)) && $0.count < 30 }) { return true }
    if first.contains(where: { Double($0.trimmed) != nil }) { return false }
    let traits = first.indices.map { sample.traits(of: $0) }
    // Numbers under a word.
    if traits.contains(where: \.areNumbers) { return true }
    func areNames(_ words: Int) -> Bool {
      first.allSatisfy { name in
        name.count <= 40 && name.allSatisfy { $0.isLetter || $0.isNumber || " _-".contains($0) }
          && name.split(separator: " ").count <= words
      }
    }
    // Words alone, or a few above classes that are others.
    let hasClasses = traits.contains { $0.count >= 4 && 2 * $0.distinct <= $0.count }
    return areNames(hasClasses ? 3 : 1) ? true : nil
  }

  /// Whether the first of two columns is the label of the second; nil where that can't be told.
  private static func isLabel(_ first: TableSample.Traits, ratherThan second: TableSample.Traits) -> Bool? {
    if first.areNumbers != second.areNumbers { return first.areNumbers }
    guard first.distinct != second.distinct else { return nil }
    let isFirst = first.distinct < second.distinct
    let (label, text) = isFirst ? (first, second) : (second, first)
    return label.meanLength < text.meanLength || 2 * label.distinct <= text.distinct ? isFirst : nil
  }

  private static func unclear(
    _ sample: TableSample, hasHeader: Bool, found: String? = nil, wantsLabel: Bool = true, file: URL
  ) -> DatasetError {
    let keys = Set(sample.first.map(key))
    func has(_ names: String...) -> Bool { names.allSatisfy(keys.contains) }
    func other(_ found: String) -> DatasetError {
      DatasetError(
        .unknownColumn, file: file, found: found, expected: "texts\(wantsLabel ? ", each with a label" : "")",
        advice: Advice("Name another file, or the columns", naming(wantsLabel)))
    }
    let isNamed = hasHeader || sample.isJSON
    if isNamed {
      if has("tokens"), ["nertags", "labels", "tags", "postags", "nerlabels"].contains(where: keys.contains) {
        return other("labels for tokens (\(list(sample.first))), which are not learnt")
      }
      if has("chosen", "rejected") {
        return other("preferences (\(list(sample.first))), which are not learnt")
      }
      if has("messages") || has("conversations") {
        return DatasetError(
          .unknownColumn, file: file, found: "conversations (\(list(sample.first)))",
          expected: "texts\(wantsLabel ? ", each with a label" : "")",
          advice: Advice("Train a language model on them", .trainLanguageModel))
      }
    }
    let columns = isNamed ? "the columns \(list(sample.first))" : "\(sample.first.count) columns without names"
    let example = isNamed ? sample.rows.first : sample.first
    let row = example.map { " (a row: \(list($0.map { shortened($0 ?? "–") }, separator: " | ")))" } ?? ""
    return DatasetError(
      .unknownColumn, file: file, found: (found.map { "\($0), among " } ?? "") + columns + row,
      expected:
        "a text\(wantsLabel ? " and a label" : "") under a usual name (\(textNames[0]), \(textNames[1])"
        + (wantsLabel ? "; label, category)" : ")")
        + (isNamed ? "" : ", or named by position"),
      advice: Advice("Say which columns they are", naming(wantsLabel)))
  }

  /// What a program may have an option for.
  private static func naming(_ wantsLabel: Bool) -> Advice.Action { wantsLabel ? .nameColumns : .nameTextColumn }

  private static func shortened(_ text: String) -> String {
    let line = text.split(whereSeparator: \.isNewline).joined(separator: " ")
    return line.count > 40 ? line.prefix(40) + "…" : line
  }

  /// Names, the first of many; in quotes where they hold what separates them.
  static func list(_ names: [String], separator: String = ", ") -> String {
    names.prefix(20).map { $0.contains(",") && separator == ", " ? "“\($0)”" : $0 }.joined(separator: separator)
      + (names.count > 20 ? " and \((names.count - 20).grouped) more" : "")
  }
}
