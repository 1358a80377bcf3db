import LoRATensors

/// Groups of bars side by side: errors per digit, one bar for each arm.
///
/// ```swift
/// BarChart(
///   title: "Errors per digit", categories: (0...9).map(String.init),
///   series: [.init("base", baseErrors), .init("LoRA", loraErrors)], yLabel: "errors")
/// ```
public struct BarChart: Chart {
  /// The bars of one colour.
  public struct Series: Sendable {
    /// What the legend calls it.
    public let name: String
    /// One for each category; one that is not finite has no bar.
    public let values: [Double]

    /// Bars of these heights, one for each category.
    public init(_ name: String, _ values: some Sequence<some BinaryFloatingPoint>) {
      self.name = name
      self.values = values.map { Double($0) }
    }

    /// Bars of these heights, one for each category.
    public init(_ name: String, _ values: some Sequence<some BinaryInteger>) {
      self.name = name
      self.values = values.map { Double($0) }
    }
  }

  /// The heading.
  public let title: String
  /// The groups, from left to right.
  public let categories: [String]
  /// The bars of each group, from left to right.
  public let series: [Series]
  /// What the categories are.
  public let xLabel: String?
  /// What the heights are, with their unit.
  public let yLabel: String?
  /// In pixels.
  public let width: Double
  /// In pixels.
  public let height: Double

  /// A chart of series that have one value for each category; it begins at zero.
  public init(
    title: String, categories: [String], series: [Series], xLabel: String? = nil, yLabel: String? = nil,
    width: Double = 640, height: Double = 360
  ) {
    for series in series {
      expect(
        series.values.count == categories.count,
        "BarChart: \(series.values.count) values of \(series.name) for \(categories.count) categories")
    }
    (self.title, self.categories, self.series) = (title, categories, series)
    (self.xLabel, self.yLabel, self.width, self.height) = (xLabel, yLabel, width, height)
  }

  public var drawing: Drawing {
    let y = Axis(series.flatMap(\.values) + [0], isRounded: true, count: Int(height / 55))
    var frame = PlotFrame(
      title: title, width: width, height: height, legend: series.map(\.name), xLabel: xLabel, yLabel: yLabel, y: y)
    let groups = Double(max(1, categories.count))
    let groupWidth = (frame.right - frame.left) / groups
    let barWidth = min(64, (groupWidth - min(0.28 * groupWidth, 24)) / Double(max(1, series.count)))
    let padding = groupWidth - barWidth * Double(series.count)
    let zero = frame.y(y.position(0)!)
    let showsValues = series.flatMap(\.values).allSatisfy { textWidth(shortText($0), size: 11) <= barWidth + 1 }

    for (index, series) in series.enumerated() {
      let bars = zip(categories, series.values).enumerated().flatMap { group, entry -> [Markup] in
        let (category, value) = entry
        guard let position = y.position(value) else { return [] }
        let x = frame.left + Double(group) * groupWidth + padding / 2 + Double(index) * barWidth
        let end = frame.y(position)
        let bar = Markup(
          "rect",
          [
            "class": "bar", "x": x + 0.5, "y": min(zero, end), "width": max(1, barWidth - 1), "height": abs(zero - end),
            "rx": min(2, barWidth / 4),
          ],
          [Markup("title", text: "\(series.name), \(category): \(shortText(value))")])
        guard showsValues else { return [bar] }
        let label = Markup(
          "text", ["class": "value middle", "x": x + barWidth / 2, "y": value < 0 ? end + 12 : end - 4],
          text: shortText(value))
        return [bar, label]
      }
      frame.add(Markup("g", ["class": Style.series(index)], bars))
    }
    // Where names would run into each other, only every second, third, … is written.
    let nameWidth = categories.map { textWidth($0, size: 12) }.max() ?? 0
    let every = max(1, Int(((nameWidth + 6) / groupWidth).rounded(.up)))
    frame.addXAxis(
      stride(from: 0, to: categories.count, by: every).map { ((Double($0) + 0.5) / groups, categories[$0]) },
      marks: false, baseline: y.position(0)!)
    return Drawing(width: width, height: frame.height, title: title, description: description, elements: frame.elements)
  }

  private var description: String {
    "Bars. "
      + series.map { series in
        "\(series.name): "
          + zip(categories, series.values).map { "\($0) \(shortText($1))" }.joined(separator: ", ")
      }.joined(separator: "; ") + "."
  }
}
