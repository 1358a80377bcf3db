#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// xoshiro256** (Blackman and Vigna, 2018), seeded by SplitMix64: the same seed gives the same numbers everywhere.
public struct SeededGenerator: RandomNumberGenerator, Sendable, Codable, Equatable {
  private var s0: UInt64
  private var s1: UInt64
  private var s2: UInt64
  private var s3: UInt64

  /// A generator whose 256 bits of state are drawn from the seed; every seed is as good as any other, 0 too.
  public init(seed: UInt64) {
    var x = seed
    func next() -> UInt64 {
      x &+= 0x9e37_79b9_7f4a_7c15
      var z = x
      z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
      z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
      return z ^ (z >> 31)
    }
    (s0, s1, s2, s3) = (next(), next(), next(), next())
  }

  public mutating func next() -> UInt64 {
    func rotate(_ x: UInt64, _ k: UInt64) -> UInt64 { (x << k) | (x >> (64 - k)) }
    let result = rotate(s1 &* 5, 7) &* 9
    let t = s1 << 17
    s2 ^= s0
    s3 ^= s1
    s1 ^= s2
    s0 ^= s3
    s2 ^= t
    s3 = rotate(s3, 45)
    return result
  }
}

extension RandomNumberGenerator {
  /// A number in [0, 1) with 24 random bits.
  package mutating func unitFloat() -> Float { Float(next() >> 40) * 0x1p-24 }

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
