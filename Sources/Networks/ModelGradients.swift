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
  public func norm(over parameters: [NamedParameter]) -> Double {
    parameters.reduce(0) { sum, item in
      let norm = self[item.parameter]?.norm ?? 0
      return sum + norm * norm
    }.squareRoot()
  }
}

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
    let value = try Parameter.withoutCachedValues(function)
    var gradients = Gradients()
    for (item, gradient) in zip(self, value.gradients(at: leaves)) { gradients[item.parameter] = gradient }
    return (value.detached, gradients)
  }
}
