import LoRATensors

/// Gradients of a scalar by parameter: a value, never state of the parameters.
public struct Gradients {
  private var byParameter: [ObjectIdentifier: Tensor] = [:]

  /// No gradients, to be filled by parameter.
  public init() {}

  /// Nil where the scalar does not depend on the parameter, or the parameter is frozen.
  public subscript(parameter: Parameter) -> Tensor? {
    get { byParameter[ObjectIdentifier(parameter)] }
    set { byParameter[ObjectIdentifier(parameter)] = newValue }
  }

  /// For how many parameters there is one.
  public var count: Int { byParameter.count }

  /// √ of the sum of squares over all gradients.
  public var norm: Double { byParameter.values.reduce(0) { $0 + $1.norm * $1.norm }.squareRoot() }

  /// The same over those of some parameters.
  public func norm(over parameters: [NamedParameter]) -> Double {
    parameters.reduce(0) { sum, item in
      let norm = self[item.parameter]?.norm ?? 0
      return sum + norm * norm
    }.squareRoot()
  }
}

// MARK: - Arithmetic

// Gradients of one model are vectors of one space; a gradient that is missing counts as zero. For sharpness-aware
// minimisation, penalties, averages over batches:
//
//     let ascent = gradients * Float(0.05 / gradients.norm)
//     for item in model.trainableParameters {
//       if let step = ascent[item.parameter] { try item.parameter.assignOriginal(item.parameter.original + step) }
//     }
extension Gradients {
  /// The sum, parameter by parameter.
  public static func + (a: Gradients, b: Gradients) -> Gradients { a.adding(b, scaledBy: 1) }
  /// The difference, parameter by parameter.
  public static func - (a: Gradients, b: Gradients) -> Gradients { a.adding(b, scaledBy: -1) }
  /// Every gradient turned round.
  public static prefix func - (a: Gradients) -> Gradients { a * -1 }
  /// Every gradient times a number.
  public static func * (a: Gradients, scale: Float) -> Gradients {
    var result = a
    result.byParameter = a.byParameter.mapValues { $0 * scale }
    return result
  }
  /// Every gradient times a number.
  public static func * (scale: Float, a: Gradients) -> Gradients { a * scale }
  /// Every gradient divided by a number.
  public static func / (a: Gradients, divisor: Float) -> Gradients { a * (1 / divisor) }
  /// Adds parameter by parameter.
  public static func += (a: inout Gradients, b: Gradients) { a = a + b }
  /// Subtracts parameter by parameter.
  public static func -= (a: inout Gradients, b: Gradients) { a = a - b }
  /// Multiplies every gradient by a number.
  public static func *= (a: inout Gradients, scale: Float) { a = a * scale }

  /// self + scale · other.
  public func adding(_ other: Gradients, scaledBy scale: Float) -> Gradients {
    var result = self
    for (parameter, gradient) in other.byParameter {
      result.byParameter[parameter] =
        byParameter[parameter].map { $0.adding(gradient, scaledBy: scale) } ?? gradient * scale
    }
    return result
  }

  /// Σ of the products of corresponding elements, summed in double precision.
  public func dot(_ other: Gradients) -> Double {
    byParameter.reduce(0) { sum, item in
      guard let gradient = other.byParameter[item.key] else { return sum }
      return zip(item.value.scalars, gradient.scalars).reduce(sum) { $0 + Double($1.0) * Double($1.1) }
    }
  }
}

// MARK: - Computing

extension Module {
  /// The value of a scalar function of this model and its gradients by trainable parameter.
  ///
  /// ```swift
  /// let (loss, gradients) = model.valueAndGradients { model(images).crossEntropy(labels) }
  /// optimizer.update(gradients)
  /// ```
  public func valueAndGradients(_ function: () throws -> Tensor) rethrows -> (value: Tensor, gradients: Gradients) {
    try trainableParameters.valueAndGradients(function)
  }
}

extension [NamedParameter] {
  /// The same for a list of parameters found once, which saves the walk at every step.
  public func valueAndGradients(_ function: () throws -> Tensor) rethrows -> (value: Tensor, gradients: Gradients) {
    // Within another gradient (logging, a penalty, SAM) the leaves are that one's, which still needs them afterwards.
    let outer = map(\.parameter.leaf)
    let leaves = map { $0.parameter.leaf ?? $0.parameter.original.asLeaf }
    for (item, leaf) in zip(self, leaves) { item.parameter.leaf = leaf }
    defer { for (item, leaf) in zip(self, outer) { item.parameter.leaf = leaf } }
    // Values that were computed before know nothing of these leaves.
    return try GradientScope.within {
      let value = try Parameter.withoutCachedValues(function)
      var gradients = Gradients()
      for (item, gradient) in zip(self, value.gradients(at: leaves)) { gradients[item.parameter] = gradient }
      return (value.detached, gradients)
    }
  }
}
