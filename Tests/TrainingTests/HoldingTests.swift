// However a module holds its parameters: they are found, trained, saved and loaded.
import Foundation
import LoRANetworks
import LoRATensors
import LoRATraining
import TestSupport
import Testing

private func layer(_ seed: UInt64) -> Linear {
  var generator = SeededGenerator(seed: seed)
  return Linear(inputs: 3, outputs: 3, bias: false, using: &generator)
}

private protocol Applicable: Module { func callAsFunction(_ x: Tensor) -> Tensor }
private final class Wrapped: Applicable {
  let inner: Linear
  init(_ seed: UInt64) { inner = layer(seed) }
  func callAsFunction(_ x: Tensor) -> Tensor { inner(x) }
}
private class Parent: Module { let inherited = layer(20) }

private final class Everything: Parent {
  struct Pair {
    let left = layer(1)
    let right: Linear? = layer(2)
    let numbers = [1.0, 2]
  }
  enum Choice {
    case none
    case one(Linear)
    case named(inner: Linear, scale: Float)
  }

  let optionals: [Linear?] = [nil, layer(3), nil, layer(4)]
  let maybe: [Linear]? = [layer(5)]
  let table: [String: [Linear]] = ["x": [layer(6)], "a": []]
  let numbered: [Int: Linear?] = [7: layer(7), 2: nil]
  let tuple: (Linear, rest: (Linear, [Linear])) = (layer(8), (layer(9), [layer(10)]))
  let deep: [[[Linear]]] = [[], [[], [layer(11)]]]
  let pairs = [Pair()]
  let choices: [Choice] = [.none, .one(layer(12)), .named(inner: layer(13), scale: 2)]
  let anything: any Applicable = Wrapped(14)
  let several: [any Applicable] = [Wrapped(15)]
  let bare = Parameter(randomTensor([3, 3], seed: 16))
  let parameters2: [String: Parameter] = ["p": Parameter(randomTensor([3, 3], seed: 17))]
  weak var owner: Everything?
  unowned(unsafe) var other: Everything?

  override init() {
    super.init()
    (owner, other) = (self, self)
  }
}

@Suite("However parameters are held")
struct HoldingTests {
  private let names = [
    "optionals.1.weight", "optionals.3.weight", "maybe.0.weight", "table.x.0.weight", "numbered.7.weight",
    "tuple.0.weight", "tuple.rest.0.weight", "tuple.rest.1.0.weight", "deep.1.1.0.weight", "pairs.0.left.weight",
    "pairs.0.right.weight", "choices.1.one.weight", "choices.2.named.inner.weight", "anything.inner.weight",
    "several.0.inner.weight", "bare", "parameters2.p", "inherited.weight",
  ]

  @Test("each is found once")
  func found() {
    let found = Everything().parameters.map(\.name)
    #expect(found.sorted() == names.sorted(), "\(Set(found).symmetricDifference(names))")
  }

  @Test("each is trained: a step on a loss of all of them moves every one")
  func trained() throws {
    let net = Everything()
    let before = net.parameters.map(\.parameter.original)
    try Trainer(Adam(net.trainableParameters, learningRate: 0.1)).step {
      net.parameters.reduce(Tensor(0)) { $0 + $1.parameter.value.squared().sum() }
    }
    for (item, value) in zip(net.parameters, before) {
      #expect((item.parameter.original - value).norm > 0.1, "\(item.name)")
    }
  }

  @Test("each is saved and loaded")
  func saved() throws {
    let folder = try TemporaryFolder()
    let (net, other) = (Everything(), Everything())
    for item in net.parameters { try item.parameter.assignOriginal(item.parameter.original * 2) }
    try net.save(to: folder.file("net"))
    try other.load(from: folder.file("net"))
    for (a, b) in zip(net.parameters, other.parameters) {
      #expect(a.parameter.original.isIdentical(to: b.parameter.original), "\(a.name)")
    }
  }

  @Test("a gradient that is no number ends a run at the next step at the latest, and no run ends with it")
  func notNumbers() throws {
    // The gradient of √x at 0 is infinite; the loss is finite.
    func run(badStep: Int, steps: Int) throws -> TrainingError? {
      let p = Parameter(Tensor([0, 0]), isTrainable: true)
      let q = Parameter(Tensor([1, 2]))
      final class Both: Module {
        let p, q: Parameter
        init(_ p: Parameter, _ q: Parameter) { (self.p, self.q) = (p, q) }
      }
      let net = Both(p, q)
      var step = 0
      var sampler = ShuffledBatches([0], batchSize: 1, seed: 1)
      return #expect(throws: TrainingError.self) {
        try Trainer(SGD(net.trainableParameters, learningRate: 0.1)).run(net, steps: steps, drawing: &sampler) { _ in
          step += 1
          let plain = q.value.squared().sum()
          return step == badStep ? plain + p.value.squared().sum().squareRoot() : plain
        }
      }
    }
    for (bad, steps) in [(1, 4), (2, 4), (3, 3), (7, 9)] {
      #expect(try run(badStep: bad, steps: steps)?.description.contains("not finite") == true, "\(bad) of \(steps)")
    }
  }
}
