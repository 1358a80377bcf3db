import LoRATensors

/// A matrix as a field of colour: blue below zero and orange above, or one colour from nothing to the largest.
///
/// The colour's opacity is the magnitude, so zero is the surface itself, light or dark. A matrix with more cells than
/// pixels is reduced: each cell shown is the value of largest magnitude in its block, so that no peak is lost.
/// ```swift
/// Heatmap(title: "ΔW", update, rowLabel: "output", columnLabel: "input")
/// ```
public struct Heatmap: Chart {
  /// Which colours values have.
  public enum Palette: Sendable {
    /// −limit … 0 … limit.
    case diverging
    /// 0 … limit; what is below zero shows as zero.
    case sequential
  }

  /// The heading.
  public let title: String
  /// Rows of the matrix.
  public let rows: Int
  /// Columns of the matrix.
  public let columns: Int
  /// [rows, columns]
  public let values: [Float]
  /// Which colours values have.
  public let palette: Palette
  /// The magnitude of full colour.
  public let limit: Double
  /// What rows are.
  public let rowLabel: String?
  /// What columns are.
  public let columnLabel: String?
  /// In pixels.
  public let width: Double
  private let fieldHeight: Double?

  /// - Parameters:
  ///   - title: the heading.
  ///   - rows: rows of the matrix.
  ///   - columns: columns of the matrix.
  ///   - values: [rows, columns], row by row; those that are not finite are shown grey.
  ///   - palette: which colours values have.
  ///   - limit: `nil` takes the largest magnitude; give one to make several heat maps comparable.
  ///   - rowLabel: what rows are.
  ///   - columnLabel: what columns are.
  ///   - width: in pixels.
  ///   - height: of the field of colour; `nil` makes cells square as far as that is sensible.
  public init(
    title: String, rows: Int, columns: Int, values: [Float], palette: Palette = .diverging, limit: Double? = nil,
    rowLabel: String? = nil, columnLabel: String? = nil, width: Double = 400, height: Double? = nil
  ) {
    expect(
      rows >= 0 && columns >= 0 && values.count == rows * columns,
      "Heatmap: \(values.count) values for [\(rows), \(columns)]")
    (self.title, self.rows, self.columns, self.values) = (title, rows, columns, values)
    (self.palette, self.rowLabel, self.columnLabel) = (palette, rowLabel, columnLabel)
    self.limit = limit ?? Double(values.reduce(Float(0)) { $1.isFinite ? max($0, abs($1)) : $0 })
    (self.width, fieldHeight) = (width, height)
  }

  /// - Parameters:
  ///   - title: the heading.
  ///   - matrix: [rows, columns]
  ///   - palette: which colours values have.
  ///   - limit: the magnitude of full colour; `nil` takes the largest.
  ///   - rowLabel: what rows are.
  ///   - columnLabel: what columns are.
  ///   - width: in pixels.
  ///   - height: of the field of colour, in pixels.
  public init(
    title: String, _ matrix: Tensor, palette: Palette = .diverging, limit: Double? = nil, rowLabel: String? = nil,
    columnLabel: String? = nil, width: Double = 400, height: Double? = nil
  ) {
    expect(matrix.rank == 2, "Heatmap: a tensor of shape \(matrix.shape) is not a matrix")
    self.init(
      title: title, rows: matrix.shape[0], columns: matrix.shape[1], values: matrix.scalars, palette: palette,
      limit: limit, rowLabel: rowLabel, columnLabel: columnLabel, width: width, height: height)
  }

  public var drawing: Drawing {
    let rowAxis = IndexAxis(rows == 1 ? 0 : rows)
    let left = (rowAxis.labels.map { textWidth($0, size: 12) }.max() ?? 0) + 10
    let top = rowLabel == nil ? 70.0 : 88
    let fieldWidth = max(24, width - left - 10)
    let natural = fieldWidth * Double(rows) / Double(max(1, columns))
    let fieldHeight = self.fieldHeight ?? min(max(natural, 28), fieldWidth)
    // A tall matrix keeps its shape in a narrower field.
    let narrowed = min(fieldWidth, max(28, fieldHeight * Double(columns) / Double(max(1, rows))))
    let shownWidth = self.fieldHeight == nil ? narrowed : fieldWidth
    let height = top + fieldHeight + (columnLabel == nil ? 26 : 44)

    var elements = [Markup("text", ["class": "heading", "x": 0, "y": 18], text: title)] + legend.elements(top: 30)
    if let rowLabel { elements.append(Markup("text", ["class": "label", "x": 0, "y": top - 11], text: rowLabel)) }
    if rows > 0, columns > 0 {
      elements.append(
        Markup(
          "image",
          [
            "x": left, "y": top, "width": shownWidth, "height": fieldHeight, "preserveAspectRatio": "none",
            "href": picture(maximumRows: Int(fieldHeight), maximumColumns: Int(shownWidth)).dataURI,
          ]))
    }
    elements.append(
      Markup("rect", ["class": "axis", "x": left, "y": top, "width": shownWidth, "height": fieldHeight]))
    for (position, label) in rowAxis.ticks(spacing: 18, length: fieldHeight) {
      elements.append(
        Markup("text", ["class": "tick end", "x": left - 6, "y": top + position * fieldHeight + 4], text: label))
    }
    for (position, label) in IndexAxis(columns == 1 ? 0 : columns).ticks(spacing: 44, length: shownWidth) {
      elements.append(
        Markup(
          "text", ["class": "tick middle", "x": left + position * shownWidth, "y": top + fieldHeight + 17], text: label)
      )
    }
    if let columnLabel {
      let anchor = max(left + shownWidth / 2, textWidth(columnLabel, size: 12) / 2)
      elements.append(Markup("text", ["class": "label middle", "x": anchor, "y": height - 6], text: columnLabel))
    }
    let shown = max(left + shownWidth + 10, textWidth(title, size: 16), 2 * textWidth(legend.highText, size: 12) + 140)
    return Drawing(
      width: min(width, shown), height: height, title: title, description: description, elements: elements)
  }

  /// The magnitude that all but a small part of the values stay below. With the largest as the limit a few peaks make
  /// everything else pale.
  /// - Parameters:
  ///   - fraction: of the values; those beyond have full colour, and the legend says "≥".
  ///   - values: those that are to be shown.
  public static func limit(covering fraction: Double, of values: [Float]) -> Double {
    expect((0...1).contains(fraction), "Heatmap: the fraction \(fraction) is not between 0 and 1")
    let magnitudes = values.filter(\.isFinite).map(abs).sorted()
    guard !magnitudes.isEmpty else { return 0 }
    return Double(magnitudes[Int((fraction * Double(magnitudes.count - 1)).rounded(.up))])
  }

  private var legend: HeatmapLegend {
    HeatmapLegend(
      limit: limit, palette: palette, isExceeded: values.contains { Double($0) > limit },
      isUndercut: values.contains { Double($0) < -limit }, marksGaps: values.contains { !$0.isFinite })
  }

  private var description: String {
    let finite = values.enumerated().filter { $0.element.isFinite }
    guard let low = finite.min(by: { $0.element < $1.element }), let high = finite.max(by: { $0.element < $1.element })
    else { return "A matrix of \(rows) by \(columns)." }
    func place(_ index: Int) -> String { "in row \(index / columns), column \(index % columns)" }
    return "A matrix of \(rows) by \(columns), from \(shortText(Double(low.element))) \(place(low.offset)) to "
      + "\(shortText(Double(high.element))) \(place(high.offset))."
  }

  private func picture(maximumRows: Int, maximumColumns: Int) -> Picture {
    let (shownRows, shownColumns) = (min(rows, max(1, maximumRows)), min(columns, max(1, maximumColumns)))
    guard (shownRows, shownColumns) != (rows, columns) else {
      return Heatmap.picture(rows: rows, columns: columns, values: values, limit: limit, palette)
    }
    var reduced = [Float](repeating: 0, count: shownRows * shownColumns)
    for row in 0..<rows {
      for column in 0..<columns {
        let cell = row * shownRows / rows * shownColumns + column * shownColumns / columns
        let value = values[row * columns + column]
        if !value.isFinite || abs(value) > abs(reduced[cell]) { reduced[cell] = value }
      }
    }
    return Heatmap.picture(rows: shownRows, columns: shownColumns, values: reduced, limit: limit, palette)
  }

  static func picture(rows: Int, columns: Int, values: [Float], limit: Double, _ palette: Palette) -> Picture {
    let scale = limit > 0 ? 255 / Float(limit) : 0
    let pixels = values.flatMap { value -> [UInt8] in
      guard value.isFinite else { return [128, 128, 128, 255] }
      let color = value < 0 ? Style.cold : Style.warm
      let magnitude = palette == .sequential ? max(0, value) : abs(value)
      return [color.red, color.green, color.blue, UInt8(min(255, (magnitude * scale).rounded()))]
    }
    return Picture(width: columns, height: rows, channels: 4, pixels: pixels)
  }
}

/// The colours of a heat map with their values, and grey where there is something to mark.
struct HeatmapLegend {
  let limit: Double
  let palette: Heatmap.Palette
  /// Whether values lie above the limit, or below its negative.
  var isExceeded = false
  var isUndercut = false
  var marksGaps = false

  var lowText: String { palette == .sequential ? "0" : (isUndercut ? "≤ " : "") + shortText(-limit) }
  var highText: String { (isExceeded ? "≥ " : "") + shortText(limit) }

  func elements(top: Double) -> [Markup] {
    let barWidth = 120.0
    let left = textWidth(lowText, size: 12) + 6
    let steps = 61
    let ramp = (0..<steps).map { Float(limit) * (palette == .diverging ? Float(2 * $0) / 60 - 1 : Float($0) / 60) }
    let bar = Heatmap.picture(
      rows: 1, columns: steps, values: limit > 0 ? ramp : ramp.map { _ in 0 }, limit: limit, palette)
    var elements = [
      Markup("text", ["class": "tick", "x": 0, "y": top + 11], text: lowText),
      Markup(
        "image",
        [
          "x": left, "y": top + 1, "width": barWidth, "height": 12, "preserveAspectRatio": "none", "href": bar.dataURI,
        ]),
      Markup("rect", ["class": "axis", "x": left, "y": top + 1, "width": barWidth, "height": 12]),
      Markup("text", ["class": "tick", "x": left + barWidth + 6, "y": top + 11], text: highText),
    ]
    if palette == .diverging {
      let middle = left + barWidth / 2
      elements.append(Markup("line", ["class": "axis", "x1": middle, "x2": middle, "y1": top + 13, "y2": top + 16]))
      elements.append(Markup("text", ["class": "tick middle", "x": middle, "y": top + 27], text: "0"))
    }
    if marksGaps {
      let x = left + barWidth + 24 + textWidth(highText, size: 12)
      elements.append(Markup("text", ["class": "tick", "x": x, "y": top + 11], text: "grey: not finite"))
    }
    return elements
  }
}

/// Labels 0, 1, 2, … at the middles of `count` cells.
private struct IndexAxis {
  let count: Int

  init(_ count: Int) { self.count = count }

  var labels: [String] { count > 0 ? [String(count - 1)] : [] }

  func ticks(spacing: Double, length: Double) -> [(position: Double, label: String)] {
    guard count > 0 else { return [] }
    let wanted = max(1, length / spacing)
    let step = max(1, Int(Axis.niceStep(Double(count) / wanted).rounded()))
    return stride(from: 0, to: count, by: step).map { ((Double($0) + 0.5) / Double(count), String($0)) }
  }
}
