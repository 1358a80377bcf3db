import LoRAKit
import Testing

/// Two alike blocks and one that differs, a parameter of the model's own, and one that two modules share.
private final class Stack: Module {
  final class Block: Module {
    let inner: Linear
    init(_ inputs: Int, _ outputs: Int, using generator: inout SeededGenerator) {
      inner = Linear(inputs: inputs, outputs: outputs, using: &generator)
    }
  }

  let scale: Parameter
  let layers: [Block]
  let table: Embedding
  let head: Linear

  init(using generator: inout SeededGenerator) {
    scale = Parameter(.normal([5], using: &generator))
    layers = [Block(3, 5, using: &generator), Block(3, 5, using: &generator), Block(3, 7, using: &generator)]
    table = Embedding(weight: Parameter(.normal([11, 3], using: &generator)))
    head = Linear(weight: table.weight, bias: nil)
  }
}

@Suite("The summary of a module")
struct ModuleSummaryTests {
  private typealias Shape = ModuleSummary.Shape
  private var generator = SeededGenerator(seed: 3)

  @Test("Modules, shapes and counts stand in a tree; neighbours that are alike are one row")
  mutating func tree() {
    let model = Stack(using: &generator)
    model.layers[0].inner.bias?.isTrainable = false
    model.layers[1].inner.bias?.isTrainable = false
    let rows = model.summary.rows
    #expect(rows.map(\.name) == ["", "layers.0–1", "inner", "layers.2", "inner", "table", "head"])
    #expect(rows.map(\.type) == ["Stack", "Block", "Linear", "Block", "Linear", "Embedding", "Linear"])
    #expect(rows.map(\.depth) == [0, 0, 1, 0, 1, 0, 0])
    #expect(rows.map(\.copies) == [1, 2, 1, 1, 1, 1, 1])
    #expect(rows[2].shapes == [Shape(name: "weight", sizes: [5, 3]), Shape(name: "bias", sizes: [5])])
    // The embedding's table is the head's weight too, and counts once: 11 · 3.
    #expect(rows.map(\.count) == [5, 0, 20, 0, 28, 33, 0])
    #expect(rows.map(\.trainableCount) == [5, 0, 15, 0, 28, 33, 0])
    #expect(model.summary.count == 5 + 2 * 20 + 28 + 33)
    #expect(model.summary.trainableCount == 5 + 2 * 15 + 28 + 33)
  }

  @Test("An adapter stands below its layer, with its rank, its scale and whether it is on")
  mutating func adapters() throws {
    let model = DigitClassifier(inputs: 6, hidden: (5, 4), classes: 3, using: &generator)
    try model.attach(LoRAConfiguration(rank: 2, alpha: 6), to: .names(["hidden2"]), using: &generator)
    let summary = model.summary
    #expect(summary.rows.map(\.name) == ["hidden1", "hidden2", "weight", "output"])
    #expect(summary.rows[2].type == "LoRA, rank 2, scale 3.0")
    #expect(summary.rows[2].shapes == [Shape(name: "a", sizes: [2, 5]), Shape(name: "b", sizes: [4, 2])])
    // 6·5 + 5, 5·4 + 4, 4·3 + 3; A and B hold 2·5 + 4·2.
    #expect((summary.count, summary.attachedCount, summary.trainableCount) == (35 + 24 + 15, 18, 18))
    #expect(
      summary.description == """
        DigitClassifier: 74 parameters and 18 of what is attached to them; 18 (19.6%) are trained
        module    type                     shapes                   parameters  trained
        hidden1   Linear                   weight [5, 6], bias [5]          35        0
        hidden2   Linear                   weight [4, 5], bias [4]          24        0
          weight  LoRA, rank 2, scale 3.0  a [2, 5], b [4, 2]               18       18
        output    Linear                   weight [3, 4], bias [3]          15        0
        """)
    for item in model.attachedAdapters { item.adapter.isEnabled = false }
    #expect(model.summary.rows[2].type == "LoRA, rank 2, scale 3.0, switched off")
  }

  @Test("Blocks of which one has an adapter are told apart")
  mutating func oneAdapted() throws {
    let model = Stack(using: &generator)
    let weight = model.layers[1].inner.weight
    try weight.parametrize(by: LoRA(rank: 1, alpha: 1, for: weight, name: "mine", using: &generator))
    let rows = model.summary.rows
    #expect(
      rows.map(\.name) == [
        "", "layers.0", "inner", "layers.1", "inner", "weight", "layers.2", "inner", "table", "head",
      ])
    #expect(rows[5].type == "LoRA “mine”, rank 1, scale 1.0" && rows[5].depth == 2)
  }

  @Test("The layers of a sequence stand below each other by their places")
  mutating func sequential() {
    let model = Sequential(
      Linear(inputs: 2, outputs: 3, using: &generator), Activation.relu,
      Linear(inputs: 3, outputs: 4, using: &generator))
    let rows = model.summary.rows
    #expect(rows.map(\.name) == ["0", "1", "2"])
    #expect(rows.map(\.count) == [9, 0, 16])
  }

  @Test("A layer by itself is one row, and a module without parameters none")
  mutating func small() {
    final class Nothing: Module {}
    #expect(Linear(inputs: 2, outputs: 3, bias: false, using: &generator).summary.rows.map(\.count) == [6])
    #expect(Nothing().summary.rows.isEmpty)
    #expect(Nothing().summary.description.hasPrefix("Nothing: 0 parameters"))
  }
}
