import Foundation

/// Content that a notebook renders: `display(.html("<b>bold</b>"))`, or as the last expression of a cell.
///
/// A type of yours is rendered when it conforms to the standard library's `CustomPlaygroundDisplayConvertible`
/// and its `playgroundDescription` is a dictionary from MIME types to content, or a value that is:
///
/// ```swift
/// extension Chart: CustomPlaygroundDisplayConvertible {
///   var playgroundDescription: Any { ["image/svg+xml": svg] }
/// }
/// ```
///
/// Content is a `String`, or `Data` for binary formats. Library types need to know nothing of this kernel.
public struct Media: CustomPlaygroundDisplayConvertible, Sendable {
  /// Content by MIME type; binary content in base64.
  public let representations: [String: String]

  public init(_ representations: [String: String]) {
    self.representations = representations
  }

  public var playgroundDescription: Any { representations }

  public static func html(_ text: String) -> Media { Media(["text/html": text]) }
  public static func svg(_ text: String) -> Media { Media(["image/svg+xml": text]) }
  public static func markdown(_ text: String) -> Media { Media(["text/markdown": text]) }
  public static func latex(_ text: String) -> Media { Media(["text/latex": text]) }
  public static func png(_ data: Data) -> Media { Media(["image/png": data.base64EncodedString()]) }
  public static func jpeg(_ data: Data) -> Media { Media(["image/jpeg": data.base64EncodedString()]) }
}

/// What a notebook is told about any value: always `text/plain`, and what the value offers beyond it.
func representations(of value: Any, depth: Int = 0) -> [String: String] {
  guard depth < 8, let convertible = value as? CustomPlaygroundDisplayConvertible else {
    return ["text/plain": plainText(of: value)]
  }
  let description = convertible.playgroundDescription
  guard let dictionary = description as? [String: Any], !dictionary.isEmpty,
    dictionary.keys.allSatisfy({ $0.contains("/") })
  else { return representations(of: description, depth: depth + 1) }

  var result: [String: String] = [:]
  for (type, content) in dictionary {
    switch content {
    case let text as String: result[type] = text
    case let data as Data: result[type] = data.base64EncodedString()
    default: result[type] = "\(content)"
    }
  }
  if result["text/plain"] == nil {
    result["text/plain"] =
      value is Media ? "(\(dictionary.keys.sorted().joined(separator: ", ")))" : plainText(of: value)
  }
  return result
}

private func plainText(of value: Any) -> String {
  let text: String
  switch value {
  case is String, is Substring, is Character: text = String(reflecting: value)
  default:
    let description = String(describing: value)
    // Which cell declared a type is of no interest to the reader.
    text =
      description.utf8.count > 100_000 ? description : description.replacing(/\bCell\d+(_\w+)?\.(?=\w)/, with: "")
  }
  let limit = 100_000
  guard text.utf8.count > limit else { return text }
  return
    "\(String(decoding: text.utf8.prefix(limit), as: UTF8.self))\n… (cut after \(limit) of \(text.utf8.count) bytes)"
}
