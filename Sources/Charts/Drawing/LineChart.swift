import LoRATensors

/// Several series of points over common axes: loss curves, singular values.
///
/// ```swift
/// LineChart(
///   title: "Training loss", series: [.init("LoRA", losses), .init("full", fullLosses)],
///   xLabel: "step", yLabel: "cross-entropy", smoothing: 10)
/// ```
/// Values that are not finite, and on a logarithmic axis values that are not positive, leave a gap.
public struct LineChart: Chart {
  /// The points of one line.
  public struct Series: Sendable {
    /// What the legend calls it.
    public let name: String
    /// Joined in this order.
    public let points: [(x: Double, y: Double)]

    /// Which of the series' colours; `nil` takes the next.
    public let tint: Int?

    /// A line through these points.
    public init(_ name: String, points: [(x: Double, y: Double)], tint: Int? = nil) {
      (self.name, self.points, self.tint) = (name, points, tint)
    }

    /// Values at 1, 2, 3, …
    public init(_ name: String, _ values: some Sequence<some BinaryFloatingPoint>) {
      self.init(name, points: values.enumerated().map { (Double($0 + 1), Double($1)) })
    }
  }

  /// The heading.
  public let title: String
  /// The lines; the later ones lie above.
  public let series: [Series]
  /// What x is, with its unit.
  public let xLabel: String?
  /// What y is, with its unit.
  public let yLabel: String?
  /// How x lies along its axis.
  public let xScale: AxisScale
  /// How y lies along its axis.
  public let yScale: AxisScale
  /// Each point of the bold line is the mean of so many points around it (of one less when even); beneath it the values
  /// themselves stay, faint.
  public let smoothing: Int
  /// In pixels.
  public let width: Double
  /// In pixels.
  public let height: Double

  /// A chart of lines; the axes span all of them.
  public init(
    title: String, series: [Series], xLabel: String? = nil, yLabel: String? = nil, xScale: AxisScale = .linear,
    yScale: AxisScale = .linear, smoothing: Int = 1, width: Double = 640, height: Double = 360
  ) {
    expect(smoothing >= 1, "LineChart: smoothing over \(smoothing) points")
    (self.title, self.series, self.smoothing, self.width, self.height) = (title, series, smoothing, width, height)
    (self.xLabel, self.yLabel, self.xScale, self.yScale) = (xLabel, yLabel, xScale, yScale)
  }

  public var drawing: Drawing {
    let x = Axis(
      series.flatMap { $0.points.map(\.x) }, scale: xScale, isRounded: false, count: Int(width / 80))
    let means = series.map { LineChart.smoothed($0.points, over: smoothing) }
    // On a logarithmic axis single small values would stretch the scale until the means are flat: they may leave the
    // picture below.
    let spanned = smoothing > 1 && yScale == .logarithmic ? means : means + series.map(\.points)
    let y = Axis(spanned.joined().map(\.y), scale: yScale, isRounded: true, count: Int(height / 55))
    var frame = PlotFrame(
      title: title, width: width, height: height, legend: series.map(\.name), xLabel: xLabel, yLabel: yLabel, y: y,
      lastTick: x.labels.last ?? "", tints: series.enumerated().map { $1.tint ?? $0 })
    frame.addXAxis(zip(x.ticks, x.labels).compactMap { tick, label in x.position(tick).map { ($0, label) } })

    for (index, series) in series.enumerated() {
      func runs(_ points: [(x: Double, y: Double)]) -> [[(x: Double, y: Double)]] {
        LineChart.runs(
          points.map { point in
            guard let x = x.position(point.x), let y = y.position(point.y) else { return nil }
            return (frame.x(x), frame.y(y))
          })
      }
      let bold = runs(means[index])  // the values themselves when nothing is smoothed
      var group: [Markup] = []
      if smoothing > 1 {
        group.append(frame.clipped(runs(series.points).map { LineChart.polyline($0, "line faint") }))
      }
      group += bold.map { LineChart.polyline($0, "line") }
      let isSparse = series.points.count <= 24 && smoothing == 1
      for point in bold.flatMap({ isSparse || $0.count == 1 ? $0 : [] }) {
        group.append(Markup("circle", ["class": "dot", "cx": point.x, "cy": point.y, "r": 3]))
      }
      frame.add(Markup("g", ["class": Style.series(series.tint ?? index)], group))
    }
    return Drawing(width: width, height: frame.height, title: title, description: description, elements: frame.elements)
  }

  private var description: String {
    let lines = series.map { series -> String in
      let name = series.name.isEmpty ? "" : "\(series.name): "
      let values = series.points.map(\.y).filter(\.isFinite)
      guard let first = values.first, let last = values.last, let low = values.min(), let high = values.max() else {
        return "\(name)no values"
      }
      return "\(name)\(values.count.counted("value")) from \(shortText(first)) to \(shortText(last)), "
        + "between \(shortText(low)) and \(shortText(high))"
    }
    return "Lines" + (xLabel.map { " over \($0)" } ?? "") + ". " + lines.joined(separator: "; ") + "."
  }

  /// Stretches without a gap.
  private static func runs(_ points: [(x: Double, y: Double)?]) -> [[(x: Double, y: Double)]] {
    points.split { $0 == nil }.map { $0.compactMap { $0 } }
  }

  /// The moving mean around each point, of fewer points at the ends; a value that can't be shown spreads its gap.
  static func smoothed(_ points: [(x: Double, y: Double)], over window: Int) -> [(x: Double, y: Double)] {
    points.indices.map { index in
      let reach = (window - 1) / 2
      let values = points[max(0, index - reach)...min(points.count - 1, index + reach)].map {
        Axis.isOrdinary($0.y) ? $0.y : .nan
      }
      return (points[index].x, values.reduce(0, +) / Double(values.count))
    }
  }

  private static func polyline(_ points: [(x: Double, y: Double)], _ style: String) -> Markup {
    let path = thinned(points).map { "\(number($0.x)),\(number($0.y))" }.joined(separator: " ")
    return Markup("polyline", ["class": style, "points": path])
  }

  /// At most a lowest and a highest point for each half pixel of width: what is left out could not be seen.
  static func thinned(_ points: [(x: Double, y: Double)]) -> [(x: Double, y: Double)] {
    guard points.count > 2000 else { return points }
    var result: [(x: Double, y: Double)] = []
    var start = points.startIndex
    while start < points.endIndex {
      let column = (points[start].x * 2).rounded(.down)
      let end = points[start...].firstIndex { ($0.x * 2).rounded(.down) != column } ?? points.endIndex
      let indices = start..<end
      let low = indices.min { points[$0].y < points[$1].y }!
      let high = indices.max { points[$0].y < points[$1].y }!
      result += Set([low, high]).sorted().map { points[$0] }
      start = end
    }
    return result
  }
}
