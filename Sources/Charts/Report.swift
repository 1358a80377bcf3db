// One HTML file that needs nothing else: no network, no script, light and dark, from a phone to a wide screen.
import Foundation

/// A title, a few sentences, and sections of prose and figures.
///
/// ```swift
/// var report = Report(title: "LoRA on digits", summary: "What one sees.")
/// report.sections.append(.init("Loss", [.prose("It falls."), .figure(chart, caption: "Mean of 10 steps.")]))
/// report.html
/// ```
/// Text in `backquotes` is set as code; nothing else in prose has a meaning.
public struct Report: Sendable {
  /// A heading and what stands under it.
  public struct Section: Sendable {
    /// The heading.
    public var title: String
    /// From top to bottom.
    public var blocks: [Block]

    /// A section of these blocks.
    public init(_ title: String, _ blocks: [Block]) {
      self.title = title
      self.blocks = blocks
    }
  }

  /// A part of a section.
  public enum Block: Sendable {
    /// A paragraph.
    case prose(String)
    /// Numbers that matter, each with what it counts.
    case highlights([Highlight])
    /// A figure over the whole width, with a line beneath it.
    case figure(any Figure, caption: String? = nil)
    /// Charts side by side at equal height, in several lines when they are many; one below the other on a narrow screen.
    /// The page is 1,000 pixels wide, so two charts look best about 480 wide and three about 320.
    case row([any Chart], caption: String? = nil)
  }

  /// A number that matters.
  public struct Highlight: Sendable {
    /// The number, as it is to be read.
    public let value: String
    /// What it counts.
    public let label: String

    /// A number and what it counts.
    public init(_ value: String, _ label: String) {
      self.value = value
      self.label = label
    }
  }

  /// The page's title and first heading.
  public var title: String
  /// What one sees, in a few sentences beneath the title.
  public var summary: String
  /// From top to bottom.
  public var sections: [Section]
  /// A last line: how the report was made.
  public var footer: String?

  /// A report, whose sections may be added later.
  public init(title: String, summary: String, sections: [Section] = [], footer: String? = nil) {
    self.title = title
    self.summary = summary
    self.sections = sections
    self.footer = footer
  }

  /// The whole file; well-formed as XML too.
  public var html: String {
    """
    <!DOCTYPE html>
    <html lang="en">
    <head>
    <meta charset="utf-8"/>
    <meta name="viewport" content="width=device-width, initial-scale=1"/>
    <meta name="color-scheme" content="light dark"/>
    <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:"/>
    <title>\(escaped(title))</title>
    <style>
    \(Style.charts)
    \(Style.figures)
    \(Style.page)
    </style>
    </head>
    <body class="lora-figure">
    <main>
    <header><h1>\(Report.prose(title))</h1><p class="summary">\(Report.prose(summary))</p></header>
    \(sections.map(Report.html).joined(separator: "\n"))
    \(footer.map { "<footer>\(Report.prose($0))</footer>" } ?? "")
    </main>
    </body>
    </html>

    """
  }

  private static func html(_ section: Section) -> String {
    "<section><h2>\(prose(section.title))</h2>\n"
      + section.blocks.map(html).joined(separator: "\n") + "\n</section>"
  }

  private static func html(_ block: Block) -> String {
    switch block {
    case .prose(let text): return "<p>\(prose(text))</p>"
    case .highlights(let highlights):
      let items = highlights.map {
        "<div><dd>\(escaped($0.value))</dd><dt>\(prose($0.label))</dt></div>"
      }
      return "<dl class=\"highlights\">\(items.joined())</dl>"
    case .figure(let figure, let caption):
      guard let chart = figure as? any Chart else { return wrap(figure.html, caption) }
      let drawing = chart.drawing
      let (least, most) = (number(drawing.width * leastScale), number(drawing.width * mostScale))
      let style = "max-width:\(most)px;min-width:\(least)px"
      return wrap(
        "<div class=\"scroll\"><div class=\"single\" style=\"\(style)\">\(drawing.fragment)</div></div>", caption)
    case .row(let charts, let caption):
      let lines = lines(of: charts.map(\.drawing))
      let gaps = { (line: [Drawing]) in gap * Double(line.count - 1) }
      let width = { (line: [Drawing]) in line.reduce(0) { $0 + $1.width } }
      // One scale for all lines, so that charts of one size stay of one size.
      let scale = lines.map { (pageWidth - gaps($0)) / max(1, width($0)) }.reduce(mostScale, min)
      let content = lines.map { line in
        let most = number(scale * width(line) + gaps(line))
        return "<div class=\"side-by-side\" style=\"max-width:\(most)px\">\(line.map(cell).joined())</div>"
      }
      return wrap("<div class=\"scroll\">\(content.joined())</div>", caption)
    }
  }

  /// As few lines as hold the drawings at a readable size, each with about as many.
  private static func lines(of drawings: [Drawing]) -> [[Drawing]] {
    for count in 1...max(1, drawings.count) {
      let most = (drawings.count + count - 1) / count
      let lines = stride(from: 0, to: drawings.count, by: max(1, most)).map { start in
        Array(drawings[start..<min(start + most, drawings.count)])
      }
      let fits = lines.allSatisfy { line in
        line.reduce(-gap) { $0 + $1.width * leastScale + gap } <= pageWidth
      }
      if fits { return lines }
    }
    return drawings.map { [$0] }
  }

  /// Widths in the ratio of the aspects make the heights equal.
  private static func cell(_ drawing: Drawing) -> String {
    let aspect = number(drawing.width / max(1, drawing.height))
    let least = number(drawing.width * leastScale)
    return "<div style=\"flex:\(aspect) 1 0;min-width:\(least)px\">\(drawing.fragment)</div>"
  }

  /// Of the page's content at its widest, and between charts; both also in the style sheet.
  private static let (pageWidth, gap) = (1000.0, 28.0)

  /// A chart grows little beyond its size, and shrinks only as far as its text stays readable; then one scrolls.
  private static let (leastScale, mostScale) = (0.72, 1.1)

  private static func wrap(_ content: String, _ caption: String?) -> String {
    "<figure>\(content)\(caption.map { "<figcaption>\(prose($0))</figcaption>" } ?? "")</figure>"
  }

  /// Escaped text in which what stands between backquotes is code.
  private static func prose(_ text: String) -> String {
    let parts = text.components(separatedBy: "`")
    guard parts.count % 2 == 1 else { return escaped(text) }
    return parts.enumerated().map { index, part in
      index % 2 == 1 ? "<code>\(escaped(part))</code>" : escaped(part)
    }.joined()
  }
}

extension Style {
  /// The report's page.
  static let page = """
    :root{color-scheme:light dark}
    *{box-sizing:border-box}
    body.lora-figure{margin:0;font-size:16px;line-height:1.6}
    main{max-width:1080px;margin:0 auto;padding:clamp(20px,5vw,56px) clamp(16px,4vw,40px)}
    h1{font-size:clamp(26px,4.5vw,38px);line-height:1.15;letter-spacing:-.02em;margin:0 0 .4em;font-weight:700}
    h2{font-size:22px;line-height:1.25;letter-spacing:-.01em;margin:0 0 .5em;font-weight:650}
    p{margin:0 0 1em;max-width:68ch}
    figure+p,.highlights+p{margin-top:1.6em}
    section>:last-child{margin-bottom:0}
    .summary{font-size:18px;color:var(--muted);margin-bottom:0}
    section{margin-top:44px;padding-top:28px;border-top:1px solid var(--grid)}
    figure{margin:22px 0 0}
    figure .single>svg,.side-by-side>div>svg{display:block;width:100%;height:auto}
    .scroll{overflow-x:auto}
    .side-by-side{display:flex;gap:28px}
    .side-by-side+.side-by-side{margin-top:22px}
    figcaption{color:var(--muted);font-size:14px;line-height:1.5;margin-top:10px;max-width:76ch}
    code{font:.92em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;background:var(--grid);padding:.1em .3em;\
    border-radius:4px;white-space:nowrap}
    .highlights{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:14px;margin:22px 0 0}
    .highlights>div{display:flex;flex-direction:column;border:1px solid var(--grid);border-radius:10px;padding:14px 16px}
    .highlights dd{margin:0;font-size:22px;font-weight:650;line-height:1.2;letter-spacing:-.01em;\
    font-variant-numeric:tabular-nums}
    .highlights dt{color:var(--muted);font-size:13.5px;line-height:1.4;margin-top:2px}
    footer{margin-top:44px;padding-top:16px;border-top:1px solid var(--grid);color:var(--muted);font-size:14px}
    @media (max-width:860px){.side-by-side{flex-direction:column}.side-by-side{align-items:start}.side-by-side>div{flex:none!important;width:100%}}
    @media print{main{max-width:none;padding:0}section{break-inside:avoid}}
    """
}
