// Sums, means and maxima. An axis may be given from the end: -1 is the last.

import LoRACKernels

extension Tensor {
  package func resolved(axis: Int, _ operation: String) -> Int {
    let resolved = axis < 0 ? axis + rank : axis
    expect(resolved >= 0 && resolved < rank, "\(operation): axis \(axis) of shape \(shape)")
    return resolved
  }

  /// [outer, axis, inner]: the shape seen from one axis.
  package func extents(around axis: Int) -> (outer: Int, axis: Int, inner: Int) {
    (shape[..<axis].reduce(1, *), shape[axis], shape[(axis + 1)...].reduce(1, *))
  }

  private func reduced(_ operation: ck_reduction, axis: Int, keepingAxis: Bool) -> Tensor {
    let (outer, length, inner) = extents(around: axis)
    var shape = shape
    if keepingAxis { shape[axis] = 1 } else { shape.remove(at: axis) }
    let x = widened
    return Tensor(shape: shape) { ck_reduce(operation, x.pointer, $0.baseAddress, outer, length, inner) }
  }

  /// The sum of all elements.
  public func sum() -> Tensor {
    let x = widened
    return Tensor(shape: []) { ck_reduce(CK_SUM, x.pointer, $0.baseAddress, 1, count, 1) }
      .recorded(.sum, self, Derivative.sum(from: shape, keptShape: shape.map { _ in 1 }))
  }

  /// The sum along an axis, which counts from the end where it is negative. The axis is gone, or has the length 1
  /// where it is kept.
  public func sum(axis: Int, keepingAxis: Bool = false) -> Tensor {
    let axis = resolved(axis: axis, "sum")
    var kept = shape
    kept[axis] = 1
    return reduced(CK_SUM, axis: axis, keepingAxis: keepingAxis)
      .recorded(.sum, self, Derivative.sum(from: shape, keptShape: kept))
  }

  /// The mean of all elements.
  public func mean() -> Tensor { sum() / Float(count) }

  /// The mean along an axis, which counts from the end where it is negative. The axis is gone, or has the length 1
  /// where it is kept.
  public func mean(axis: Int, keepingAxis: Bool = false) -> Tensor {
    sum(axis: axis, keepingAxis: keepingAxis) / Float(shape[resolved(axis: axis, "mean")])
  }

  /// The largest element along an axis; the gradient goes to the first of equals.
  public func max(axis: Int, keepingAxis: Bool = false) -> Tensor {
    let axis = resolved(axis: axis, "max")
    expect(shape[axis] > 0, "max: axis \(axis) of shape \(shape) is empty")
    return reduced(CK_MAX, axis: axis, keepingAxis: keepingAxis)
      .recorded(.max, self, Derivative.max(detached, axis: axis))
  }

  /// The smallest element along an axis; the gradient goes to the first of equals.
  public func min(axis: Int, keepingAxis: Bool = false) -> Tensor { -(-self).max(axis: axis, keepingAxis: keepingAxis) }

  /// The variance of all elements: Σ (x − mean)² / (count − correction).
  ///
  /// - Parameter correction: 1 for the unbiased estimate from a sample, as PyTorch's default; 0 for the mean square, as
  ///   NumPy's.
  public func variance(correction: Int = 1) -> Tensor { reshaped([count]).variance(axis: 0, correction: correction) }

  /// The same along an axis.
  public func variance(axis: Int, keepingAxis: Bool = false, correction: Int = 1) -> Tensor {
    let length = shape[resolved(axis: axis, "variance")]
    expect(
      correction >= 0 && length > correction, "variance: \(length) elements with a correction of \(correction)")
    let deviations = self - mean(axis: axis, keepingAxis: true)
    return deviations.squared().sum(axis: axis, keepingAxis: keepingAxis) / Float(length - correction)
  }

  /// The index of the first largest element in each row of a matrix.
  public func argmaxRows() -> [Int] {
    expect(rank == 2, "argmaxRows: a matrix is needed, found shape \(shape)")
    var index = [Int32](repeating: 0, count: shape[0])
    let x = widened
    ck_argmax_rows(x.pointer, &index, shape[0], shape[1])
    return index.map(Int.init)
  }
}
