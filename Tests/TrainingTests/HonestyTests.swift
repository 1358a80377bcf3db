// What would have trained nothing, or the wrong thing, in silence: it works, or says so.

import Foundation
import LoRANetworks
import LoRATensors
import LoRATraining
import TestSupport
import Testing

private func layer() -> Linear { Linear(weight: Parameter(.ones([2, 2])), bias: nil) }

private final class Classifier: Module {
  let hidden, output: Linear

  init() {
    var generator = SeededGenerator(seed: 1)
    hidden = Linear(inputs: 8, outputs: 16, using: &generator)
    output = Linear(inputs: 16, outputs: 4, using: &generator)
  }

  func callAsFunction(_ x: Tensor) -> Tensor { output(hidden(x).relu()) }
}

private final class Containers: Module {
  struct Block { let inner: Linear }
  let list = [layer()]
  let table = ["b": layer(), "a": layer()]
  let pair = (layer(), layer())
  let named = (left: layer(), right: layer())
  let nested = [[layer()], []]
  let block = Block(inner: layer())
  let optional: [Linear?] = [nil, layer()]
  let numbers: [Float] = [1, 2]
}

/// What else may hold a layer.
private final class Rarer: Module {
  indirect enum Stack {
    case end
    case top(Linear, Stack)
    static func of(_ count: Int) -> Stack { count == 0 ? .end : .top(layer(), of(count - 1)) }
  }
  class Part { let inner = layer() }
  final class Larger: Part { let outer = layer() }
  let settings: [String: Any] = ["rate": 0.1, "layer": layer()]
  let list: [Any] = [1, layer(), "a", layer()]
  let stack = Stack.of(12)
  let part = Larger()
  lazy var late = layer()
}

private final class Late: Module {
  lazy var late = layer()
}

private final class Hashed: Module, Hashable {
  let weight = Parameter(.ones([2, 2]))
  static func == (a: Hashed, b: Hashed) -> Bool { a === b }
  func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}

private final class Unordered: Module {
  let layers: Set = [Hashed()]
}

private final class Child: Module {
  weak var parent: Parent?
  let inner = layer()
}

private final class Parent: Module {
  let child = Child()
  init() { child.parent = self }
}

private final class Scaled: Parametrization {
  let a = Parameter(.ones([16, 1]))
  func value(of x: Tensor) -> Tensor { x * a.value }
}

@Suite("Nothing trains in silence what was not meant") struct HonestyTests {
  @Test("a gradient within a gradient leaves the outer one what it is: of 2 Σp it is 2")
  func nested() {
    let p = Parameter(.ones([2]))
    let list = [NamedParameter(name: "p", parameter: p)]
    let (_, gradients) = list.valueAndGradients {
      let (_, inner) = list.valueAndGradients { p.value.squared().sum() }
      #expect(inner[p]?.scalars == [2, 2])
      return (p.value * 2).sum()
    }
    #expect(gradients[p]?.scalars == [2, 2])
    #expect(!p.value.isTracked)
  }

  @Test("a step whose loss logs another gradient moves the weights")
  func nestedStep() throws {
    let (model, x) = (Classifier(), randomTensor([4, 8], seed: 3))
    let before = model.output.weight.original
    let trainer = Trainer(Adam(model.trainableParameters, learningRate: 1e-2), clipping: 1)
    _ = try trainer.step {
      let (_, inner) = model.valueAndGradients { model(x).crossEntropy([0, 1, 2, 3]) }
      return model(x).crossEntropy([0, 1, 2, 3]) * Float(1 + 0 * inner.norm(over: model.parameters))
    }
    #expect(!model.output.weight.original.isIdentical(to: before))
  }

  @Test("parameters are found in dictionaries, tuples, structs, nested arrays and behind nil")
  func containers() {
    let names = Containers().parameters.map(\.name)
    #expect(
      names == [
        "list.0.weight", "table.a.weight", "table.b.weight", "pair.0.weight", "pair.1.weight", "named.left.weight",
        "named.right.weight", "nested.0.0.weight", "block.inner.weight", "optional.1.weight",
      ])
  }

  @Test("they are found in long chains, in classes that are no modules, beside other things, and in lazy properties")
  func rarerContainers() {
    let model = Rarer()
    _ = model.late
    let names = model.parameters.map(\.name)
    #expect(names.filter { $0.hasPrefix("stack.") }.count == 12)
    #expect(
      names.filter { !$0.hasPrefix("stack.") } == [
        "settings.layer.weight", "list.1.weight", "list.3.weight", "part.outer.weight", "part.inner.weight",
        "late.weight",
      ])
  }

  @Test("what can't be found, or can't be named, stops with the property's name")
  func notFound() async throws {
    let late = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = Late().parameters
    }
    #expect(String(decoding: try #require(late).standardErrorContent, as: UTF8.self).contains("the lazy property late"))
    let set = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = Unordered().parameters
    }
    #expect(
      String(decoding: try #require(set).standardErrorContent, as: UTF8.self).contains("layers: a Set has no order"))
  }

  @Test("a child that knows its parent is met once")
  func cycle() { #expect(Parent().parameters.map(\.name) == ["child.inner.weight"]) }

  @Test("values that were kept before a gradient are not taken within it")
  func caching() throws {
    var generator = SeededGenerator(seed: 1)
    let linear = Linear(inputs: 16, outputs: 16, using: &generator)
    try linear.weight.parametrize(by: Scaled())
    let input = randomTensor([4, 16], seed: 3)
    let (_, right) = linear.valueAndGradients { linear(input).squared().sum() }
    let (_, kept) = Parameter.caching { () -> (Tensor, Gradients) in
      _ = linear(input)
      return linear.valueAndGradients { linear(input).squared().sum() }
    }
    let (a, b) = (try #require(right[linear.weight]), try #require(kept[linear.weight]))
    #expect(relativeDifference(a, b) < 1e-5)
  }

  @Test("a loss without parameters, a first gradient or a rate that is no number: an error, before anything changes")
  func errors() throws {
    let model = Classifier()
    let x = randomTensor([4, 8], seed: 3)
    let before = model.output.weight.original
    let adam = Adam(model.trainableParameters, learningRate: 1e-2)
    #expect(throws: TrainingError.self) { try Trainer(adam).step { Tensor(1) } }
    // d√x/dx at 0 is infinite, and 0 · ∞ is NaN.
    let p = Parameter(.zeros([3]))
    let sgd = SGD([NamedParameter(name: "p", parameter: p)], learningRate: 0.1)
    #expect(throws: TrainingError.self) { try Trainer(sgd).step { p.value.squared().sum().squareRoot() } }
    #expect(p.original.scalars == [0, 0, 0])
    let broken = SGD(model.trainableParameters, learningRate: .nan)
    #expect(throws: TrainingError.self) { try Trainer(broken).step { model(x).crossEntropy([0, 1, 2, 3]) } }
    #expect(model.output.weight.original.isIdentical(to: before))
  }

  @Test(
    "without clipping a broken gradient ends its own step, whichever that is and whoever takes it",
    arguments: [3, 9, 16], [Float.nan, .infinity])
  func brokenGradient(step: Int, value: Float) throws {
    for kind in ["Adam", "SGD", "momentum"] {
      // Many elements, so that the pass is cut for threads; the broken one is the last.
      let p = Parameter(randomTensor([40_001], seed: 5))
      let list = [NamedParameter(name: "p", parameter: p)]
      let optimizer: any Optimizer =
        kind == "Adam"
        ? Adam(list, learningRate: 0.01) : SGD(list, learningRate: 0.01, momentum: kind == "SGD" ? 0 : 0.9)
      let trainer = Trainer(optimizer)
      var factors = [Float](repeating: 1, count: 40_001)
      for _ in 1..<step { try trainer.step { (p.value * Tensor(shape: [40_001], scalars: factors)).sum() } }
      factors[40_000] = value
      let gradient = Tensor(shape: [40_001], scalars: factors)
      let error = #expect(throws: TrainingError.self) {
        // The loss itself is a number.
        try trainer.step { .custom([p.value], value: Tensor(1)) { _ in [gradient] } }
      }
      #expect(error?.description.contains("the gradients are not finite at step \(step) ") == true, "\(kind)")
      #expect(trainer.history.steps.count == step - 1)
    }
  }

  @Test("a graph of 100,000 operations is released on a stack of 256 kB")
  func deep() {
    let done = DispatchSemaphore(value: 0)
    nonisolated(unsafe) var gradient: Float = 0
    let thread = Thread {
      let (_, found) = valueAndGradients(at: [Tensor.ones([4])]) {
        var x = $0[0]
        for _ in 0..<100_000 { x = x * 1 }
        return x.sum()
      }
      gradient = found[0][0]
      done.signal()
    }
    thread.stackSize = 256 << 10
    thread.start()
    done.wait()
    #expect(gradient == 1)
  }
}
