/// How far a function's gradients are from finite differences: the test for derivatives of one's own.
///
/// ```swift
/// let check = GradientCheck(at: [x, w]) { $0[0].matmul($0[1]).tanh() }
/// check.largestDeviation < 2e-3
/// ```
/// A function that is no scalar is multiplied by random coefficients and summed. Central differences with a step of
/// 0.01 have an error of about 1e-4 in float32 where the function's values and its derivatives are of size 1, so 2e-3 is
/// a safe bound there; choose inputs away from edges and poles.
public struct GradientCheck: Sendable {
  /// By input: the largest difference between an element of the gradient and its finite difference, divided by the
  /// largest element of the gradient where that is above 1. Infinite where either is no number.
  public let deviations: [Float]
  /// By input: what `valueAndGradients` gives.
  public let gradients: [Tensor]
  /// By input: the finite differences.
  public let differences: [Tensor]

  /// The largest of `deviations`.
  public var largestDeviation: Float { deviations.max() ?? 0 }

  /// - Parameters:
  ///   - inputs: where the gradient is checked; every element of each is moved.
  ///   - step: by how much, to both sides.
  ///   - seed: of the coefficients.
  ///   - function: gives the same for the same inputs.
  /// - Complexity: two calls of `function` for every element of the inputs.
  public init(
    at inputs: [Tensor], step: Float = 0.01, seed: UInt64 = 0, of function: ([Tensor]) throws -> Tensor
  ) rethrows {
    var generator = SeededGenerator(seed: seed)
    let coefficients = try Tensor.uniform(function(inputs).shape, from: -1, to: 1, using: &generator)
    let gradients = try valueAndGradients(at: inputs) { try (function($0) * coefficients).sum() }.gradients
    let differences = try inputs.indices.map { index in
      let scalars = inputs[index].scalars
      return try Tensor(
        shape: inputs[index].shape,
        scalars: scalars.indices.map { position in
          func value(_ shift: Float) throws -> (at: Float, sum: Double) {
            var moved = (inputs, scalars)
            moved.1[position] += shift
            moved.0[index] = Tensor(shape: inputs[index].shape, scalars: moved.1)
            // Summed in double: the differences are small beside the sum.
            let sum = try zip(function(moved.0).scalars, coefficients.scalars).reduce(0) {
              $0 + Double($1.0) * Double($1.1)
            }
            return (moved.1[position], sum)
          }
          let (above, below) = (try value(step), try value(-step))
          return Float((above.sum - below.sum) / (Double(above.at) - Double(below.at)))
        })
    }
    self.gradients = gradients
    self.differences = differences
    deviations = zip(gradients, differences).map { gradient, difference in
      let scale = gradient.scalars.reduce(1) { Swift.max($0, abs($1)) }
      let largest = zip(gradient.scalars, difference.scalars).reduce(Float(0)) { largest, pair in
        let distance = abs(pair.0 - pair.1)
        return distance.isNaN ? .infinity : Swift.max(largest, distance)
      }
      return largest / scale
    }
  }
}
