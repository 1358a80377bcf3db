import LoRATensors
import TestSupport
import Testing

/// One use of an operation at random inputs: what the sweep differentiates.
struct Example: Sendable {
  var shapes: [[Int]]
  /// Inputs are drawn uniformly from here: away from zero where a function has an edge or a pole.
  var range: ClosedRange<Float> = -1.5...1.5
  var function: @Sendable ([Tensor]) -> Tensor

  init(
    _ shapes: [[Int]], in range: ClosedRange<Float> = -1.5...1.5, _ function: @escaping @Sendable ([Tensor]) -> Tensor
  ) {
    self.shapes = shapes
    self.range = range
    self.function = function
  }
}

extension Operation {
  /// Examples of every operation. A new operation does not compile here until it has one.
  var examples: [Example] {
    switch self {
    case .negate: [Example([[3, 4]]) { -$0[0] }]
    case .exp: [Example([[3, 4]]) { $0[0].exp() }]
    case .log: [Example([[3, 4]], in: 0.5...2) { $0[0].log() }]
    case .tanh: [Example([[3, 4]]) { $0[0].tanh() }]
    case .erf: [Example([[3, 4]]) { $0[0].erf() }]
    case .sigmoid: [Example([[3, 4]]) { $0[0].sigmoid() }]
    case .relu:
      [Example([[3, 4]], in: 0.1...1) { $0[0].relu() }, Example([[3, 4]], in: -1 ... -0.1) { $0[0].relu() }]
    case .gelu: [Example([[3, 4]]) { $0[0].gelu() }]
    case .geluTanh: [Example([[3, 4]]) { $0[0].geluTanh() }]
    case .silu: [Example([[3, 4]]) { $0[0].silu() }]
    case .activated:
      Nonlinearity.allCases.filter { $0 != .relu }.flatMap { f in
        [
          Example([[3, 4]]) { $0[0].activated(by: f) },
          Example([[3, 4], [3, 4]]) { $0[0].activated(by: f, gate: $0[1]) },
        ]
      }
    case .squareRoot: [Example([[3, 4]], in: 0.5...2) { $0[0].squareRoot() }]
    case .reciprocalSquareRoot: [Example([[3, 4]], in: 0.5...2) { $0[0].reciprocalSquareRoot() }]
    case .square: [Example([[3, 4]]) { $0[0].squared() }]
    case .absoluteValue:
      [
        Example([[3, 4]], in: 0.1...1) { $0[0].absoluteValue() },
        Example([[3, 4]], in: -1 ... -0.1) { $0[0].absoluteValue() },
      ]
    case .reciprocal: [Example([[3, 4]], in: 0.5...2) { $0[0].reciprocal() }]
    case .sine: [Example([[3, 4]]) { $0[0].sin() }]
    case .cosine: [Example([[3, 4]]) { $0[0].cos() }]
    case .softplus: [Example([[3, 4]]) { $0[0].softplus() }]
    case .affine: [Example([[3, 4]]) { $0[0].affine(scale: -2.5, offset: 0.7) }]
    case .add: broadcasts { $0[0] + $0[1] }
    case .addScaled: [Example([[3, 4], [3, 4]]) { $0[0].adding($0[1], scaledBy: -1.7) }]
    case .lowRank:
      [
        Example([[3, 5], [3, 4], [2, 4], [5, 2]]) {
          $0[0].addingLowRank($0[2], $0[3], of: $0[1], scaledBy: -1.7)
        }
      ]
    case .subtract: broadcasts { $0[0] - $0[1] }
    case .multiply: broadcasts { $0[0] * $0[1] }
    case .divide: broadcasts(in: 0.5...2) { $0[0] / $0[1] }
    case .power: broadcasts(in: 0.5...2) { $0[0].pow($0[1]) } + [Example([[3, 4]], in: 0.5...2) { $0[0].pow(-1.3) }]
    case .maximum: broadcasts { $0[0].maximum($0[1]) }
    case .minimum: broadcasts { $0[0].minimum($0[1]) }
    case .matmul:
      [
        Example([[3, 4], [4, 5]]) { $0[0].matmul($0[1]) },
        Example([[3, 4], [5, 4]]) { $0[0].matmul($0[1], transposeOther: true) },
        Example([[4, 3], [4, 5]]) { $0[0].matmul($0[1], transposeSelf: true) },
        Example([[4, 3], [5, 4]]) { $0[0].matmul($0[1], transposeSelf: true, transposeOther: true) },
        Example([[2, 3, 4], [2, 4, 5]]) { $0[0].matmul($0[1]) },
        Example([[2, 4, 3], [2, 5, 4]]) { $0[0].matmul($0[1], transposeSelf: true, transposeOther: true) },
        Example([[2, 3, 4], [4, 5]]) { $0[0].matmul($0[1]) },
        Example([[2, 4, 3], [4, 5]]) { $0[0].matmul($0[1], transposeSelf: true) },
        Example([[3, 4], [2, 4, 5]]) { $0[0].matmul($0[1]) },
      ]
    case .linear:
      [
        Example([[3, 4], [5, 4], [5]]) { $0[0].linear($0[1], bias: $0[2]) },
        Example([[2, 3, 4], [5, 4]]) { $0[0].linear($0[1]) },
        Example([[4], [5, 4], [5]]) { $0[0].linear($0[1], bias: $0[2]) },
      ]
    case .sum:
      [
        Example([[3, 4]]) { $0[0].sum() },
        Example([[2, 3, 4]]) { $0[0].sum(axis: 1) },
        Example([[2, 3, 4]]) { $0[0].mean(axis: -1, keepingAxis: true) },
      ]
    case .max:
      [Example([[2, 3, 4]]) { $0[0].max(axis: 1) }, Example([[3, 4]]) { $0[0].max(axis: -1, keepingAxis: true) }]
    case .reshape: [Example([[3, 4]]) { $0[0].reshaped([2, 6]) }]
    case .permute: [Example([[2, 3, 4]]) { $0[0].permuted([2, 0, 1]) }, Example([[3, 4]]) { $0[0].transposed() }]
    case .slice: [Example([[3, 5, 2]]) { $0[0].sliced(axis: 1, 1..<4) }]
    case .concatenate: [Example([[2, 1, 3], [2, 4, 3], [2, 2, 3]]) { Tensor.concatenated($0, axis: 1) }]
    case .rows: [Example([[4, 3]]) { $0[0].rows(at: [2, 0, 2, 3, 2]) }]
    case .clamp:
      // Inputs within, above and below.
      [
        Example([[3, 4]], in: 0.1...1) { $0[0].clamped(to: 0...2) },
        Example([[3, 4]], in: 0.1...1) { ($0[0] * 3 + 2.2).clamped(to: ...2) + $0[0] },
        Example([[3, 4]], in: 0.1...1) { ($0[0] - 3).clamped(to: (-1)...) * $0[0] },
      ]
    case .choose:
      [
        Example([[3, 4], [3, 4]]) { .where(Tensor(shape: [4], scalars: [1, 0, 0, 2]), $0[0], $0[1]) },
        Example([[3, 1], [4]]) { .where(Tensor(shape: [2, 1, 1], scalars: [0, 1]), $0[0], $0[1]) },
      ]
    case .gather:
      [
        Example([[2, 3, 2]]) { $0[0].gathered(axis: 1, at: [2, 0, 2, 1, 0, 0, 1, 1]) },
        Example([[3, 4]]) { $0[0].gathered(axis: -1, at: [3, 0, 3]) },
      ]
    case .convolution:
      [
        Example([[2, 3, 5, 4], [5, 3, 3, 2], [5]]) { $0[0].conv2d($0[1], bias: $0[2]) },
        Example([[1, 2, 6, 5], [3, 2, 3, 3]]) { $0[0].conv2d($0[1], stride: 2, padding: 1) },
        Example([[1, 4, 7, 6], [6, 2, 2, 2], [6]]) {
          $0[0].conv2d($0[1], bias: $0[2], stride: 3, padding: 2, dilation: 2, groups: 2)
        },
        Example([[2, 3, 4, 4], [3, 1, 1, 1]]) { $0[0].conv2d($0[1], stride: 2, groups: 3) },
      ]
    case .maxPool:
      // All elements differ by more than the step of the finite differences.
      [[2, 2, 5, 4], [7, 6]].map { shape in
        Example([shape], in: -0.001...0.001) {
          let order = Tensor(shape: shape, scalars: (0..<shape.reduce(1, *)).map { Float($0 * 37 % 101) / 20 })
          return ($0[0] + order).maxPool2d(3, stride: 2, padding: 1)
        }
      }
    case .averagePool:
      [
        Example([[2, 2, 5, 4]]) { $0[0].averagePool2d(2) },
        Example([[7, 6]]) { $0[0].averagePool2d(3, stride: 2, padding: 1) },
      ]
    case .custom:
      [
        // x³ y in one step; the derivative of one input alone.
        Example([[3, 4], [3, 4]]) { inputs in
          let (x, y) = (inputs[0].detached, inputs[1].detached)
          return .custom(inputs, value: x * x * x * y) { dy in [dy * 3 * x * x * y, dy * x * x * x] }
        },
        Example([[3, 4]]) { inputs in
          let x = inputs[0].detached
          return .custom([inputs[0], Tensor(3)], value: x.exp()) { dy in [dy * x.exp(), nil] }
        },
      ]
    case .softmax: [Example([[3, 5]]) { $0[0].softmax() }]
    case .logSoftmax: [Example([[3, 5]]) { $0[0].logSoftmax() }]
    case .layerNorm: [Example([[3, 6], [6], [6]]) { $0[0].layerNorm(weight: $0[1], bias: $0[2]) }]
    case .rmsNorm: [Example([[3, 6], [6]]) { $0[0].rmsNorm(weight: $0[1]) }]
    case .dropout:
      [
        Example([[6, 5]]) {
          var generator = SeededGenerator(seed: 3)
          return $0[0].dropout(0.4, using: &generator)
        }
      ]
    case .crossEntropy:
      [
        Example([[4, 5]]) { $0[0].crossEntropy([3, 0, 4, 1]) },
        Example([[4, 5]]) { $0[0].crossEntropy([3, -100, 4, -100]) },
        Example([[4, 5]]) { $0[0].crossEntropy([3, 0, -100, 1], weights: [0.5, 2, 1, 0.3, 3]) },
      ]
    case .linearCrossEntropy:
      [
        Example([[4, 3], [5, 3]]) { $0[0].linearCrossEntropy($0[1], [3, 0, 4, 1]) },
        Example([[4, 3], [5, 3]]) { $0[0].linearCrossEntropy($0[1], [3, -100, 4, -100]) },
        Example([[4, 3], [5, 3]]) { $0[0].linearCrossEntropy($0[1], [3, 0, -100, 1], cap: 0.9) },
      ]
    case .attention:
      [false, true].flatMap { isCausal in
        [
          // Two sequences, two query heads to a key head; then more keys than queries.
          Example([[5, 4, 3], [5, 2, 3], [5, 2, 3]]) {
            .attention(
              query: $0[0], key: $0[1], value: $0[2], queries: Packing(lengths: [2, 3]), isCausal: isCausal)
          },
          Example([[2, 1, 4], [5, 1, 4], [5, 1, 4]]) {
            .attention(
              query: $0[0], key: $0[1], value: $0[2], queries: Packing(lengths: [2]), keys: Packing(lengths: [5]),
              isCausal: isCausal)
          },
          // A window, a cap, a bias by distance.
          Example([[5, 2, 3], [5, 2, 3], [5, 2, 3]]) {
            var rule = AttentionRule(isCausal: isCausal)
            (rule.window, rule.scale) = (2, 0.7)
            return .attention(query: $0[0], key: $0[1], value: $0[2], queries: Packing(lengths: [1, 4]), rule: rule)
          },
          Example([[4, 2, 3], [4, 1, 3], [4, 1, 3], [2, 7]]) {
            var rule = AttentionRule(isCausal: isCausal)
            rule.cap = 0.8
            return .attention(
              query: $0[0], key: $0[1], value: $0[2], queries: Packing(lengths: [3, 1]), rule: rule, bias: $0[3])
          },
        ]
      }
    case .recompute:
      [
        Example([[3, 4], [2, 4]]) { inputs in inputs[0].recomputing { $0.linear(inputs[1]).gelu() * 0.5 } },
        // The outcome depends on the input inside and outside.
        Example([[3, 4]]) { inputs in inputs[0].recomputing { $0.exp() * inputs[0] } + inputs[0] },
      ]
    case .rotary:
      [
        Example([[3, 2, 4]]) {
          $0[0].rotated(by: RotaryTable(frequencies: [1, 0.3], positions: 0..<8), at: [5, 0, 2])
        },
        // The last three elements stay.
        Example([[3, 2, 7]]) {
          $0[0].rotated(by: RotaryTable(frequencies: [1, 0.3], positions: 0..<8), at: [5, 0, 2])
        },
      ]
    }
  }

  private func broadcasts(
    in range: ClosedRange<Float> = -1.5...1.5, _ function: @escaping @Sendable ([Tensor]) -> Tensor
  ) -> [Example] {
    [[[3, 4], [3, 4]], [[3, 4], [4]], [[3, 1], [2, 1, 4]], [[], [3, 2]]].map { Example($0, in: range, function) }
  }
}

@Suite("Derivatives")
struct DerivativeTests {
  @Test("every operation's derivative agrees with finite differences", arguments: Operation.allCases)
  func finiteDifferences(_ operation: Operation) {
    for (number, example) in operation.examples.enumerated() {
      var generator = SeededGenerator(seed: UInt64(number) + 17)
      let inputs = example.shapes.map {
        Tensor.uniform($0, from: example.range.lowerBound, to: example.range.upperBound, using: &generator)
      }
      #expect(!example.function(inputs).isTracked, "nothing is recorded where no gradient is asked for")
      let check = GradientCheck(at: inputs, of: example.function)
      for (index, gradient) in check.gradients.enumerated() {
        #expect(gradient.shape == inputs[index].shape)
        #expect(!gradient.isTracked, "a pullback records nothing")
        #expect(check.deviations[index] < 2e-3, "\(operation) example \(number), input \(index)")
      }
    }
  }

  @Test("only the inputs that need a gradient are linked", arguments: Operation.allCases)
  func asksOnlyForWhatIsNeeded(_ operation: Operation) {
    for example in operation.examples where example.shapes.count > 1 {
      var generator = SeededGenerator(seed: 5)
      for tracked in example.shapes.indices {
        var inputs = example.shapes.map { Tensor.uniform($0, from: 0.5, to: 1, using: &generator) }
        inputs[tracked] = inputs[tracked].asLeaf
        let gradient = example.function(inputs).sum().gradients(at: inputs)
        for index in inputs.indices { #expect((gradient[index] != nil) == (index == tracked)) }
      }
    }
  }

  @Test("a value used twice gets the sum of both gradients")
  func reuse() {
    // f = x·x + 3x, f′ = 2x + 3
    let (value, gradients) = valueAndGradients(at: [Tensor(2)]) { $0[0] * $0[0] + $0[0] * 3 }
    #expect(value.item == 10)
    #expect(gradients[0].item == 7)
  }

  @Test("a graph is let go with its value")
  func graphIsFreed() {
    weak var node: Node?
    do {
      let leaf = Tensor([1, 2, 3]).asLeaf
      let value = (leaf.exp() * leaf).softmax().sum()
      node = value.node
      #expect(node != nil)
    }
    #expect(node == nil)
  }
}
