import Foundation
import LoRAAdapters
import LoRACharts
import LoRATensors
import Testing

/// Awkward input that every chart must survive.
private let awkward: [(name: String, values: [Double])] = [
  ("nothing", []), ("one point", [3]), ("zeros", [0, 0, 0]), ("one value", [5, 5]), ("negative", [-3, -1, -2]),
  ("gaps", [1, .nan, 2, .infinity, -.infinity, 3]), ("only gaps", [.nan, .infinity]), ("tiny", [1e-300, 2e-300]),
  ("huge", [-1e200, 1e200]), ("too huge", [-1e308, 1e308, 1]), ("wide", [1e-12, 1, 1e12]),
]
private let hostile = "<b>\"A\" & 'B'</b> \u{1}\u{0} ]]> ünïcode 手"

struct ChartTests {
  @Test("Lines of any values are well-formed and stay inside the drawing", arguments: awkward.map(\.values))
  func lines(values: [Double]) throws {
    for (scale, smoothing) in [(AxisScale.linear, 1), (.logarithmic, 1), (.linear, 5)] {
      let chart = LineChart(
        title: "t", series: [.init("a", values), .init("b", [1.0, 2.0])], xLabel: "x", yLabel: "y", yScale: scale,
        smoothing: smoothing)
      let markup = ParsedMarkup(chart.svg)
      #expect(markup.isWellFormed)
      #expect(!chart.svg.contains("nan") && !chart.svg.contains("inf"))
      for line in markup.all("polyline") where line["class"] != "line faint" {
        for pair in try #require(line["points"]).split(separator: " ") {
          let coordinates = pair.split(separator: ",").compactMap { Double($0) }
          #expect(coordinates.count == 2)
          #expect((0...640).contains(coordinates[0]) && (0...360).contains(coordinates[1]), "\(pair)")
        }
      }
    }
  }

  @Test("Bars of any values are well-formed with sizes that are not negative", arguments: awkward.map(\.values))
  func bars(values: [Double]) throws {
    let chart = BarChart(
      title: "t", categories: values.indices.map(String.init), series: [.init("a", values), .init("b", values)])
    let markup = ParsedMarkup(chart.svg)
    #expect(markup.isWellFormed)
    for bar in markup.all("rect", class: "bar") {
      #expect(Double(bar["height"] ?? "").map { $0 >= 0 } == true)
      #expect(Double(bar["width"] ?? "").map { $0 > 0 } == true)
    }
    let inLegend = 2
    #expect(markup.all("rect", class: "bar").count - inLegend == 2 * values.filter { abs($0) <= 1e200 }.count)
  }

  @Test("Heat maps of any values and shapes are well-formed", arguments: awkward.map(\.values))
  func heatmaps(values: [Double]) {
    for palette in [Heatmap.Palette.diverging, .sequential] {
      for (rows, columns) in [(1, values.count), (values.count, 1)] {
        let chart = Heatmap(
          title: "t", rows: rows, columns: columns, values: values.map { Float($0) }, palette: palette, rowLabel: "r",
          columnLabel: "c")
        #expect(ParsedMarkup(chart.svg).isWellFormed)
        #expect(!chart.svg.lowercased().contains("\"nan"))
      }
    }
  }

  @Test("Names from outside are escaped everywhere, and a parser reads them back")
  func escaping() {
    let shown = "<b>\"A\" & 'B'</b> \u{FFFD}\u{FFFD} ]]> ünïcode 手"
    let picture = Picture(width: 1, height: 1, pixels: [7])
    let charts: [any Chart] = [
      LineChart(title: hostile, series: [.init(hostile, [1.0, 2.0])], xLabel: hostile, yLabel: hostile),
      BarChart(title: hostile, categories: [hostile], series: [.init(hostile, [1])], xLabel: hostile, yLabel: hostile),
      Heatmap(title: hostile, rows: 1, columns: 1, values: [1], rowLabel: hostile, columnLabel: hostile),
      ConfusionMatrix(title: hostile, classes: [hostile], counts: [[1]]),
    ]
    for chart in charts {
      let markup = ParsedMarkup(chart.svg)
      #expect(markup.isWellFormed, "\(type(of: chart))")
      #expect(markup.text.contains(shown))
      #expect(markup.all("b").isEmpty)
    }
    let report = Report(
      title: hostile, summary: hostile,
      sections: [
        .init(
          hostile,
          [
            .prose(hostile), .highlights([.init(hostile, .text(hostile))]), .row(charts, caption: hostile),
            .fields([.init(hostile, .text(hostile))]),
            .table(Table(title: hostile, columns: [.text(hostile)], rows: [[.text(hostile)]]), caption: hostile),
            .figure(ImageGrid(title: hostile, tiles: [.init(picture, captions: [.init(hostile, .bad)])])),
          ])
      ], findings: [Finding(.error, hostile, [hostile])], conclusion: .init(hostile, .bad),
      settings: [.init(hostile, .text(hostile))])
    let markup = ParsedMarkup(report.html)
    #expect(markup.isWellFormed)
    #expect(markup.all("b").isEmpty)
  }

  @Test("A bar's height is its share of the axis")
  func barHeights() throws {
    // The axis ends at a tick: 0, 50, 100. So 100 is twice as high as 50, and 25 half of it.
    let chart = BarChart(title: "", categories: ["a", "b", "c"], series: [.init("", [100, 50, 25])])
    let heights = ParsedMarkup(chart.svg).all("rect", class: "bar").compactMap { $0["height"].flatMap(Double.init) }
    #expect(heights.count == 3)
    #expect(abs(heights[0] - 2 * heights[1]) < 0.02)
    #expect(abs(heights[0] - 4 * heights[2]) < 0.04)
  }

  @Test("Every drawing has a role, a title and a description, and works in light and dark")
  func accessibility() {
    let chart = LineChart(title: "Loss", series: [.init("LoRA", [3.0, 1.0])])
    let markup = ParsedMarkup(chart.svg)
    #expect(markup.all("svg")[0]["role"] == "img")
    #expect(markup.all("svg")[0]["aria-label"] == "Loss. Lines. LoRA: 2 values from 3 to 1, between 1 and 3.")
    #expect(markup.all("title").count == 1)
    #expect(markup.text.contains("LoRA: 2 values from 3 to 1, between 1 and 3"))
    #expect(chart.svg.contains("prefers-color-scheme:dark"))
  }

  @Test("Confusions are counted by true row and predicted column")
  func confusions() {
    let matrix = ConfusionMatrix(
      title: "", classes: ["x", "y"], labels: [0, 0, 1, 1, 1], predictions: [0, 1, 1, 1, 0])
    #expect(matrix.counts == [[1, 1], [1, 2]])
    #expect(ParsedMarkup(matrix.svg).text.contains("x taken for y: 1, 50%"))
  }

  @Test("The moving mean counts zeros on a logarithmic axis too, though they have no place there")
  func meanOfZeros() throws {
    // Means of three: (1+0)/2, (1+0+0)/3, 0 → a gap, (0+0+1)/3, (0+1)/2.
    let chart = LineChart(title: "", series: [.init("a", [1.0, 0, 0, 0, 1])], yScale: .logarithmic, smoothing: 3)
    let bold = ParsedMarkup(chart.svg).all("polyline", class: "line").filter { $0["class"] == "line" }
    #expect(bold.map { $0["points"]?.split(separator: " ").count } == [2, 2])
    // The axis spans the means, 1/3 to 1/2, not the values.
    #expect(!ParsedMarkup(chart.svg).text.contains("1.0"))
  }

  @Test("A long line is thinned to what can be seen and keeps its peaks")
  func thinning() throws {
    var values = (0..<100_000).map { Double($0 % 10) }
    values[54_321] = 99
    let chart = LineChart(title: "", series: [.init("a", values)])
    let points = try #require(ParsedMarkup(chart.svg).all("polyline").first?["points"]).split(separator: " ")
    #expect(points.count <= 4 * 640)
    let heights = points.compactMap { Double($0.split(separator: ",")[1]) }
    // The axis runs to 100, so the peak is within a hundredth of the top; all else lies below a tenth.
    #expect(heights.filter { $0 < 60 }.count == 1)
  }
}

struct HeatmapTests {
  @Test("A limit that covers part of the values leaves out the rest, and the legend says so")
  func limit() {
    let values = (0..<100).map { Float($0 % 2 == 0 ? $0 : -$0) }
    #expect(Heatmap.limit(covering: 1, of: values) == 99)
    #expect(Heatmap.limit(covering: 0.5, of: values) == 50)
    #expect(Heatmap.limit(covering: 0.5, of: [.nan]) == 0)
    let chart = Heatmap(title: "", rows: 10, columns: 10, values: values, limit: 50)
    let text = ParsedMarkup(chart.svg).text
    #expect(text.contains("≥ 50") && text.contains("≤ −50"))
  }

  @Test("A tensor is shown as it lies, row by row")
  func tensor() {
    let chart = Heatmap(title: "", Tensor(shape: [2, 3], scalars: [1, 2, 3, 4, 5, 6]))
    #expect((chart.rows, chart.columns) == (2, 3))
    #expect(chart.values == [1, 2, 3, 4, 5, 6])
    #expect(chart.limit == 6)
  }
}
