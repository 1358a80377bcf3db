import Foundation

/// One object of a tokenizer.json (a normalizer, a pre-tokenizer, …): its type, its fields, and where it stands,
/// so that what is wrong or not supported can be named.
package struct TokenizerComponent {
  package let type: String
  package let place: String
  private let fields: [String: Any]

  package init(_ json: Any, place: String) throws {
    guard let fields = json as? [String: Any], let type = fields["type"] as? String else {
      throw TokenizerError(place: place, "expected an object with a “type”")
    }
    self.fields = fields
    self.type = type
    self.place = place
  }

  func error(_ message: String) -> TokenizerError { TokenizerError(place: place, message) }

  var unsupported: TokenizerError { error("the type “\(type)” is not supported") }

  private func value<T>(_ name: String, _ kind: String) throws -> T? {
    guard let any = fields[name], !(any is NSNull) else { return nil }
    guard let value = any as? T else { throw error("“\(name)” of \(type) is \(any), expected \(kind)") }
    return value
  }

  private func required<T>(_ name: String, _ value: T?) throws -> T {
    guard let value else { throw error("\(type) lacks “\(name)”") }
    return value
  }

  func optionalFlag(_ name: String) throws -> Bool? { try value(name, "true or false") }

  func flag(_ name: String, default fallback: Bool? = nil) throws -> Bool {
    try required(name, optionalFlag(name) ?? fallback)
  }

  func optionalText(_ name: String) throws -> String? { try value(name, "a string") }

  func text(_ name: String, default fallback: String? = nil) throws -> String {
    try required(name, optionalText(name) ?? fallback)
  }

  func optionalNumber(_ name: String) throws -> Double? { try (value(name, "a number") as NSNumber?)?.doubleValue }

  func integer(_ name: String) throws -> Int { try required(name, value(name, "an integer") as Int?) }

  func list(_ name: String) throws -> [Any] { try required(name, value(name, "a list") as [Any]?) }

  func object(_ name: String) throws -> [String: Any] {
    try required(name, value(name, "an object") as [String: Any]?)
  }

  /// The components in the list `name`.
  func components(_ name: String) throws -> [TokenizerComponent] {
    try list(name).enumerated().map { try TokenizerComponent($1, place: "\(place).\(name)[\($0)]") }
  }

  /// The `{"String": …}` or `{"Regex": …}` under `name`.
  func pattern(_ name: String) throws -> TextPattern {
    let object = try object(name)
    if let text = object["String"] as? String { return .text(Array(text.utf8)) }
    if let expression = object["Regex"] as? String {
      do {
        return .expression(try NSRegularExpression(pattern: expression))
      } catch {
        throw self.error("the regular expression “\(expression)” can't be read")
      }
    }
    throw error("“\(name)” of \(type) is \(object), expected a String or a Regex")
  }
}
