import LoRANetworks
import LoRATensors

/// Parameters that an optimizer trains otherwise than the rest: at another learning rate, or with another weight decay.
///
/// ```swift
/// let parameters = model.trainableParameters
/// let optimizer = Adam(
///   parameters, learningRate: 1e-3, weightDecay: .decoupled(0.01),
///   groups: [
///     // LoRA+: B learns faster than A.
///     ParameterGroup(try parameters.matching(.names(["b"])), rateMultiplier: 16),
///     // Vectors (biases, norms) are not drawn to zero.
///     ParameterGroup(where: { $0.parameter.shape.count < 2 }, weightDecay: 0),
///   ])
/// ```
/// A parameter in several groups has what each of them says; of two that say the same thing, the later counts.
public struct ParameterGroup {
  /// What the learning rate is multiplied by, at least 0; nil: as other groups have it, or 1.
  public let rateMultiplier: Float?
  /// Instead of the optimizer's own weight decay, at least 0; nil: as other groups have it, or that one.
  public let weightDecay: Float?
  private let contains: (NamedParameter) -> Bool

  /// The parameters for which `contains` is true.
  public init(
    where contains: @escaping (NamedParameter) -> Bool, rateMultiplier: Float? = nil, weightDecay: Float? = nil
  ) {
    for number in [rateMultiplier, weightDecay].compactMap(\.self) {
      expect(number.isFinite && number >= 0, "ParameterGroup: \(number) is no number of at least 0")
    }
    self.contains = contains
    self.rateMultiplier = rateMultiplier
    self.weightDecay = weightDecay
  }

  /// Given parameters, as `matching` finds them by name.
  public init(_ parameters: [NamedParameter], rateMultiplier: Float? = nil, weightDecay: Float? = nil) {
    let members = Set(parameters.map { ObjectIdentifier($0.parameter) })
    self.init(
      where: { members.contains(ObjectIdentifier($0.parameter)) }, rateMultiplier: rateMultiplier,
      weightDecay: weightDecay)
  }

  /// How an optimizer trains each of its parameters, in their order: for every optimizer, those of one's own too.
  ///
  /// A group that has none of the parameters is a mistake that would pass in silence, and stops the program.
  public static func settings(
    of parameters: [NamedParameter], in groups: [ParameterGroup], weightDecay: Float = 0
  ) -> [(rateMultiplier: Float, weightDecay: Float)] {
    for (index, group) in groups.enumerated() {
      expect(
        parameters.contains(where: group.contains),
        "ParameterGroup: group \(index) has none of the \(parameters.count) parameters that are trained")
    }
    return parameters.map { item in
      groups.reduce((rateMultiplier: 1, weightDecay: weightDecay)) { found, group in
        guard group.contains(item) else { return found }
        return (group.rateMultiplier ?? found.rateMultiplier, group.weightDecay ?? found.weightDecay)
      }
    }
  }
}
