// One pass whose rows use different adapters: every row's bits are those of that row alone.
import Foundation
import LoRAAdapters
import LoRANetworks
import LoRATensors
import TestSupport
import Testing

/// Layers in both layouts, a table, and a norm; wide enough that products of few rows and of many take other kernels.
private final class Net: Module {
  let embed: Embedding
  let first: Linear
  let second: Conv1D
  let norm: LayerNorm
  let plain: Linear
  let output: Linear

  init(seed: UInt64 = 1) {
    var generator = SeededGenerator(seed: seed)
    embed = Embedding(vocabulary: 11, size: 70, using: &generator)
    first = Linear(inputs: 70, outputs: 131, using: &generator)
    second = Conv1D(
      weight: Parameter(.normal([131, 77], deviation: 0.1, using: &generator), layout: .inputsByOutputs),
      bias: Parameter(.normal([77], using: &generator)))
    norm = LayerNorm(size: 77)
    plain = Linear(inputs: 77, outputs: 90, using: &generator)
    output = Linear(inputs: 90, outputs: 7, using: &generator)
  }

  func callAsFunction(_ x: Tensor) -> Tensor { output(plain(norm(second(first(x).relu()).tanh())).relu()) }
  func callAsFunction(_ ids: [Int]) -> Tensor { self(embed(ids)) }

  /// Adapters of other ranks, scales and kinds, with B and magnitudes that are not those of the start.
  func adapt(seed: UInt64 = 5) throws {
    var generator = SeededGenerator(seed: seed)
    let all = Targets.names(["embed", "first", "second", "output"])
    try attach(LoRAConfiguration(rank: 2, alpha: 3, name: "a"), to: all, using: &generator)
    try attach(
      LoRAConfiguration(rank: 5, alpha: 7, scaling: .rankStabilized, name: "b"), to: .names(["first", "plain"]),
      using: &generator)
    try attach(
      LoRAConfiguration(rank: 3, alpha: 2, form: .dora, name: "dora"), to: .names(["first", "second"]),
      using: &generator)
    try attach(
      LoRAConfiguration(rank: 49, alpha: 20, name: "wide"), to: .names(["first", "second"]), using: &generator)
    for (name, parameter) in [("bias", first.bias!), ("bias", plain.bias!), ("bias", output.weight)] {
      let value = parameter.original + Tensor.normal(parameter.shape, using: &generator)
      try parameter.parametrize(by: Replacement(of: parameter, value: value, name: name))
    }
    for item in allParameters where item.name.hasSuffix(".b") || item.name.hasSuffix("magnitude") {
      try item.parameter.assignOriginal(
        item.parameter.original + .normal(item.parameter.shape, deviation: 0.2, using: &generator))
    }
    // What is switched on does not matter.
    try enableAdapters(["b", "wide"])
  }
}

private let names: [String?] = ["a", "b", nil, "dora", "wide", "bias", "a", nil]

@Suite("A mixed batch")
struct MixedBatchTests {
  @Test("each row is, bit for bit, what its adapter makes of it alone", arguments: [1, 3, 8, 33, 150])
  func rows(count: Int) throws {
    let net = Net()
    try net.adapt()
    let x = randomTensor([count, 70], seed: 9)
    let rows = (0..<count).map { names[($0 * 5 + $0 / 7) % names.count] }
    let mixed = try net.withAdapters(rows: rows) { net(x) }
    for row in 0..<count {
      let alone = try net.withAdapters(rows[row].map { [$0] } ?? []) { net(x.sliced(axis: 0, row..<row + 1)) }
      #expect(mixed.sliced(axis: 0, row..<row + 1).isIdentical(to: alone), "row \(row), \(rows[row] ?? "base")")
    }
    // They do differ.
    let base = net.withAdaptersDisabled { net(x) }
    for row in 0..<count where rows[row] != nil {
      #expect((mixed - base).sliced(axis: 0, row..<row + 1).norm > 1e-3, "row \(row)")
    }
  }

  @Test("examples of several rows, short and long, are what they are alone; so are rows of a table")
  func examples() throws {
    let net = Net()
    try net.adapt()
    let lengths = [3, 40, 1, 17, 70, 2, 36, 37, 33]
    let rows = lengths.indices.map { names[$0 % names.count] }
    let ids = (0..<lengths.reduce(0, +)).map { ($0 * 7 + $0 / 3) % 11 }
    let mixed = try net.withAdapters(rows: rows, lengths: lengths) { net(ids) }
    var start = 0
    for (example, length) in lengths.enumerated() {
      let own = Array(ids[start..<start + length])
      let alone = try net.withAdapters(rows[example].map { [$0] } ?? []) { net(own) }
      #expect(mixed.sliced(axis: 0, start..<start + length).isIdentical(to: alone), "\(length) rows")
      start += length
    }
    // A leading axis of examples says the same.
    let x = randomTensor([4, 9, 70], seed: 3)
    let cubes = try net.withAdapters(rows: ["a", nil, "dora", "b"]) { net(x) }
    for (example, name) in ["a", nil, "dora", "b"].enumerated() {
      let alone = try net.withAdapters(name.map { [$0] } ?? []) { net(x.sliced(axis: 0, example..<example + 1)) }
      #expect(cubes.sliced(axis: 0, example..<example + 1).isIdentical(to: alone))
    }
  }

  @Test("another model within the pass has rows and adapters of its own")
  func anotherModel() throws {
    let (net, other) = (Net(), Net(seed: 2))
    try net.adapt()
    try other.adapt(seed: 6)
    let (x, y) = (randomTensor([3, 70], seed: 9), randomTensor([5, 70], seed: 4))
    let expected = other(y)
    let b = try other.withAdapters(["dora"]) { other(y) }
    let rows: [String?] = ["a", nil, "b"]
    let mixed = try net.withAdapters(rows: rows) { net(x) }
    try net.withAdapters(rows: rows) {
      #expect(other(y).isIdentical(to: expected))
      let (inner, outer) = try other.withAdapters(["dora"]) { (other(y), net(x)) }
      #expect(inner.isIdentical(to: b) && outer.isIdentical(to: mixed))
      let twice = try other.withAdapters(rows: ["b", nil, "a", "dora", nil]) { other(y + 0 * net(x).sum()) }
      #expect(twice.shape == [5, 7])
    }
  }

  @Test("a step on a mixed batch teaches each adapter its rows alone")
  func gradients() throws {
    let net = Net()
    try net.adapt()
    let x = randomTensor([4, 70], seed: 9)
    let weight = randomTensor([4, 7], seed: 2)
    let parameters = net.trainableParameters
    let (_, mixed) = try parameters.valueAndGradients {
      try net.withAdapters(rows: ["a", nil, "b", "a"]) { (net(x) * weight).sum() }
    }
    func alone(_ name: String, _ rows: [Int]) throws -> Gradients {
      try parameters.valueAndGradients {
        try net.withAdapters([name]) { (net(x.rows(at: rows)) * weight.rows(at: rows)).sum() }
      }.gradients
    }
    let (a, b) = (try alone("a", [0, 3]), try alone("b", [2]))
    let own = net.attachedAdapters.reduce(into: [ObjectIdentifier: String]()) { found, item in
      guard let lora = item.adapter as? LoRA else { return }
      for part in [lora.a, lora.b] { found[ObjectIdentifier(part)] = lora.name }
    }
    var compared = 0
    for item in parameters {
      let name = own[ObjectIdentifier(item.parameter)]
      let expected = name == "a" ? a[item.parameter] : name == "b" ? b[item.parameter] : nil
      #expect((mixed[item.parameter] == nil) == (expected == nil), "\(item.name)")
      guard let expected, let found = mixed[item.parameter] else { continue }
      #expect(relativeDifference(found, expected) < 1e-4, "\(item.name)")
      compared += 1
    }
    #expect(compared == 2 * 3 + 2 * 2)
  }

  @Test("a name that no adapter has, and an adapter of what all rows share, are errors before anything runs")
  func errors() throws {
    let net = Net()
    try net.adapt()
    let unknown = #expect(throws: AttachmentError.self) {
      try net.withAdapters(rows: ["a", "c"]) { Issue.record("ran") }
    }
    #expect(unknown?.description.contains("'c'") == true)
    try net.norm.weight.parametrize(by: Replacement(of: net.norm.weight, name: "norm"))
    let shared = #expect(throws: AttachmentError.self) {
      try net.withAdapters(rows: ["a", "norm"]) { Issue.record("ran") }
    }
    #expect(shared?.description.contains("norm.weight") == true)
    // Alone it can have all rows.
    #expect(throws: Never.self) {
      try net.withAdapters(rows: ["norm", "norm"]) { net(randomTensor([2, 70], seed: 1)) }
    }
  }
}
