/// The gradients of several inputs that are cheapest computed together: at the first request for one of them all are
/// computed, and each is kept until it is asked for.
///
/// A graph is differentiated by one thread at a time, so the results need no lock.
final class JointPullback: @unchecked Sendable {
  private let compute: @Sendable (_ outputGradient: Tensor) -> [Tensor?]
  private var results: [Tensor?] = []

  /// - Parameter compute: gives a gradient for every input that is tracked.
  init(_ compute: @escaping @Sendable (_ outputGradient: Tensor) -> [Tensor?]) { self.compute = compute }

  func pullback(of input: Int) -> Pullback {
    { [self] dy in
      if input >= results.count || results[input] == nil { results = compute(dy) }
      defer { results[input] = nil }
      return results[input]!
    }
  }
}
