import Foundation

#if canImport(FoundationXML)
  import FoundationXML
#endif

/// What an XML parser finds in a drawing or page: that it is well-formed, its elements and its text.
final class ParsedMarkup: NSObject, XMLParserDelegate {
  private(set) var elements: [(name: String, attributes: [String: String])] = []
  private(set) var text = ""
  private(set) var isWellFormed = false

  init(_ source: String) {
    super.init()
    let parser = XMLParser(data: Data(source.utf8))
    parser.delegate = self
    isWellFormed = parser.parse()
  }

  func parser(
    _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
    attributes: [String: String]
  ) {
    elements.append((name, attributes))
  }

  func parser(_ parser: XMLParser, foundCharacters characters: String) { text += characters }

  func all(_ name: String, class style: String? = nil) -> [[String: String]] {
    elements.filter { element in
      element.name == name
        && (style == nil || (element.attributes["class"] ?? "").split(separator: " ").contains { $0 == style! })
    }.map(\.attributes)
  }
}
