// What can be shown: a Figure as HTML, a Chart as SVG.

/// Anything that a report or a notebook shows.
///
/// A notebook kernel finds the content in `playgroundDescription`: a dictionary from MIME types to text.
public protocol Figure: CustomPlaygroundDisplayConvertible, Sendable {
  /// A fragment of HTML that relies on the report's style sheet.
  var html: String { get }
  /// What it says, in words and numbers, where no picture can be shown.
  var plainText: String { get }
}

extension Report: CustomPlaygroundDisplayConvertible {}

extension Figure {
  public var playgroundDescription: Any { ["text/html": page, "text/plain": plainText] }

  /// HTML with its style sheet, which follows the theme of the page that it stands in.
  var page: String {
    "<style>\(Style.charts)\(Style.figures)</style><div class=\"lora-figure alone\">\(html)</div>"
  }
}

/// A figure that is a drawing.
public protocol Chart: Figure {
  /// The chart as SVG with its size and description.
  var drawing: Drawing { get }
}

extension Chart {
  /// One SVG file that needs nothing else, for light and dark surroundings.
  public var svg: String { drawing.standalone }
  public var html: String { drawing.fragment }
  public var plainText: String {
    let drawing = drawing
    return drawing.title.isEmpty ? drawing.description : "\(drawing.title)\n\(drawing.description)"
  }
  /// HTML follows the theme of the page that it stands in, a notebook's or one made from it; the picture is for what shows
  /// no HTML.
  public var playgroundDescription: Any { ["text/html": page, "image/svg+xml": svg, "text/plain": plainText] }
}

/// SVG content with its size in pixels, its heading and a description for those who can't see it.
public struct Drawing: Sendable {
  /// In pixels.
  public let width: Double
  /// In pixels.
  public let height: Double
  /// The heading; empty for none.
  public let title: String
  /// What the picture shows, in a sentence.
  public let description: String
  /// SVG elements, in pixels from the top left corner.
  public let content: String

  /// A drawing from SVG elements that fit `width` × `height` pixels.
  public init(width: Double, height: Double, title: String, description: String, content: String) {
    (self.width, self.height, self.title) = (width, height, title)
    (self.description, self.content) = (description, content)
  }

  init(width: Double, height: Double, title: String, description: String, elements: [Markup]) {
    self.init(
      width: width, height: height, title: title, description: description,
      content: elements.map(\.source).joined(separator: "\n"))
  }

  /// For a document that holds `Style.charts` already; it shows the surface beneath.
  var fragment: String { svg(margin: 0, prologue: "") }

  /// With its own style, a margin and a surface, since what surrounds it may be light or dark whatever the reader
  /// prefers.
  var standalone: String {
    let margin = 16.0
    let surface = Markup(
      "rect",
      [
        "class": "surface", "x": -margin, "y": -margin, "width": width + 2 * margin, "height": height + 2 * margin,
        "rx": 8,
      ])
    return svg(margin: margin, prologue: "<style>\(Style.charts)</style>\(surface.source)")
  }

  private func svg(margin: Double, prologue: String) -> String {
    let (width, height) = (number(width + 2 * margin), number(height + 2 * margin))
    return """
      <svg xmlns="http://www.w3.org/2000/svg" class="lora-chart" role="img" aria-label="\(escaped(title.isEmpty ? description : "\(title). \(description)"))" \
      width="\(width)" height="\(height)" viewBox="\(number(-margin)) \(number(-margin)) \(width) \(height)">\
      <title>\(escaped(title))</title><desc>\(escaped(description))</desc>\(prologue)
      \(content)
      </svg>
      """
  }
}
