extension Tensor {
  /// A value that was computed in any way, with derivatives of its author's.
  ///
  /// ```swift
  /// /// The cube root, also of negative numbers: y = ∛x, dx = dy / (3 y²).
  /// func cubeRoot(_ x: Tensor) -> Tensor {
  ///   let y = Tensor(shape: x.shape, scalars: x.scalars.map { cbrt($0) })
  ///   return .custom([x], value: y) { dy in [dy / (3 * y.squared())] }
  /// }
  ///
  /// let check = GradientCheck(at: [Tensor([0.5, -1, 2])]) { cubeRoot($0[0]) }
  /// check.largestDeviation  // 6e-5: finite differences agree
  /// ```
  /// Nothing is recorded where none of the inputs is tracked (`isTracked`). The derivative is called at most once for a
  /// gradient, on the thread that computes it. What it captures lives as long as the result: of inputs take what it
  /// needs, `detached`.
  ///
  /// - Parameters:
  ///   - inputs: those that the value depends on.
  ///   - value: the result; how it was made does not count.
  ///   - derivative: turns the gradient `dy` of the result into the gradients of the inputs, in their order and of their
  ///     shapes; nil stands for zeros, and is right where an input's `isTracked` is false.
  public static func custom(
    _ inputs: [Tensor], value: Tensor, derivative: @escaping (_ dy: Tensor) -> [Tensor?]
  ) -> Tensor {
    let value = value.detached
    guard inputs.contains(where: \.isTracked) else { return value }
    let gradients = Derivative.custom(Derivative.Custom(shapes: inputs.map(\.shape), derivative: derivative))
    return value.recorded(.custom, inputs) { gradients.pullback(of: $0) }
  }
}
