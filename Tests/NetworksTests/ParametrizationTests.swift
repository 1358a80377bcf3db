import LoRANetworks
import LoRATensors
import Testing

// The extension point, proved from outside: three parametrizations that the library does not know, on an unchanged
// `Linear`.

/// The value is symmetric, whatever is stored.
final class Symmetric: InvertibleParametrization, CopyableModule {
  var isEnabled = true
  func value(of x: Tensor) -> Tensor {
    // The upper triangle, mirrored: U + Uᵀ − diag.
    let n = x.shape[0]
    let upper = Tensor(shape: [n, n], scalars: (0..<n * n).map { $0 / n <= $0 % n ? 1 : 0 })
    let strict = Tensor(shape: [n, n], scalars: (0..<n * n).map { $0 / n < $0 % n ? 1 : 0 })
    return x * upper + (x * strict).transposed()
  }
  func rightInverse(of value: Tensor) throws -> Tensor {
    guard (value - value.transposed()).norm < 1e-6 else { throw NotSymmetric() }
    return value
  }
  struct NotSymmetric: Error {}
  func copy() -> Symmetric {
    let twin = Symmetric()
    twin.isEnabled = isEnabled
    return twin
  }
}

/// The value is the outer product of two vectors; what is stored counts for nothing.
final class RankOne: LinearParametrization, CopyableModule {
  let u: Parameter
  let v: Parameter
  init(u: Parameter, v: Parameter) {
    self.u = u
    self.v = v
  }
  func value(of original: Tensor) -> Tensor { u.value.reshaped([u.shape[0], 1]) * v.value }
  func adjust(output: Tensor, input: Tensor, weight: () -> Tensor) -> Tensor {
    input.matmul(v.value.reshaped([v.shape[0], 1])) * u.value
  }
  func copy() -> RankOne { RankOne(u: u.copy(), v: v.copy()) }
}

/// W = g · V/‖V‖ by row (Salimans and Kingma, 2016), V being what is stored.
final class WeightNorm: InvertibleParametrization {
  let g: Parameter  // [outputs, 1]
  var isEnabled = true
  init(for weight: Parameter) { g = Parameter(Self.norms(weight.original)) }
  static func norms(_ x: Tensor) -> Tensor { x.squared().sum(axis: 1, keepingAxis: true).squareRoot() }
  func value(of v: Tensor) -> Tensor { v * (g.value / Self.norms(v)) }
  func rightInverse(of value: Tensor) throws -> Tensor {
    try g.assign(Self.norms(value))
    return value
  }
}

/// Throws the last column away.
final class Narrowing: Parametrization {
  func value(of x: Tensor) -> Tensor { x.sliced(axis: 1, 0..<x.shape[1] - 1) }
}

/// 2x, without a way back.
final class Doubling: Parametrization {
  var isEnabled = true
  func value(of x: Tensor) -> Tensor { x * 2 }
}

private func linear(_ inputs: Int, _ outputs: Int, seed: UInt64 = 1) -> Linear {
  var generator = SeededGenerator(seed: seed)
  return Linear(inputs: inputs, outputs: outputs, using: &generator)
}

private func random(_ shape: [Int], seed: UInt64 = 2) -> Tensor {
  var generator = SeededGenerator(seed: seed)
  return .normal(shape, using: &generator)
}

@Suite("Parametrizations")
struct ParametrizationTests {
  @Test("an unchanged layer sees a symmetric weight, and what is stored stays")
  func symmetric() throws {
    let layer = linear(4, 4)
    let before = layer.weight.original
    try layer.weight.parametrize(by: Symmetric())
    #expect(layer.weight.isParametrized)
    #expect((layer.weight.value - layer.weight.value.transposed()).norm == 0)
    #expect(layer.weight.original.isIdentical(to: before))
    let x = random([3, 4])
    #expect((layer(x) - (x.matmul(layer.weight.value, transposeOther: true) + layer.bias!.value)).norm < 1e-5)
  }

  @Test("assigning goes backwards through the right inverse, and refuses what has none")
  func assignment() throws {
    let layer = linear(3, 3)
    try layer.weight.parametrize(by: Symmetric())
    let wanted = Tensor(shape: [3, 3], scalars: [1, 2, 3, 2, 5, 6, 3, 6, 9])
    try layer.weight.assign(wanted)
    #expect(layer.weight.value.isIdentical(to: wanted))
    #expect(throws: Symmetric.NotSymmetric.self) { try layer.weight.assign(random([3, 3])) }
    #expect(throws: ParametrizationError.self) { try layer.weight.assign(.zeros([3, 2])) }
    try layer.weight.parametrize(by: Doubling())
    let error = #expect(throws: ParametrizationError.self) { try layer.weight.assign(wanted) }
    #expect(error?.description.contains("Doubling has no right inverse") == true)
    #expect(layer.weight.original.isIdentical(to: wanted), "a refused assignment changes nothing")
  }

  @Test("weight norm keeps the value at first and trains direction and length apart")
  func weightNorm() throws {
    let layer = linear(5, 3)
    let before = layer.weight.value
    let norm = WeightNorm(for: layer.weight)
    try layer.weight.parametrize(by: norm)
    #expect((layer.weight.value - before).norm < 1e-6)
    try layer.weight.assign(before * 3)
    #expect((layer.weight.value - before * 3).norm < 1e-5)
    let (_, gradients) = layer.valueAndGradients { layer(random([2, 5])).squared().sum() }
    #expect(gradients[norm.g] != nil)
    // A change of V along itself does not change W, so the gradient stands at right angles to V, row by row.
    let dot = (gradients[layer.weight]! * layer.weight.original).sum(axis: 1)
    #expect(dot.scalars.allSatisfy { abs($0) < 1e-3 })
  }

  @Test("a chain applies in order, and any one link comes off")
  func chain() throws {
    /// x + 1, which does not commute with doubling.
    final class Shifting: Parametrization {
      func value(of x: Tensor) -> Tensor { x + 1 }
    }
    let layer = linear(3, 3)
    let (shifting, doubling) = (Shifting(), Doubling())
    try layer.weight.parametrize(by: shifting)
    try layer.weight.parametrize(by: doubling)
    let w = layer.weight.original
    #expect(layer.weight.value.isIdentical(to: (w + 1) * 2))
    try layer.weight.remove(shifting)
    #expect(layer.weight.value.isIdentical(to: w * 2))
    #expect(throws: ParametrizationError.self) { try layer.weight.remove(shifting) }
    layer.weight.removeParametrizations()
    #expect(!layer.weight.isParametrized)
    #expect(layer.weight.value.isIdentical(to: w))
  }

  @Test("folding keeps what the layer sees and takes the chain off")
  func fold() throws {
    let layer = linear(3, 3)
    try layer.weight.parametrize(by: Symmetric())
    let seen = layer.weight.value
    layer.weight.fold()
    #expect(!layer.weight.isParametrized)
    #expect(layer.weight.original.isIdentical(to: seen))
  }

  @Test("a link that is switched off is as if it were not there, bit for bit")
  func enabling() throws {
    let layer = linear(3, 3)
    let x = random([2, 3])
    let before = layer(x)
    let doubling = Doubling()
    try layer.weight.parametrize(by: doubling)
    #expect(!layer(x).isIdentical(to: before))
    doubling.isEnabled = false
    #expect(layer(x).isIdentical(to: before))
  }

  @Test("a link that changes the shape is refused, with both shapes")
  func shapeCheck() throws {
    let layer = linear(4, 3)
    let error = #expect(throws: ParametrizationError.self) { try layer.weight.parametrize(by: Narrowing()) }
    #expect(error?.description.contains("[3, 4] into [3, 3]") == true)
    #expect(!layer.weight.isParametrized)
  }

  @Test("the output path and the formed value give the same output and gradients")
  func factoredPath() throws {
    let layer = linear(4, 3)
    let rankOne = RankOne(u: Parameter(random([3], seed: 5)), v: Parameter(random([4], seed: 6)))
    try layer.weight.parametrize(by: rankOne)
    let x = random([2, 5, 4])
    let (factored, factoredGradients) = layer.valueAndGradients { layer(x).squared().sum() }
    let (formed, formedGradients) = layer.valueAndGradients {
      x.linear(layer.weight.value, bias: layer.bias!.value).squared().sum()
    }
    #expect(abs(factored.item - formed.item) < 1e-3 * abs(formed.item))
    for parameter in [rankOne.u, rankOne.v, layer.bias!] {
      #expect((factoredGradients[parameter]! - formedGradients[parameter]!).norm < 1e-3)
    }
    #expect(factoredGradients[layer.weight] == nil, "what is stored does not matter to RankOne")
  }

  @Test("a value is computed once within a caching scope, and anew outside")
  func caching() throws {
    final class Counting: Parametrization {
      var count = 0
      func value(of x: Tensor) -> Tensor {
        count += 1
        return x + 1
      }
    }
    let layer = linear(3, 3)
    let counting = Counting()
    try layer.weight.parametrize(by: counting)
    counting.count = 0
    let x = random([2, 3])
    let outside = layer(x)
    _ = layer(x)
    #expect(counting.count == 2)
    Parameter.caching {
      #expect(layer(x).isIdentical(to: outside))
      _ = layer(x)
      _ = layer.weight.value
    }
    #expect(counting.count == 3)
    _ = layer(x)
    #expect(counting.count == 4)
  }

  @Test("a parametrized model is copied with its links, and the copy is its own")
  func copying() throws {
    let layer = linear(3, 3)
    try layer.weight.parametrize(by: Symmetric())
    let twin = layer.copy()
    let x = random([2, 3])
    #expect(twin(x).isIdentical(to: layer(x)))
    try twin.weight.assign(.identity(3))
    (twin.weight.parametrizations[0] as! Symmetric).isEnabled = false
    #expect(!twin(x).isIdentical(to: layer(x)))
    #expect((layer.weight.parametrizations[0] as! Symmetric).isEnabled)
  }
}

@Suite("Modules")
struct ModuleTests {
  final class Block: Module {
    let layers: [Linear]
    let norm: LayerNorm?
    let none: Linear? = nil
    let size = 4
    init() {
      layers = [linear(3, 4), linear(4, 3)]
      norm = LayerNorm(size: 3)
    }
  }

  @Test("parameters are found under the names of the properties that hold them")
  func names() throws {
    let block = Block()
    let expected = [
      "layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias", "norm.weight", "norm.bias",
    ]
    #expect(block.parameters.map(\.name) == expected)
    try block.layers[1].weight.parametrize(by: RankOne(u: Parameter(.ones([3])), v: Parameter(.ones([4]))))
    #expect(block.parameters.map(\.name) == expected)
    #expect(
      block.allParameters.map(\.name).filter { $0.contains("parametrizations") } == [
        "layers.1.weight.parametrizations.0.u", "layers.1.weight.parametrizations.0.v",
      ])
    #expect(block.parameter(named: "layers.1.weight.parametrizations.0.v")?.shape == [4])
    #expect(block.modules.map(\.path) == ["", "layers.0", "layers.1", "norm"])
  }

  @Test("a frozen weight gets no gradient, and its product is never formed")
  func frozen() {
    let layer = linear(3, 2)
    layer.weight.isTrainable = false
    #expect(layer.trainableParameters.map(\.name) == ["bias"])
    let (_, gradients) = layer.valueAndGradients { layer(random([2, 3])).sum() }
    #expect(gradients[layer.weight] == nil)
    #expect(gradients.count == 1)
  }

  @Test("nothing is tracked outside of a gradient")
  func scoped() {
    let layer = linear(3, 2)
    #expect(!layer(random([2, 3])).isTracked)
    _ = layer.valueAndGradients { () -> Tensor in
      let y = layer(random([2, 3]))
      #expect(y.isTracked)
      return y.sum()
    }
    #expect(!layer(random([2, 3])).isTracked)
  }

  @Test("both layouts of a linear map agree")
  func layouts() {
    let layer = linear(3, 2)
    let conv = Conv1D(
      weight: Parameter(layer.weight.original.transposed(), layout: .inputsByOutputs), bias: layer.bias)
    let x = random([5, 3])
    #expect((layer(x) - conv(x)).norm < 1e-5)
  }
}
