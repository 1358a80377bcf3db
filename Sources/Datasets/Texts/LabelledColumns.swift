import Foundation
import LoRAFiles
import LoRATensors

/// Finds which columns hold the text and its label.
enum LabelledColumns {
  private static let textNames = ["text", "sentence", "content", "review", "question", "query", "utterance"]
  private static let labelNames = ["label", "labels", "category", "class", "intent", "sentiment", "target"]

  /// By their usual names, else the first and the second of two columns.
  ///
  /// - Parameters:
  ///   - text: given already, or to be found; `label` likewise.
  ///   - areNamed: whether `columns` are names; else they are an example.
  ///   - arePlaces: whether a column may be known by its place.
  /// - Throws: `DatasetError` that names the columns where the choice is not clear.
  static func find(
    text: LabelledText.Column?, label: LabelledText.Column?, among columns: [String], areNamed: Bool, arePlaces: Bool,
    file: URL
  ) throws -> [LabelledText.Column] {
    func named(_ usual: [String]) -> LabelledText.Column? {
      areNamed
        ? columns.first { column in usual.contains { column.lowercased().isExactly($0) } }.map { .named($0) } : nil
    }
    if let text = text ?? named(textNames), let label = label ?? named(labelNames) { return [text, label] }
    if columns.count == 2, arePlaces {
      func other(than column: LabelledText.Column) -> LabelledText.Column? {
        switch column {
        case .position(let place): (0...1).contains(place) ? .position(1 - place) : nil
        case .named(let name): columns.firstIndex(where: name.isExactly).map { .position(1 - $0) }
        }
      }
      switch (text, label) {
      case (nil, nil): return [0, 1]
      case (let text?, nil): if let label = other(than: text) { return [text, label] }
      case (nil, let label?): if let text = other(than: label) { return [text, label] }
      case (let text?, let label?): return [text, label]
      }
    }
    throw DatasetError(
      .unknownColumn, file: file, found: "the columns \(list(columns))",
      expected:
        "a text and a label under a usual name (\(textNames[0]), \(textNames[1]); \(labelNames[0]), \(labelNames[2]))",
      advice: Advice("Say which columns they are", .nameColumns))
  }

  /// Names, the first of many.
  static func list(_ names: [String]) -> String {
    names.prefix(20).joined(separator: ", ") + (names.count > 20 ? " and \((names.count - 20).grouped) more" : "")
  }
}
