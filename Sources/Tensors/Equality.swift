extension Tensor: Equatable {
  /// Whether shapes and all elements are equal; as for `Float`, −0 is 0, and what is not a number equals nothing.
  public static func == (a: Tensor, b: Tensor) -> Bool {
    guard a.shape == b.shape else { return false }
    return a.withUnsafeBufferPointer { x in b.withUnsafeBufferPointer { y in x.elementsEqual(y) } }
  }

  /// Whether both have one shape and no element differs by more than a share of the largest: max |x − y| ≤ max(absolute
  /// tolerance, tolerance · max(|x|, |y|)), the rule and the defaults of swift-numerics' `isApproximatelyEqual` with
  /// the maximum norm.
  ///
  /// An infinite element is close to itself alone, and what is not a number to nothing.
  ///
  /// - Parameters:
  ///   - other: what is compared with.
  ///   - tolerance: relative to the largest finite element of either; by default √ε, 3.5e-4: half of the digits.
  ///   - absoluteTolerance: what is allowed in any case, as for a result that should be zero.
  public func isClose(
    to other: Tensor, tolerance: Float = Float.ulpOfOne.squareRoot(), absoluteTolerance: Float = 0
  ) -> Bool {
    expect(
      tolerance >= 0 && absoluteTolerance >= 0, "isClose: tolerances of \(tolerance) and \(absoluteTolerance)")
    guard shape == other.shape else { return false }
    return withUnsafeBufferPointer { x in
      other.withUnsafeBufferPointer { y in
        func largest(_ elements: UnsafeBufferPointer<Float>) -> Float {
          elements.reduce(0) { $1.isFinite ? Swift.max($0, abs($1)) : $0 }
        }
        let allowed = Swift.max(absoluteTolerance, tolerance * Swift.max(largest(x), largest(y)))
        // The difference of two opposite numbers may be infinite, the bound not.
        return x.indices.allSatisfy {
          x[$0] == y[$0] || x[$0].isFinite && y[$0].isFinite && abs(x[$0] - y[$0]) <= allowed
        }
      }
    }
  }
}
