import LoRATensors

/// How often each class was taken for each: rows are the true classes, columns the predicted ones.
///
/// Shading is the share of its row; what is right is blue, what is wrong is orange and shaded more strongly, since
/// errors are rare and are what one looks for.
public struct ConfusionMatrix: Chart {
  /// The heading.
  public let title: String
  /// The names of the classes.
  public let classes: [String]
  /// [true class, predicted class]
  public let counts: [[Int]]
  /// In pixels; the height follows.
  public let width: Double

  /// - Parameters:
  ///   - title: the heading.
  ///   - classes: the names of the classes.
  ///   - counts: square, as many rows as classes.
  ///   - width: in pixels; the height follows.
  public init(title: String, classes: [String], counts: [[Int]], width: Double = 440) {
    expect(
      counts.count == classes.count && counts.allSatisfy { $0.count == classes.count },
      "ConfusionMatrix: \(counts.count) rows of \(counts.map(\.count)) counts for \(classes.count) classes")
    (self.title, self.classes, self.counts, self.width) = (title, classes, counts, width)
  }

  /// Counts pairs of labels.
  public init(title: String, classes: [String], labels: [Int], predictions: [Int], width: Double = 440) {
    expect(
      labels.count == predictions.count,
      "ConfusionMatrix: \(labels.count) labels and \(predictions.count) predictions")
    var counts = Array(repeating: Array(repeating: 0, count: classes.count), count: classes.count)
    for (label, prediction) in zip(labels, predictions) { counts[label][prediction] += 1 }
    self.init(title: title, classes: classes, counts: counts, width: width)
  }

  public var drawing: Drawing {
    let names = classes.map { textWidth($0, size: 12) }.max() ?? 0
    let (left, top) = (names + 12, 68.0)
    let cell = (width - left - 2) / Double(max(1, classes.count))
    let cellHeight = min(cell, 40)
    let height = top + cellHeight * Double(classes.count) + 8
    var elements = [
      Markup("text", ["class": "heading", "x": 0, "y": 18], text: title),
      Markup("text", ["class": "label", "x": 0, "y": 40], text: "true ↓"),
      Markup("text", ["class": "label end", "x": width - 2, "y": 40], text: "predicted →"),
    ]
    for (index, name) in classes.enumerated() {
      let middle = left + (Double(index) + 0.5) * cell
      elements.append(Markup("text", ["class": "tick middle", "x": middle, "y": top - 8], text: name))
      let y = top + (Double(index) + 0.5) * cellHeight + 4
      elements.append(Markup("text", ["class": "tick end", "x": left - 8, "y": y], text: name))
    }
    for (row, line) in counts.enumerated() {
      let total = Double(line.reduce(0, +))
      for (column, count) in line.enumerated() {
        let share = total > 0 ? Double(count) / total : 0
        let (x, y) = (left + Double(column) * cell, top + Double(row) * cellHeight)
        let isRight = row == column
        // At most 0.6, so that the number on it stays readable in light and dark.
        let opacity = count == 0 ? 0 : isRight ? 0.6 * share : min(0.6, 0.12 + 4 * share)
        elements.append(
          Markup(
            "rect",
            [
              "class": isRight ? "right" : "wrong", "fill-opacity": opacity, "x": x + 1, "y": y + 1, "width": cell - 2,
              "height": cellHeight - 2, "rx": 3,
            ],
            [
              Markup(
                "title",
                text: "\(classes[row]) taken for \(classes[column]): \(count), \(shortText(100 * share))%")
            ]))
        elements.append(
          Markup(
            "text",
            [
              "class": count == 0 ? "value middle zero" : "value middle", "x": x + cell / 2,
              "y": y + cellHeight / 2 + 4,
            ], text: count == 0 ? "·" : String(count)))
      }
    }
    return Drawing(width: width, height: height, title: title, description: description, elements: elements)
  }

  private var description: String {
    let total = counts.joined().reduce(0, +)
    let right = classes.indices.reduce(0) { $0 + counts[$1][$1] }
    return "Of \(total), \(right) were classified rightly. "
      + classes.indices.map { row in
        let errors = counts[row].reduce(0, +) - counts[row][row]
        return "\(classes[row]): \(errors) errors"
      }.joined(separator: ", ") + "."
  }
}
