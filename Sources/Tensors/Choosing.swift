// Comparisons, and what chooses elements: by a condition, by bounds, by an index.

import LoRACKernels

extension Tensor {
  // Conditions are tensors of ones and zeros and have no gradient. The operators are those of Swift's SIMD vectors.

  /// 1 where a < b, else 0; broadcasts.
  public static func .< (a: Tensor, b: Tensor) -> Tensor { a.combined(CK_LESS, b) }
  /// 1 where a ≤ b, else 0; broadcasts.
  public static func .<= (a: Tensor, b: Tensor) -> Tensor { a.combined(CK_LESS_OR_EQUAL, b) }
  /// 1 where a > b, else 0; broadcasts.
  public static func .> (a: Tensor, b: Tensor) -> Tensor { b.combined(CK_LESS, a) }
  /// 1 where a ≥ b, else 0; broadcasts.
  public static func .>= (a: Tensor, b: Tensor) -> Tensor { b.combined(CK_LESS_OR_EQUAL, a) }
  /// 1 where a = b, else 0; broadcasts.
  public static func .== (a: Tensor, b: Tensor) -> Tensor { a.combined(CK_EQUAL, b) }
  /// 1 where a ≠ b, else 0; broadcasts.
  public static func .!= (a: Tensor, b: Tensor) -> Tensor { 1 - a.combined(CK_EQUAL, b) }

  /// 1 where a < b, else 0.
  public static func .< (a: Tensor, b: Float) -> Tensor { a .< Tensor(b) }
  /// 1 where a ≤ b, else 0.
  public static func .<= (a: Tensor, b: Float) -> Tensor { a .<= Tensor(b) }
  /// 1 where a > b, else 0.
  public static func .> (a: Tensor, b: Float) -> Tensor { a .> Tensor(b) }
  /// 1 where a ≥ b, else 0.
  public static func .>= (a: Tensor, b: Float) -> Tensor { a .>= Tensor(b) }
  /// 1 where a = b, else 0.
  public static func .== (a: Tensor, b: Float) -> Tensor { a .== Tensor(b) }
  /// 1 where a ≠ b, else 0.
  public static func .!= (a: Tensor, b: Float) -> Tensor { a .!= Tensor(b) }

  /// a where the condition is not 0, else b: `Tensor.where(x .> 0, x, 0.1 * x)`. The three broadcast. The gradient goes
  /// to the element that was chosen, and 0 to the other. (A function with a pole still sees that 0 times its infinite
  /// slope: for log x where x > 0, bound x first.)
  public static func `where`(_ condition: Tensor, _ a: Tensor, _ b: Tensor) -> Tensor {
    let both = broadcastShape(a.shape, b.shape, operation: "where")
    let shape = broadcastShape(condition.shape, both, operation: "where")
    let condition = condition.detached.broadcast(to: shape)
    return condition.selecting(a.detached.broadcast(to: shape), b.detached.broadcast(to: shape))
      .recorded(
        .choose, a, Derivative.choose(condition, isFirst: true, to: a.shape), b,
        Derivative.choose(condition, isFirst: false, to: b.shape))
  }

  /// `a` where this is not 0, else `b`, of one shape and unrecorded.
  func selecting(_ a: Tensor, _ b: Tensor) -> Tensor {
    let (condition, a, b) = (widened, a.widened, b.widened)
    return Tensor(shape: shape) {
      ck_select(condition.pointer, a.pointer, b.pointer, $0.baseAddress, condition.count)
    }
  }

  /// Each element, or the bound that it lies beyond. The gradient is that of the element within the bounds and on them,
  /// else 0.
  public func clamped(to bounds: ClosedRange<Float>) -> Tensor { clamped(bounds.lowerBound, bounds.upperBound) }
  /// The same with a lower bound alone.
  public func clamped(to bounds: PartialRangeFrom<Float>) -> Tensor { clamped(bounds.lowerBound, .infinity) }
  /// The same with an upper bound alone.
  public func clamped(to bounds: PartialRangeThrough<Float>) -> Tensor { clamped(-.infinity, bounds.upperBound) }

  private func clamped(_ low: Float, _ high: Float) -> Tensor {
    let bounds = (Tensor(low), Tensor(high))
    return combined(CK_MAXIMUM, bounds.0).combined(CK_MINIMUM, bounds.1)
      .recorded(.clamp, self, Derivative.clamp(detached, from: bounds.0, to: bounds.1))
  }

  /// Elements by their index along an axis, chosen anew at every place of the other axes (PyTorch's `gather`).
  ///
  /// ```swift
  /// logProbabilities.gathered(axis: 1, at: labels)  // [n, classes] and n labels → [n, 1]
  /// ```
  /// - Parameters:
  ///   - axis: along which an index counts; −1 is the last.
  ///   - indices: in row-major order, k of them for every place of the other axes: of this shape with the axis' length
  ///     replaced by k, which is the result's shape. The gradient of an element that is taken several times is the sum.
  public func gathered(axis: Int, at indices: [Int]) -> Tensor {
    let axis = resolved(axis: axis, "gathered")
    let (outer, length, inner) = extents(around: axis)
    expect(
      outer * inner > 0 && indices.count % (outer * inner) == 0,
      "gathered: \(indices.count) indices along axis \(axis) of shape \(shape) are no multiple of \(outer * inner)")
    expect(
      indices.allSatisfy { $0 >= 0 && $0 < length }, "gathered: an index lies outside 0..<\(length)")
    let index = indices.map(Int32.init)
    var newShape = shape
    newShape[axis] = indices.count / (outer * inner)
    let x = widened
    return Tensor(shape: newShape) {
      ck_gather_axis(x.pointer, index, $0.baseAddress, outer, newShape[axis], length, inner)
    }.recorded(.gather, self, Derivative.gather(index, of: shape, axis: axis))
  }
}
