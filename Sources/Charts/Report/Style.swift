// The style sheets. Colours are CSS variables with a light and a dark value, so one drawing serves both. Each series
// colour has a contrast of at least 3 to its surface (WCAG 1.4.11), and any two stay well apart for readers with
// protanopia, deuteranopia or tritanopia too; a test measures both.

enum Style {
  /// The number of series colours.
  static let seriesCount = 8

  /// The class of the `index`th series; after the last colour it begins anew.
  static func series(_ index: Int) -> String { "s\(index % seriesCount)" }

  /// Fills of heat maps lie over the surface with the magnitude as their opacity, so these must do for light and dark.
  static let warm = RGB(226, 88, 34)
  static let cold = RGB(40, 122, 214)

  private static let light = """
    --surface:#fff;--ink:#1b1f24;--muted:#57606a;--grid:#e3e7ec;--axis:#8c959f;--s0:#092f7d;--s1:#db720a;\
    --s2:#229e5f;--s3:#a653da;--s4:#634505;--s5:#7a1c34;--s6:#888f99;--s7:#156681;--good:#08735c;--bad:#b42318
    """
  private static let dark = """
    --surface:#14181d;--ink:#e8ebef;--muted:#a3adb8;--grid:#2a3038;--axis:#66707b;--s0:#447ffc;--s1:#e27510;\
    --s2:#b3f1ca;--s3:#ad6fba;--s4:#fadd87;--s5:#ef3767;--s6:#98a0a9;--s7:#75d6ef;--good:#48c9a4;--bad:#ff8f85
    """

  /// Light or dark as the reader prefers; in JupyterLab, whose pages say so, as its theme is.
  static let charts = """
    .lora-chart,.lora-figure{\(light)}
    @media (prefers-color-scheme:dark){.lora-chart,.lora-figure{\(dark)}}
    [data-jp-theme-light=true] :is(.lora-chart,.lora-figure){\(light)}
    [data-jp-theme-light=false] :is(.lora-chart,.lora-figure){\(dark)}
    .lora-chart{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;font-size:13px}
    .lora-chart text{fill:var(--ink);font-variant-numeric:tabular-nums}
    .lora-chart .heading{font-size:15px;font-weight:600}
    .lora-chart .tick,.lora-chart .label,.lora-chart .key{fill:var(--muted);font-size:12px}
    .lora-chart .key{fill:var(--ink)}
    .lora-chart .value{font-size:11px}
    .lora-chart .zero{fill:var(--muted)}
    .lora-chart .surface{fill:var(--surface)}
    .lora-chart .grid{stroke:var(--grid);stroke-width:1}
    .lora-chart .axis{stroke:var(--axis);stroke-width:1;fill:none}
    .lora-chart .line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
    .lora-chart .faint{stroke-width:1;opacity:.18}
    .lora-chart .start{text-anchor:start}.lora-chart .middle{text-anchor:middle}.lora-chart .end{text-anchor:end}
    .lora-chart image{image-rendering:pixelated}
    .lora-chart .right{fill:\(cold.css)}.lora-chart .wrong{fill:\(warm.css)}
    \((0..<seriesCount).map { ".lora-chart .s\($0){--series:var(--s\($0))}" }.joined())
    .lora-chart .line{stroke:var(--series)}.lora-chart .bar,.lora-chart .dot{fill:var(--series)}
    """

  /// Figures that are HTML, in a report or alone.
  static let figures = """
    .lora-figure{background:var(--surface);color:var(--ink);font-size:14px;line-height:1.45;\
    font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
    .lora-figure.alone{padding:12px}
    .lora-figure .table{font-size:14px;overflow-x:auto;max-width:100%;\
    background:linear-gradient(to left,var(--surface) 50%,transparent) right/2em 100% no-repeat local,\
    linear-gradient(to left,var(--axis),transparent) right/.6em 100% no-repeat scroll}
    .lora-figure table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:0}
    .lora-figure table caption{text-align:left;font-weight:600;padding-bottom:.4em;white-space:nowrap}
    .lora-figure th,.lora-figure td{padding:.4em .55em;border:0;border-bottom:1px solid var(--grid);text-align:right;\
    white-space:nowrap;background:none;color:var(--ink)}
    .lora-figure th:first-child,.lora-figure td:first-child{padding-left:0}
    .lora-figure th:last-child,.lora-figure td:last-child{padding-right:0}
    .lora-figure thead th{color:var(--muted);font-weight:600;border-bottom-color:var(--axis);vertical-align:bottom;white-space:normal}
    .lora-figure .table :is(th,td).leading{text-align:left}
    .lora-figure td.path{white-space:pre-line;min-width:9em}
    .lora-figure .option{white-space:nowrap}
    .lora-figure tfoot td{border-bottom:0;border-top:1px solid var(--axis);font-weight:600}
    .lora-figure td{vertical-align:top}
    .lora-figure td.prose{white-space:normal;overflow-wrap:anywhere;min-width:18em;max-width:52em}
    .lora-figure tr.strong td{font-weight:650}
    .lora-figure .tiles-heading{font-weight:600;margin-bottom:.6em}
    .lora-figure .tiles{display:grid;gap:14px 12px}
    .lora-figure .tile img{display:block;width:100%;height:auto;image-rendering:pixelated;border-radius:6px}
    .lora-figure .tile div{margin-top:.35em;font-size:12px;line-height:1.35;text-align:center}
    .lora-figure .good{color:var(--good)}.lora-figure .bad{color:var(--bad)}
    """
}

/// A colour of eight bits a channel.
struct RGB: Equatable, Sendable {
  let red, green, blue: UInt8

  init(_ red: UInt8, _ green: UInt8, _ blue: UInt8) { (self.red, self.green, self.blue) = (red, green, blue) }

  var css: String { "rgb(\(red),\(green),\(blue))" }
}
