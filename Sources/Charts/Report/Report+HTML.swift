// One HTML file that needs nothing else: no network, no script, light and dark, from a phone to a wide screen and paper.
import LoRAAdapters

extension Report {
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
    \(Style.sections)
    \(Style.page)
    </style>
    </head>
    <body class="lora-figure">
    <main>
    <header><h1>\(Report.prose(title))</h1><p class="summary">\(Report.prose(summary))</p>\(conclusionHTML)</header>
    \(content)
    </main>
    </body>
    </html>

    """
  }

  /// In a notebook's cell: the sections without the page around them.
  public var playgroundDescription: Any {
    let page =
      "<style>\(Style.charts)\(Style.figures)\(Style.sections)</style><div class=\"lora-figure alone\"><p><b>"
      + "\(Report.prose(title))</b> \(Report.prose(summary))</p>\(conclusionHTML)\(content)</div>"
    return ["text/html": page, "text/plain": title + "\n\n" + text()]
  }

  private var content: String {
    var all = sections
    if let findings, !findings.isEmpty {
      let table = Table(
        of: findings.sorted { $0.severity > $1.severity },
        [
          .init("severity") { .text($0.severity.rawValue) }, .init("finding") { .text($0.message) },
          .init("where") { finding in
            let more = finding.subjects.count - 8
            return .text(
              (finding.subjects.prefix(8) + (more > 0 ? ["and \(more) more"] : [])).joined(separator: ", "))
          },
        ])
      all.insert(.init("What is odd", [.table(table)]), at: min(1, all.count))
    }
    if !settings.isEmpty { all.append(.init("How it was made", [.fields(settings)])) }
    return all.map(Report.html).joined(separator: "\n")
  }

  private var conclusionHTML: String {
    conclusion.map { "<p class=\"conclusion \($0.tone.rawValue)\">\(Report.prose($0.text))</p>" } ?? ""
  }

  private static func html(_ section: Section) -> String {
    let content = section.blocks.compactMap(html)
    guard !content.isEmpty else { return "" }
    return "<section><h2>\(prose(section.title))</h2>\n" + content.joined(separator: "\n") + "\n</section>"
  }

  private static func html(_ block: Block) -> String? {
    switch block {
    case .prose(let text), .note(let text): return "<p>\(prose(text))</p>"
    case .highlights(let fields): return Highlights(fields).html
    case .fields(let fields):
      let rows = fields.compactMap { field in
        field.label.map { label in
          Markup(
            "tr", [:],
            [Markup("th", ["scope": "row"], breakable: label), Markup("td", [:], breakable: field.value.text)])
        }
      }
      return rows.isEmpty ? nil : Markup("table", ["class": "fields"], [Markup("tbody", [:], rows)]).source
    case .table(let table, let caption): return table.rows.isEmpty ? nil : wrap(table.html, caption)
    case .terminal: return nil
    case .figure(let figure, let caption):
      guard let chart = figure as? any Chart else { return wrap(figure.html, caption) }
      let drawing = chart.drawing
      let (least, most) = (number(drawing.width * leastScale), number(drawing.width * mostScale))
      let style = "--most:\(most)px;min-width:min(100%,\(least)px)"
      return wrap("<div class=\"single\" style=\"\(style)\">\(drawing.fragment)</div>", caption)
    case .row(let charts, let caption):
      let lines = lines(of: charts.map(\.drawing))
      let gaps = { (line: [Drawing]) in gap * Double(line.count - 1) }
      let width = { (line: [Drawing]) in line.reduce(0) { $0 + $1.width } }
      // One scale for all lines, so that charts of one size stay of one size.
      let scale = lines.map { (pageWidth - gaps($0)) / max(1, width($0)) }.reduce(mostScale, min)
      let content = lines.map { line in
        let most = scale * width(line) + gaps(line)
        let style = "max-width:min(\(number(most))px,\(number(most / pageWidth * 100))%)"
        return "<div class=\"side-by-side\" style=\"\(style)\">\(line.map(cell).joined())</div>"
      }
      return wrap(content.joined(), caption)
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
    let most = number(drawing.width * mostScale)
    return "<div style=\"flex:\(aspect) 1 0;--most:\(most)px;min-width:min(100%,\(least)px)\">\(drawing.fragment)</div>"
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

/// Numbers that matter, as tiles.
public struct Highlights: Figure {
  /// The numbers; those without a label are left out.
  public let fields: [Report.Field]

  /// Tiles in this order.
  public init(_ fields: [Report.Field]) { self.fields = fields }

  public var html: String {
    let tiles = fields.compactMap { field in
      field.label.map { "<div><dd>\(escaped(field.value.text))</dd><dt>\(escaped($0))</dt></div>" }
    }
    return "<dl class=\"highlights\">\(tiles.joined())</dl>"
  }

  public var plainText: String {
    fields.compactMap { field in field.label.map { "\($0): \(field.value.text)" } }.joined(separator: "\n")
  }
}

extension Style {
  /// What a report consists of, in a page or in a notebook's cell.
  static let sections = """
    .lora-figure *{box-sizing:border-box}
    .lora-figure h2{font-size:22px;line-height:1.25;letter-spacing:-.01em;margin:0 0 .5em;font-weight:650;\
    overflow-wrap:anywhere}
    .lora-figure p{margin:0 0 1em;max-width:68ch;overflow-wrap:anywhere}
    .lora-figure :is(figure,.highlights)+p{margin-top:1.6em}
    .lora-figure section>:last-child{margin-bottom:0}
    .lora-figure section{margin-top:44px;padding-top:28px;border-top:1px solid var(--grid)}
    .lora-figure.alone section{margin-top:20px;padding-top:14px}
    .lora-figure figure{margin:22px 0 0}
    .lora-figure :is(.single,.side-by-side>div)>svg{display:block;width:100%;height:auto}
    .lora-figure .single{max-width:var(--most)}
    .lora-figure .side-by-side{display:flex;gap:28px}
    .lora-figure .side-by-side+.side-by-side{margin-top:22px}
    .lora-figure figcaption{color:var(--muted);font-size:14px;line-height:1.5;margin-top:10px;max-width:76ch}
    .lora-figure code{font:.92em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;background:var(--grid);\
    padding:.1em .3em;border-radius:4px;overflow-wrap:anywhere}
    .lora-figure .highlights{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:14px;margin:22px 0 0}
    .lora-figure .highlights>div{display:flex;flex-direction:column;border:1px solid var(--grid);border-radius:10px;\
    padding:14px 16px}
    .lora-figure .highlights dd{margin:0;font-size:22px;font-weight:650;line-height:1.2;letter-spacing:-.01em;\
    font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
    .lora-figure .highlights dt{color:var(--muted);font-size:13.5px;line-height:1.4;margin-top:2px}
    .lora-figure .fields{margin:22px 0 0;font-size:14px}
    .lora-figure .fields :is(th,td){text-align:left;vertical-align:top;white-space:normal}
    .lora-figure .fields th{color:var(--muted);font-weight:400;min-width:7em}
    .lora-figure .fields td{overflow-wrap:anywhere;min-width:6em}
    .lora-figure .conclusion{font-weight:600;margin-top:.6em}
    @media screen and (max-width:860px){.lora-figure .side-by-side{flex-direction:column;align-items:start;max-width:none!important}\
    .lora-figure .side-by-side>div{flex:none!important;width:100%;max-width:var(--most)}}
    @media screen and (max-width:480px){.lora-figure .table{font-size:12px}.lora-figure .table :is(th,td){padding:.35em .3em}}
    @media print{.lora-figure section{margin-top:16px;padding-top:12px}.lora-figure figure{margin-top:10px}\
    .lora-figure :is(svg,.tile,tr,.highlights>div){break-inside:avoid}.lora-figure :is(h2,thead){break-after:avoid}\
    .lora-figure h2{font-size:16px}.lora-figure .table{overflow:visible}.lora-figure :is(.table,.fields,.table table){font-size:9px}\
    .lora-figure .highlights{gap:8px;margin-top:8px}.lora-figure .highlights>div{padding:6px 8px}\
    .lora-figure .highlights dd{font-size:14px}.lora-figure :is(.highlights dt,figcaption){font-size:9px}\
    .lora-figure .single{max-width:min(110mm,var(--most))}.lora-figure .tiles{gap:6px;grid-template-columns:repeat(12,1fr)!important}\
    .lora-figure .tiles.large{grid-template-columns:repeat(4,1fr)!important}.lora-figure .tile div{font-size:8px}}
    """

  /// The page around them.
  static let page = """
    :root{color-scheme:light dark}
    body.lora-figure{margin:0;font-size:16px;line-height:1.6}
    main{max-width:1080px;margin:0 auto;padding:clamp(20px,5vw,56px) clamp(16px,4vw,40px)}
    h1{font-size:clamp(26px,4.5vw,38px);line-height:1.15;letter-spacing:-.02em;margin:0 0 .4em;font-weight:700;\
    overflow-wrap:anywhere}
    .lora-figure .summary{font-size:18px;color:var(--muted);margin-bottom:0}
    @media print{@page{margin:12mm}body.lora-figure{font-size:10px;line-height:1.4}main{max-width:none;padding:0}\
    h1{font-size:20px}.lora-figure .summary{font-size:11px}}
    """
}
