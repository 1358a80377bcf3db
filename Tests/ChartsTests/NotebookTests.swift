import Foundation
import LoRACharts
import LoRADatasets
import LoRANetworks
import LoRATensors
import LoRATraining
import Testing

struct NotebookTests {
  private static let matrix = Tensor(shape: [3, 20], scalars: (0..<60).map { Float($0 % 7) - 2 })

  private func content(_ value: some CustomPlaygroundDisplayConvertible) -> [String: String] {
    value.playgroundDescription as? [String: String] ?? [:]
  }

  @Test("A figure is HTML and a chart SVG, each with text that says the same")
  func figures() {
    let chart = LineChart(title: "Loss", series: [.init("LoRA", [3.0, 1.0])])
    #expect(content(chart)["image/svg+xml"] == chart.svg)
    #expect(content(chart)["text/plain"] == "Loss\nLines. LoRA: 2 values from 3 to 1, between 1 and 3.")

    let table = Table(columns: [.text("arm"), "errors"], rows: [["LoRA", "7"]])
    #expect(content(table)["text/html"]?.contains(table.html) == true)
    #expect(content(table)["text/plain"] == table.plainText)

    let grid = ImageGrid(
      title: "Digits", tiles: [.init(Picture(width: 1, height: 1, pixels: [7]), captions: [.init("a"), .init("b")])])
    #expect(content(grid)["text/plain"] == "Digits\n1 pictures\na, b")
  }

  @Test("A small tensor is a table of its numbers, the decimal points in line")
  func smallTensor() {
    let shown = content(Tensor(shape: [2, 3], scalars: [1, 2, 3, 4, 5, -0.25]))
    #expect(
      shown["text/plain"] == """
        Tensor [2, 3]
                0       1        2
        ──────────────────────────
        0  1.0000  2.0000   3.0000
        1  4.0000  5.0000  −0.2500
        """)
    #expect(content(Tensor([1, 2]))["text/html"] != nil)
  }

  @Test(
    "Numbers of one tensor have the same decimals; where one would vanish, powers of ten",
    arguments: [
      ([3, -12, 1_000_000], "3 −12 1,000,000"),
      ([0, 0], "0 0"),
      ([12.5, -0.015625], "12.500 −0.016"),
      ([1500.25, 2], "1,500.25 2.00"),
      ([0.5, 1e-6, 0, -2], "5.000e−01 1.000e−06 0.000e+00 −2.000e+00"),
      ([3.5e8, 0.5], "3.500e+08 5.000e−01"),
      ([.infinity, .nan, -0.5], "∞ NaN −0.5000"),
    ] as [([Float], String)])
  func alignedNumbers(_ numbers: [Float], _ expected: String) {
    let lines = (content(Tensor(numbers))["text/plain"] ?? "").split(separator: "\n")
    let cells = lines.last?.split(separator: " ").dropFirst().joined(separator: " ")
    #expect(cells == expected)
  }

  @Test("A module is shown as its summary, as a table and as text")
  func module() {
    var generator = SeededGenerator(seed: 1)
    let model = Linear(inputs: 6, outputs: 5, using: &generator)
    let shown = content(model.summary)
    #expect(model.playgroundDescription as? ModuleSummary == model.summary)
    #expect(shown["text/plain"] == model.summary.description)
    #expect(shown["text/html"]?.contains("weight [5, 6], bias [5]") == true)
  }

  @Test("A large tensor is a heat map, of as many rows as all axes but the last have")
  func largeTensor() {
    #expect(content(Self.matrix)["text/plain"]?.hasPrefix("Tensor [3, 20]\nA matrix of 3 by 20") == true)
    let deep = content(Self.matrix.reshaped([3, 2, 10]).reshaped([3, 5, 4]))
    #expect(deep["text/plain"]?.hasPrefix("Tensor [3, 5, 4]\nA matrix of 15 by 4") == true)
  }

  @Test("A scalar and a tensor without elements are text alone")
  func textAlone() {
    #expect(Array(content(Tensor(1)).keys) == ["text/plain"])
    #expect(Array(content(Tensor(shape: [0, 3], scalars: [])).keys) == ["text/plain"])
  }

  @Test("Decompositions, training and its results are shown as charts and tables")
  func libraryTypes() throws {
    let svd = try Self.matrix.svd()
    #expect(content(svd)["image/svg+xml"] == content(svd.spectrum)["image/svg+xml"])
    #expect(content(svd.spectrum)["text/plain"]?.hasPrefix("Singular values of a 3 × 20 matrix") == true)
    let factors = svd.truncated(to: 1)
    for shape in ["[3, 1]", "[1]", "[1, 20]"] { #expect(content(factors)["text/plain"]?.contains(shape) == true) }

    let result = ClassificationResult(labels: [0, 1, 1, 0], predictions: [0, 1, 0, 0], classCount: 2)
    #expect(content(result)["image/svg+xml"]?.contains("75.00% right, 1 errors") == true)

    var generator = SeededGenerator(seed: 1)
    let layer = Linear(inputs: 3, outputs: 2, using: &generator)
    let trainer = Trainer(Adam(layer.trainableParameters, learningRate: 0.1))
    for _ in 0..<3 { try trainer.step { layer(Tensor(shape: [1, 3], scalars: [1, 2, 3])).squared().sum() } }
    #expect(content(trainer)["text/plain"]?.contains("3 values") == true)
  }

  @Test("A set of images is a contact sheet: a row of each class, with its number")
  func images() throws {
    let digits = try MNIST.sample()
    let shown = content(digits.test.filter { $0 != 3 })
    #expect(
      shown["text/plain"]?.hasPrefix("900 images of 28×28, 10 classes; the first of each:\n9 pictures\n0: 100 images")
        == true)
    #expect(shown["text/html"]?.components(separatedBy: "data:image/png").count == 10)

    let both = content(digits)["text/plain"] ?? ""
    #expect(both.contains("To train with: 4,000 images") && both.contains("To test with: 1,000 images"))
  }

  @Test("A matrix becomes grey pixels, clamped at black and white")
  func greyPixels() {
    let picture = Picture(Tensor(shape: [1, 5], scalars: [-9, 1, 2, 3, .nan]), black: 1, white: 3)
    #expect(picture.pixels == [0, 0, 128, 255, 0])
    #expect(Picture(Tensor(shape: [1, 2], scalars: [0, 1]), black: 1, white: 0).pixels == [255, 0])
  }
}
