// Elements of SVG and HTML, well-formed as XML, with everything that comes from outside escaped.

struct Markup: Sendable {
  let source: String

  /// - Parameter children: none makes an empty element, `<name/>`.
  init(_ name: String, _ attributes: KeyValuePairs<String, any AttributeValue> = [:], _ children: [Markup] = []) {
    let list = attributes.map { " \($0)=\"\(escaped($1.attributeText))\"" }.joined()
    source =
      children.isEmpty
      ? "<\(name)\(list)/>" : "<\(name)\(list)>" + children.map(\.source).joined() + "</\(name)>"
  }

  init(_ name: String, _ attributes: KeyValuePairs<String, any AttributeValue> = [:], text: String) {
    self.init(name, attributes, [Markup(text: text)])
  }

  init(text: String) { source = escaped(text) }

  /// Text that a page may break after the dots, slashes and underscores of paths, but not within a command's options.
  init(_ name: String, _ attributes: KeyValuePairs<String, any AttributeValue> = [:], breakable text: String) {
    self.init(name, attributes, [Markup(breakable: text)])
  }

  init(breakable text: String) {
    let parts = text.reduce(into: [""]) { parts, character in
      if parts[parts.count - 1].last.map("._/".contains) == true, !"._/ ".contains(character) { parts.append("") }
      parts[parts.count - 1].append(character)
    }
    source =
      text.count <= 24
      ? escaped(text)
      : parts.map(escaped).joined(separator: "<wbr/>")
        .replacing(/(^| )(--?[a-z][a-z-]*)/) { "\($0.1)<span class=\"option\">\($0.2)</span>" }
  }

  /// Markup that is well-formed already.
  init(trusted source: String) { self.source = source }
}

protocol AttributeValue { var attributeText: String { get } }
extension String: AttributeValue { var attributeText: String { self } }
extension Int: AttributeValue { var attributeText: String { String(self) } }
extension Double: AttributeValue { var attributeText: String { number(self) } }

/// Text for element content and quoted attributes. Characters that XML forbids become U+FFFD.
func escaped(_ text: String) -> String {
  var result = ""
  result.reserveCapacity(text.utf8.count)
  for scalar in text.unicodeScalars {
    switch scalar {
    case "&": result += "&amp;"
    case "<": result += "&lt;"
    case ">": result += "&gt;"
    case "\"": result += "&quot;"
    case "'": result += "&#39;"
    case "\t", "\n", "\r": result.unicodeScalars.append(scalar)
    case "\u{0}"..<" ", "\u{FFFE}", "\u{FFFF}": result += "\u{FFFD}"
    default: result.unicodeScalars.append(scalar)
    }
  }
  return result
}

/// A length or coordinate to a hundredth of a pixel: "12.5", "3".
func number(_ value: Double) -> String {
  guard value.isFinite else { return "0" }
  let rounded = (value * 100).rounded() / 100
  return rounded == rounded.rounded() && abs(rounded) < 1e15 ? String(Int(rounded)) : String(rounded)
}
