import LoRATensors

/// A module that draws random numbers as it runs; a training state keeps them, so that a resumed run draws the same.
public protocol RandomizedModule: Module {
  /// Where the next random numbers come from.
  var generator: SeededGenerator { get set }
}

/// Zeroes each element with a probability and divides the others by what is left. As a layer it acts only while a gradient
/// is computed; `apply` acts in any case.
public final class Dropout: RandomizedModule, Layer, CopyableModule {
  /// How likely an element is to become zero, in [0, 1).
  public let probability: Float
  /// Drawn from with every call.
  public var generator: SeededGenerator

  /// - Parameters:
  ///   - probability: how likely an element is to become zero, in [0, 1).
  ///   - seed: of the module's own generator.
  public init(_ probability: Float, seed: UInt64) {
    expect(probability >= 0 && probability < 1, "Dropout: probability \(probability) lies outside [0, 1)")
    self.probability = probability
    self.generator = SeededGenerator(seed: seed)
  }

  /// x while no gradient is computed, else as `apply`.
  public func callAsFunction(_ x: Tensor) -> Tensor { Tensor.isComputingGradient ? apply(to: x) : x }

  /// x of any shape with elements zeroed at random and the others divided by 1 − probability, so that the mean stays.
  public func apply(to x: Tensor) -> Tensor { x.dropout(probability, using: &generator) }

  public func copy() -> Dropout {
    let twin = Dropout(probability, seed: 0)
    twin.generator = generator
    return twin
  }
}
