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
    "rows": { $0[0].rows(at: [4, 1, 4, 0]) },
  ]

  @Test("outputs and gradients agree with PyTorch to 2e-6")
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
    zip(a.scalars, b.scalars).reduce(0) { max($0, abs($1.0 - $1.1)) }
  }
}
