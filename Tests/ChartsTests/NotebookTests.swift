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

  @Test("A small tensor is a table of its numbers")
  func smallTensor() {
    let shown = content(Tensor(shape: [2, 3], scalars: [1, 2, 3, 4, 5, -0.25]))
    #expect(
      shown["text/plain"] == """
        Tensor [2, 3]
           0  1      2
        ─  ─  ─  ─────
        0  1  2      3
        1  4  5  −0.25
        """)
    #expect(content(Tensor([1, 2]))["text/html"] != nil)
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

  @Test("A set of images shows its size and its first images, with their labels")
  func images() throws {
    let test = try MNIST.sample().test
    let shown = content(test)["text/plain"] ?? ""
    #expect(shown.hasPrefix("1,000 images of 28×28, 10 classes; the first 20:\n20 pictures\n\(test.label(at: 0))\n"))
  }

  @Test("A matrix becomes grey pixels, clamped at black and white")
  func greyPixels() {
    let picture = Picture(Tensor(shape: [1, 5], scalars: [-9, 1, 2, 3, .nan]), black: 1, white: 3)
    #expect(picture.pixels == [0, 0, 128, 255, 0])
    #expect(Picture(Tensor(shape: [1, 2], scalars: [0, 1]), black: 1, white: 0).pixels == [255, 0])
  }
}
