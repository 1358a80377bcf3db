import LoRATensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The learning rate by step: a linear warm-up from zero, then constant, or falling to zero at the last step linearly
/// or along half a cosine (Loshchilov and Hutter, 2017).
public struct Schedule: Sendable, Equatable, Codable {
  /// How the rate goes on after the warm-up.
  public enum Shape: String, Sendable, Codable, CaseIterable {
    /// It stays.
    case constant
    /// It falls to 0 along a line.
    case linear
    /// It falls to 0 along half a cosine.
    case cosine
  }

  /// The highest rate, which the warm-up leads to.
  public var learningRate: Float
  /// How the rate goes on from there.
  public var shape: Shape
  /// How many steps the rate rises for.
  public var warmUpSteps: Int
  /// The number of steps, the warm-up's included, after which a falling rate is 0.
  public var totalSteps: Int

  /// A schedule over `totalSteps` steps, of which the first `warmUpSteps` rise to `learningRate`.
  public init(_ shape: Shape = .constant, learningRate: Float, warmUpSteps: Int = 0, totalSteps: Int) {
    expect(warmUpSteps >= 0 && totalSteps >= 0, "Schedule: \(warmUpSteps) of \(totalSteps) steps")
    self.learningRate = learningRate
    self.shape = shape
    self.warmUpSteps = warmUpSteps
    self.totalSteps = totalSteps
  }

  /// The rate of a step, counted from 0.
  public func rate(at step: Int) -> Float {
    if step < warmUpSteps { return learningRate * Float(step + 1) / Float(warmUpSteps + 1) }
    let progress = Double(step - warmUpSteps) / Double(max(1, totalSteps - warmUpSteps))
    switch shape {
    case .constant: return learningRate
    case .linear: return learningRate * Float(max(0, 1 - progress))
    case .cosine: return learningRate * Float(0.5 * (1 + cos(.pi * min(1, progress))))
    }
  }
}
