import LoRATensors

/// A matrix beside the two thin ones that it is the product of: cells of one size, colours of one scale.
public struct MatrixProduct: Chart {
  /// The heading.
  public let title: String
  /// [rows, columns]
  public let product: Tensor
  /// [rows, rank]
  public let left: Tensor
  /// [rank, columns]
  public let right: Tensor
  /// Of the product and of the two factors.
  public let names: [String]
  private static let (cell, sign) = (18.0, 36.0)

  /// - `product`: [rows, columns]
  /// - `left`: [rows, rank]
  /// - `right`: [rank, columns]
  public init(title: String, product: Tensor, left: Tensor, right: Tensor, names: [String]) {
    expect(
      [product, left, right].allSatisfy { $0.rank == 2 } && left.shape[1] == right.shape[0]
        && product.shape == [left.shape[0], right.shape[1]] && names.count == 3,
      "MatrixProduct: \(product.shape) is no product of \(left.shape) and \(right.shape)")
    (self.title, self.product, self.left, self.right, self.names) = (title, product, left, right, names)
  }

  public var drawing: Drawing {
    let matrices = [product, left, right]
    let limit = Double(matrices.flatMap(\.scalars).reduce(0) { max($0, abs($1)) })
    let top = 84.0
    let fieldHeight = Self.cell * Double(product.shape[0])
    var elements =
      [Markup("text", ["class": "heading", "x": 0, "y": 18], text: title)]
      + HeatmapLegend(limit: limit, palette: .diverging).elements(top: 30)
    var x = 0.0
    for (index, matrix) in matrices.enumerated() {
      let (rows, columns) = (matrix.shape[0], matrix.shape[1])
      let (width, height) = (Self.cell * Double(columns), Self.cell * Double(rows))
      let y = top + (fieldHeight - height) / 2
      let label = [names[index], "\(rows) × \(columns)", "\(rows * columns) numbers"]
      let extent = max(width, label.map { textWidth($0, size: 12) }.max() ?? 0)
      let place: KeyValuePairs<String, any AttributeValue> = [
        "x": x + (extent - width) / 2, "y": y, "width": width, "height": height, "preserveAspectRatio": "none",
        "href": Heatmap.picture(rows: rows, columns: columns, values: matrix.scalars, limit: limit, .diverging).dataURI,
      ]
      elements.append(Markup("image", place))
      elements.append(
        Markup(
          "rect", ["class": "axis", "x": x + (extent - width) / 2, "y": y, "width": width, "height": height]))
      for (line, text) in label.enumerated() {
        elements.append(
          Markup(
            "text",
            [
              "class": line == 0 ? "key middle" : "label middle", "x": x + extent / 2,
              "y": top + fieldHeight + 18 + 16 * Double(line),
            ], text: text))
      }
      x += extent
      if index < 2 {
        elements.append(
          Markup(
            "text", ["class": "heading middle", "x": x + Self.sign / 2, "y": top + fieldHeight / 2 + 5],
            text: index == 0 ? "=" : "×"))
        x += Self.sign
      }
    }
    return Drawing(
      width: x, height: top + fieldHeight + 58, title: title, description: description(limit), elements: elements)
  }

  private func description(_ limit: Double) -> String {
    let sizes = [product, left, right].map { "\($0.shape[0]) by \($0.shape[1])" }
    return "\(names[0]), \(sizes[0]), is the product of \(names[1]), \(sizes[1]), and \(names[2]), \(sizes[2]): "
      + "\(product.count.counted("number")) from \((left.count + right.count).grouped). Colour shows values from "
      + "\(shortText(-limit)) to \(shortText(limit))."
  }
}
