// Uniform and normal random numbers.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

extension RandomNumberGenerator {
  /// Two independent standard normal numbers (Box and Muller, 1958).
  package mutating func normalPair() -> (Float, Float) {
    let radius = (-2 * log(1 - Double(next() >> 11) * 0x1p-53)).squareRoot()
    let angle = 2 * Double.pi * Double(next() >> 11) * 0x1p-53
    return (Float(radius * cos(angle)), Float(radius * sin(angle)))
  }
}

extension Tensor {
  /// Independent normal numbers.
  public static func normal(
    _ shape: [Int], mean: Float = 0, deviation: Float = 1, using generator: inout some RandomNumberGenerator
  ) -> Tensor {
    Tensor(shape: shape) { buffer in
      var i = 0
      while i < buffer.count {
        let (first, second) = generator.normalPair()
        buffer[i] = mean + deviation * first
        if i + 1 < buffer.count { buffer[i + 1] = mean + deviation * second }
        i += 2
      }
    }
  }

  /// Independent uniform numbers in [low, high).
  public static func uniform(
    _ shape: [Int], from low: Float = 0, to high: Float = 1, using generator: inout some RandomNumberGenerator
  ) -> Tensor {
    Tensor(shape: shape) { buffer in
      for i in buffer.indices { buffer[i] = low + (high - low) * generator.unitFloat() }
    }
  }

  /// He et al. (2015) as PyTorch's `nn.Linear` starts its weights: uniform in ±1/√fanIn, for a weight [outputs, fanIn].
  public static func kaimingUniform(_ shape: [Int], using generator: inout some RandomNumberGenerator) -> Tensor {
    let bound = 1 / Float(Swift.max(1, shape.dropFirst().reduce(1, *))).squareRoot()
    return uniform(shape, from: -bound, to: bound, using: &generator)
  }
}
