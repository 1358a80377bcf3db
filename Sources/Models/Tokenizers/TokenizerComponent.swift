import Foundation
import LoRAFiles
import LoRAFormats

/// One object of a tokenizer.json (a normalizer, a pre-tokenizer, …): its type, its fields, and where it stands,
/// so that what is wrong or not supported can be named.
package struct TokenizerComponent {
  package let type: String
  package let place: String
  private let fields: JSON

  package init(_ fields: JSON, place: String) throws {
    guard let type = fields["type"]?.string else {
      throw TokenizerError(place: place, "is \(fields.shown)", expected: "an object with a “type”")
    }
    self.fields = fields
    self.type = type
    self.place = place
  }

  func error(_ found: String, expected: String) -> TokenizerError {
    TokenizerError(place: place, found, expected: expected)
  }

  var unsupported: TokenizerError {
    error("the type “\(type)” is not supported", expected: "one that transformers' own tokenizers have")
  }

  private func value<Value>(_ name: String, _ read: (JSON) -> Value?, _ kind: String) throws -> Value? {
    guard let found = fields[name], !found.isNull else { return nil }
    guard let value = read(found) else {
      throw error("“\(name)” of \(type) is \(found.shown)", expected: kind)
    }
    return value
  }

  private func required<Value>(_ name: String, _ value: Value?) throws -> Value {
    guard let value else { throw error("\(type) lacks “\(name)”", expected: "it") }
    return value
  }

  func optionalFlag(_ name: String) throws -> Bool? { try value(name, \.bool, "true or false") }

  func flag(_ name: String, default fallback: Bool? = nil) throws -> Bool {
    try required(name, optionalFlag(name) ?? fallback)
  }

  func optionalText(_ name: String) throws -> String? { try value(name, \.string, "a string") }

  func text(_ name: String, default fallback: String? = nil) throws -> String {
    try required(name, optionalText(name) ?? fallback)
  }

  func optionalNumber(_ name: String) throws -> Double? { try value(name, \.number, "a number") }

  func optionalInteger(_ name: String) throws -> Int? { try value(name, \.integer, "an integer") }

  func integer(_ name: String) throws -> Int { try required(name, value(name, \.integer, "an integer")) }

  func integer(_ name: String, default standard: Int) throws -> Int {
    try value(name, \.integer, "an integer") ?? standard
  }

  func list(_ name: String) throws -> [JSON] { try required(name, value(name, \.array, "a list")) }

  func object(_ name: String) throws -> JSON {
    try required(name, value(name, { json in if case .object = json { json } else { nil } }, "an object"))
  }

  /// The components in the list `name`.
  func components(_ name: String) throws -> [TokenizerComponent] {
    try list(name).enumerated().map { try TokenizerComponent($1, place: "\(place).\(name)[\($0)]") }
  }

  /// The `{"String": …}` or `{"Regex": …}` under `name`.
  func pattern(_ name: String) throws -> TextPattern {
    let object = try object(name)
    if let text = object["String"]?.string { return .text(Array(text.utf8)) }
    if let expression = object["Regex"]?.string {
      guard let compiled = try? NSRegularExpression(pattern: TextPattern.translated(expression)) else {
        throw self.error(
          "the regular expression “\(expression.prefix(80))” can't be read", expected: "one as Oniguruma reads it")
      }
      guard !TextPattern.backtracks(compiled) else {
        throw self.error(
          "the regular expression “\(expression.prefix(80))” tries ways without end on some texts",
          expected: "one that ends in time")
      }
      return .expression(compiled)
    }
    throw error("“\(name)” of \(type) is \(object.shown)", expected: "a String or a Regex")
  }
}
