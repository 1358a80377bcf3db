// What charts with axes share: the heading, the legend, the grid and the axes, and the rectangle between them.

/// The layout of a chart; everything in pixels from the top left corner.
struct PlotFrame {
  let width: Double
  /// What was asked for, and room for a legend of several lines.
  let height: Double
  /// Where the data go.
  let left, right, top, bottom: Double
  private(set) var elements: [Markup]

  private static let tickSize = 12.0

  /// - Parameters:
  ///   - legend: series names; shown when there is more than one, or when one has a name.
  ///   - lastTick: the label at the right end of the x axis, which needs room beside it.
  ///   - y: the vertical axis, with a grid line at each tick.
  init(
    title: String, width: Double, height: Double, legend: [String], xLabel: String?, yLabel: String?,
    y: Axis, lastTick: String = "", tints: [Int]? = nil
  ) {
    self.width = width
    let keys = legend.allSatisfy(\.isEmpty) ? [] : legend
    let key = PlotFrame.legend(keys, tints ?? Array(keys.indices), width: width, top: title.isEmpty ? 4 : 30)
    // The legend's first line is counted with; more of them do not make what is drawn smaller.
    let height = height + max(0, key.height - 20)
    self.height = height
    let tickWidth = y.labels.map { textWidth($0, size: PlotFrame.tickSize) }.max() ?? 0
    left = (tickWidth + 10).rounded(.up)
    right = width - max(14, textWidth(lastTick, size: PlotFrame.tickSize) / 2 + 2)
    bottom = height - (xLabel == nil ? 26 : 46)
    elements = []
    var top = 4.0
    if !title.isEmpty {
      elements.append(Markup("text", ["class": "heading", "x": 0, "y": 18], text: title))
      top = 30
    }
    if !keys.isEmpty {
      elements += key.elements
      top += key.height
    }
    if let yLabel {
      elements.append(Markup("text", ["class": "label", "x": 0, "y": top + 12], text: yLabel))
      top += 18
    }
    self.top = top + 8
    addHorizontalGrid(y)
    if let xLabel {
      elements.append(
        Markup("text", ["class": "label middle", "x": (left + right) / 2, "y": height - 6], text: xLabel))
    }
  }

  func x(_ position: Double) -> Double { left + position * (right - left) }
  func y(_ position: Double) -> Double { bottom - position * (bottom - top) }

  mutating func add(_ markup: Markup) { elements.append(markup) }

  /// Elements of which only what lies between the axes shows.
  func clipped(_ elements: [Markup]) -> Markup {
    let (width, height) = (right - left, bottom - top)
    return Markup(
      "svg",
      [
        "x": left, "y": top, "width": width, "height": height,
        "viewBox": "\(number(left)) \(number(top)) \(number(width)) \(number(height))",
      ], elements)
  }

  private mutating func addHorizontalGrid(_ axis: Axis) {
    for (tick, label) in zip(axis.ticks, axis.labels) {
      guard let position = axis.position(tick) else { continue }
      let height = y(position)
      add(Markup("line", ["class": "grid", "x1": left, "x2": right, "y1": height, "y2": height]))
      add(Markup("text", ["class": "tick end", "x": left - 8, "y": height + 4], text: label))
    }
  }

  /// Ticks and labels below the data, and the line at `baseline` (a position on the y axis).
  mutating func addXAxis(_ ticks: [(position: Double, label: String)], marks: Bool = true, baseline: Double = 0) {
    add(Markup("line", ["class": "axis", "x1": left, "x2": right, "y1": y(baseline), "y2": y(baseline)]))
    for (position, label) in ticks {
      if marks {
        add(Markup("line", ["class": "axis", "x1": x(position), "x2": x(position), "y1": bottom, "y2": bottom + 4]))
      }
      add(Markup("text", ["class": "tick middle", "x": x(position), "y": bottom + 18], text: label))
    }
  }

  /// Names with their colours, in as many rows as they need.
  private static func legend(
    _ names: [String], _ tints: [Int], width: Double, top: Double
  ) -> (elements: [Markup], height: Double) {
    let swatch = 14.0
    var (x, y) = (0.0, top)
    var elements: [Markup] = []
    for (index, name) in names.enumerated() {
      let extent = swatch + 6 + textWidth(name, size: tickSize)
      if x > 0, x + extent > width { (x, y) = (0, y + 20) }
      elements.append(
        Markup(
          "rect",
          [
            "class": "bar \(Style.series(tints[index]))", "x": x, "y": y + 3, "width": swatch, "height": 10, "rx": 2,
          ]))
      elements.append(Markup("text", ["class": "key", "x": x + swatch + 6, "y": y + 12], text: name))
      x += extent + 18
    }
    return (elements, y - top + 20)
  }
}
