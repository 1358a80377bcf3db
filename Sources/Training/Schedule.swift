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
  public enum Shape: String, Sendable, Codable, CaseIterable {
    case constant, linear, cosine
  }

  public var learningRate: Float
  public var shape: Shape
  public var warmUpSteps: Int
  public var totalSteps: Int

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
