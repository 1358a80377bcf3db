import LoRAAdapters
import LoRANetworks
import LoRATensors
import Testing

/// Two layers with a name that ends like another's, and a table.
final class SmallModel: CopyableModule {
  let embed: Embedding
  let query: Linear
  let prequery: Linear
  let output: Linear

  init(embed: Embedding, query: Linear, prequery: Linear, output: Linear) {
    (self.embed, self.query, self.prequery, self.output) = (embed, query, prequery, output)
  }

  convenience init(seed: UInt64 = 1) {
    var generator = SeededGenerator(seed: seed)
    self.init(
      embed: Embedding(vocabulary: 7, size: 5, using: &generator),
      query: Linear(inputs: 5, outputs: 6, using: &generator),
      prequery: Linear(inputs: 6, outputs: 4, bias: false, using: &generator),
      output: Linear(inputs: 4, outputs: 3, using: &generator))
  }

  func callAsFunction(_ x: [Int]) -> Tensor { output(prequery(query(embed(x)).tanh()).relu()) }

  func copy() -> SmallModel {
    SmallModel(embed: embed.copy(), query: query.copy(), prequery: prequery.copy(), output: output.copy())
  }
}

private let input = [0, 3, 6, 3, 2]

/// Gives every adapter of a model a B that is not zero.
private func stir(_ model: SmallModel, seed: UInt64 = 8) throws {
  var generator = SeededGenerator(seed: seed)
  for item in model.attachedAdapters {
    let lora = item.adapter as! LoRA
    try lora.b.assign(.normal(lora.b.shape, using: &generator))
  }
}

@Suite("LoRA")
struct LoRATests {
  @Test("the value is W + (α/r) B A, by hand")
  func byHand() throws {
    // W = 0 [2, 3], A = [1 2 3], B = [1; −1], α = 3, r = 1: ΔW = 3·[1 2 3; −1 −2 −3]
    let weight = Parameter(.zeros([2, 3]))
    let lora = LoRA(
      a: Parameter(Tensor(shape: [1, 3], scalars: [1, 2, 3])), b: Parameter(Tensor(shape: [2, 1], scalars: [1, -1])),
      alpha: 3)
    try weight.parametrize(by: lora)
    #expect(weight.value.scalars == [3, 6, 9, -3, -6, -9])
    #expect(weight.linear(Tensor(shape: [1, 3], scalars: [1, 1, 1])).scalars == [18, -18])
  }

  @Test("the scale is α/r, or α/√r where rank-stabilised")
  func scales() {
    var generator = SeededGenerator(seed: 1)
    let weight = Parameter(.zeros([9, 8]))
    #expect(LoRA(rank: 4, alpha: 6, for: weight, using: &generator).scale == 1.5)
    #expect(LoRA(rank: 4, alpha: 6, for: weight, scaling: .rankStabilized, using: &generator).scale == 3)
  }

  @Test("an adapter starts without effect, bit for bit")
  func startsAtZero() throws {
    let model = SmallModel()
    let before = model(input)
    var generator = SeededGenerator(seed: 2)
    for (index, start) in LoRA.Initialization.allCases.enumerated() {
      let configuration = LoRAConfiguration(rank: 2, alpha: 7, initialization: start, name: "\(index)")
      try model.attach(configuration, using: &generator)
    }
    #expect(model(input).scalars == before.scalars)
  }

  @Test(
    "the output path and the formed value agree in outputs and gradients",
    arguments: [Scaling.standard, .rankStabilized])
  func factoredPath(_ scaling: Scaling) throws {
    let model = SmallModel()
    var generator = SeededGenerator(seed: 3)
    try model.attach(
      LoRAConfiguration(rank: 2, alpha: 5, scaling: scaling), to: .names(["embed", "query", "output"]),
      using: &generator)
    try stir(model)
    let (factored, a) = model.valueAndGradients { model(input).squared().sum() }
    // Within a caching scope the formed value is used.
    let (formed, b) = Parameter.caching { model.valueAndGradients { model(input).squared().sum() } }
    #expect(abs(factored.item - formed.item) < 1e-4 * formed.item)
    #expect(a.count == 6)
    for item in model.trainableParameters {
      let (x, y) = (a[item.parameter]!, b[item.parameter]!)
      #expect((x - y).norm < 1e-4 * (1 + y.norm), "\(item.name)")
    }
  }

  @Test("only the adapter gets gradients")
  func onlyTheAdapter() throws {
    let model = SmallModel()
    var generator = SeededGenerator(seed: 4)
    let attached = try model.attach(LoRAConfiguration(rank: 2, alpha: 4), to: .names(["query"]), using: &generator)
    #expect(attached.map(\.path) == ["query"])
    #expect(
      model.trainableParameters.map(\.name) == [
        "query.weight.parametrizations.0.a", "query.weight.parametrizations.0.b",
      ])
    // A [2, 5] and B [6, 2]
    #expect(model.trainableCount == 22)
    let (_, gradients) = model.valueAndGradients { model(input).sum() }
    #expect(gradients.count == 2)
  }

  @Test("disabling restores the base bit for bit; folding keeps the outputs; removing forgets")
  func switching() throws {
    let model = SmallModel()
    let base = model(input)
    let stored = model.parameters.map(\.parameter.original)
    var generator = SeededGenerator(seed: 5)
    try model.attach(LoRAConfiguration(rank: 3, alpha: 2), using: &generator)
    try stir(model)
    let adapted = model(input)
    #expect((adapted - base).norm > 0.1)
    #expect(model.withAdaptersDisabled { model(input) }.isIdentical(to: base))
    #expect(model(input).isIdentical(to: adapted))
    #expect(zip(model.parameters, stored).allSatisfy { $0.parameter.original.isIdentical(to: $1) })

    let folded = model.copy()
    try folded.foldAdapter()
    #expect(folded.attachedAdapters.isEmpty)
    #expect((folded(input) - adapted).norm < 1e-4)

    try model.removeAdapter()
    #expect(model(input).isIdentical(to: base))
  }

  @Test("several adapters live on one model, one or more active")
  func several() throws {
    let model = SmallModel()
    let base = model(input)
    var generator = SeededGenerator(seed: 6)
    try model.attach(LoRAConfiguration(rank: 1, alpha: 2, name: "one"), using: &generator)
    try model.attach(LoRAConfiguration(rank: 2, alpha: 3, name: "two"), to: .names(["output"]), using: &generator)
    try stir(model)
    #expect(model.adapterNames == ["one", "two"])
    #expect(throws: AttachmentError.self) {
      try model.attach(LoRAConfiguration(rank: 1, alpha: 1, name: "one"), using: &generator)
    }
    let both = model(input)
    try model.enableAdapters(["two"])
    let two = model(input)
    try model.enableAdapters(["one"])
    let one = model(input)
    try model.enableAdapters([])
    #expect(model(input).isIdentical(to: base))
    for (x, y) in [(both, one), (both, two), (one, two)] { #expect((x - y).norm > 0.01) }
    let error = #expect(throws: AttachmentError.self) { try model.enableAdapters(["three"]) }
    #expect(error?.description.contains("one, two") == true)
    try model.enableAdapters(["one", "two"])
    #expect(model(input).isIdentical(to: both))
  }

  @Test("folding one of several keeps what the others and it give together")
  func foldOne() throws {
    let model = SmallModel()
    var generator = SeededGenerator(seed: 7)
    try model.attach(LoRAConfiguration(rank: 1, alpha: 2, name: "one"), using: &generator)
    try model.attach(LoRAConfiguration(rank: 2, alpha: 3, name: "two"), using: &generator)
    try stir(model)
    let both = model(input)
    #expect(throws: AttachmentError.self) { try model.foldAdapter(named: "two") }
    try model.foldAdapter(named: "one")
    #expect(model.adapterNames == ["two"])
    #expect((model(input) - both).norm < 1e-4)
  }

  @Test("dropout acts only while a gradient is computed")
  func dropout() throws {
    let model = SmallModel()
    var generator = SeededGenerator(seed: 8)
    try model.attach(LoRAConfiguration(rank: 2, alpha: 4, dropout: 0.5), using: &generator)
    try stir(model)
    #expect(model(input).isIdentical(to: model(input)))
    let first = model.valueAndGradients { model(input).sum() }.value.item
    let second = model.valueAndGradients { model(input).sum() }.value.item
    #expect(first != second, "each pass draws anew")
  }
}

@Suite("Targets")
struct TargetTests {
  private let model = SmallModel()
  private func paths(_ targets: Targets, excluding: Targets? = nil) throws -> [String] {
    try model.weights(matching: targets, excluding: excluding).map(\.path)
  }

  @Test("all linear means every linear layer and no embedding")
  func allLinear() throws {
    #expect(try paths(.allLinear) == ["query", "prequery", "output"])
    #expect(try paths(.allLinear, excluding: .names(["output"])) == ["query", "prequery"])
  }

  @Test("a name matches a whole path component from the end, never a part of one")
  func names() throws {
    #expect(try paths(.names(["query"])) == ["query"])
    #expect(try paths(.names(["output.weight", "embed"])) == ["embed", "output"])
  }

  @Test("a pattern matches the whole path")
  func patterns() throws {
    #expect(try paths(.pattern(".*query")) == ["query", "prequery"])
    #expect(throws: AttachmentError.self) { try paths(.pattern("quer")) }
    #expect(throws: AttachmentError.self) { try paths(.pattern("(")) }
  }

  @Test("anything given that matches nothing is an error that lists the candidates")
  func noMatch() {
    let error = #expect(throws: AttachmentError.self) { try paths(.names(["query", "value"])) }
    #expect(error?.problem == "no weight matches 'value'; the model has embed, query, prequery, output")
    #expect(throws: AttachmentError.self) { try paths(.allLinear, excluding: .names(["nothing"])) }
    #expect(throws: AttachmentError.self) { try paths(.names(["query"]), excluding: .names(["query"])) }
    #expect(throws: AttachmentError.self) { try paths(.names([])) }
  }

  @Test("a rank that does not fit is refused before anything is attached")
  func rank() {
    var generator = SeededGenerator(seed: 1)
    let error = #expect(throws: AttachmentError.self) {
      try model.attach(LoRAConfiguration(rank: 4, alpha: 1), using: &generator)
    }
    #expect(error?.description.contains("output of shape [3, 4]") == true)
    #expect(model.attachedAdapters.isEmpty)
    #expect(model.trainableCount > 0, "nothing is frozen either")
  }
}
