import Foundation
import LoRATensors
import TestSupport
import Testing

/// Outputs and gradients of the main operations as PyTorch computes them (Tests/Fixtures/tensors/make.py).
private struct Case: Decodable, Sendable {
  struct Values: Decodable, Sendable {
    let shape: [Int]
    let scalars: [Float]
    var tensor: Tensor { Tensor(shape: shape, scalars: scalars) }
  }

  let name: String
  let inputs: [Values]
  let output: Values
  let upstream: Values
  let gradients: [Values]
}

@Suite("Against PyTorch")
struct PyTorchTests {
  private static let operations: [String: @Sendable ([Tensor]) -> Tensor] = [
    "gelu": { $0[0].gelu() },
    "geluTanh": { $0[0].geluTanh() },
    "silu": { $0[0].silu() },
    "erf": { $0[0].erf() },
    "softmax": { $0[0].softmax() },
    "logSoftmax": { $0[0].logSoftmax() },
    "layerNorm": { $0[0].layerNorm(weight: $0[1], bias: $0[2], epsilon: 1e-5) },
    "rmsNorm": { $0[0].rmsNorm(weight: $0[1], epsilon: 1e-5) },
    "linear": { $0[0].linear($0[1], bias: $0[2]) },
    "matmul": { $0[0].matmul($0[1]) },
    "crossEntropy": { $0[0].crossEntropy([2, -100, 5, 0]) },
    "crossEntropyWeighted": { $0[0].crossEntropy([2, -100, 0, 2, 3], weights: [0.3, 5, 1.7, 0.9]) },
    "rows": { $0[0].rows(at: [4, 1, 4, 0]) },
    "pow": { $0[0].absoluteValue().pow(1.7) },
    "powTensor": { $0[0].absoluteValue().pow($0[1]) },
    "sin": { $0[0].sin() },
    "cos": { $0[0].cos() },
    "softplus": { $0[0].softplus() },
    "minimum": { $0[0].minimum($0[1]) },
    "clamp": { $0[0].clamped(to: -0.5...0.75) },
    "where": { .where($0[0] .> $0[1], $0[0], $0[1] * 2) },
    "gather": { $0[0].gathered(axis: 1, at: [2, 0, 2, 1, 1, 0]) },
    "gatherFirst": { $0[0].gathered(axis: 0, at: [2, 1, 0, 1]) },
    "stack": { .stacked($0, axis: 1) },
    "variance": { $0[0].variance(axis: 1) },
    "variancePopulation": { $0[0].variance(correction: 0) },
    "conv2d": { $0[0].conv2d($0[1], bias: $0[2]) },
    "conv2dStrided": { $0[0].conv2d($0[1], bias: $0[2], stride: 2, padding: 1) },
    "conv2dDilated": { $0[0].conv2d($0[1], stride: 3, padding: 2, dilation: 2) },
    "conv2dGroups": { $0[0].conv2d($0[1], bias: $0[2], padding: 1, groups: 2) },
    "maxPool2d": { $0[0].maxPool2d(2) },
    "maxPool2dOverlapping": { $0[0].maxPool2d(3, stride: 2, padding: 1) },
    "averagePool2d": { $0[0].averagePool2d(2) },
    "averagePool2dOverlapping": { $0[0].averagePool2d(3, stride: 2, padding: 1) },
    "groupNorm": { $0[0].groupNorm(groups: 3, weight: $0[1], bias: $0[2]) },
    "meanSquaredError": { $0[0].meanSquaredError($0[1]) },
    "meanAbsoluteError": { $0[0].meanAbsoluteError($0[1]) },
    "binaryCrossEntropy": { $0[0].binaryCrossEntropy($0[1].sigmoid()) },
    "klDivergence": { $0[0].logSoftmax().klDivergence(from: $0[1].softmax()) },
  ]

  @Test("outputs and gradients agree with PyTorch to 2e-6 of the largest element")
  func agree() throws {
    let data = try Data(contentsOf: fixtures.appendingPathComponent("tensors/operations.json"))
    let cases = try JSONDecoder().decode([Case].self, from: data)
    #expect(cases.count == Self.operations.count)
    for item in cases {
      let operation = try #require(Self.operations[item.name])
      let inputs = item.inputs.map(\.tensor)
      let output = operation(inputs)
      #expect(output.shape == item.output.shape)
      #expect(largestDifference(output, item.output.tensor) < 2e-6, "\(item.name)")
      let (_, gradients) = valueAndGradients(at: inputs) { (operation($0) * item.upstream.tensor).sum() }
      for (found, expected) in zip(gradients, item.gradients) {
        #expect(largestDifference(found, expected.tensor) < 2e-6, "gradient of \(item.name)")
      }
    }
  }

  private func largestDifference(_ a: Tensor, _ b: Tensor) -> Float {
    zip(a.scalars, b.scalars).reduce(0) { max($0, abs($1.0 - $1.1)) } / max(1, b.scalars.map(abs).max() ?? 1)
  }
}
