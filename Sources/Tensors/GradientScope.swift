/// The time in which a gradient is computed: the closure of `valueAndGradients` and the pass back.
package final class GradientScope: @unchecked Sendable {
  // A task that is started within inherits the scope, and may outlive it: so what counts is whether it is still open.
  // Only the thread that opened it writes.
  @TaskLocal private static var current: GradientScope?
  private var isOpen = true

  package static func within<Result>(_ body: () throws -> Result) rethrows -> Result {
    let scope = GradientScope()
    defer { scope.isOpen = false }
    return try $current.withValue(scope, operation: body)
  }

  fileprivate static var isOpen: Bool { current?.isOpen ?? false }
}

extension Tensor {
  /// Whether this code runs for a gradient: within `valueAndGradients`. For layers that act only then, as dropout does.
  ///
  /// ```swift
  /// func callAsFunction(_ x: Tensor) -> Tensor { Tensor.isComputingGradient ? noisy(x) : x }
  /// ```
  /// Whether a *value* depends on what a gradient is asked for is its `isTracked`.
  public static var isComputingGradient: Bool { GradientScope.isOpen }
}
