/// What can go wrong in a decomposition and can't be known before it is tried.
public enum LinearAlgebraError: Error, Equatable, Sendable {
  /// The operation takes a matrix of at least one element.
  case notAMatrix(operation: String, shape: [Int])
  /// The input holds NaN or infinity.
  case notFinite(operation: String, shape: [Int], row: Int, column: Int, value: String)
  /// A product with the matrix holds NaN or infinity: so does the matrix in this row, or the sum overflows.
  case productNotFinite(operation: String, shape: [Int], row: Int)
  /// A rank below one or above the smaller side.
  case rankOutOfRange(operation: String, rank: Int, shape: [Int])
  /// The columns of the left and the rows of the right matrix differ.
  case shapesDoNotMatch(operation: String, left: [Int], right: [Int])
  /// Both matrices should have one shape.
  case shapesDiffer(operation: String, left: [Int], right: [Int])
  /// The operation takes a matrix with as many rows as columns.
  case notSquare(operation: String, shape: [Int])
  /// The matrix has no inverse, or none of which float32 could tell a digit.
  case singular(operation: String, shape: [Int])
  /// Neither divide and conquer nor QR iteration converged.
  case notConverged(operation: String, shape: [Int])
  /// The result exceeds the largest float32.
  case overflow(operation: String, shape: [Int])
  /// The matrix takes part in a gradient, which would end here in silence.
  case noDerivative(operation: String)
}

extension LinearAlgebraError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .notAMatrix(let operation, let shape):
      "\(operation): expected a matrix with at least one row and one column, found a tensor of shape \(shape)."
    case .notFinite(let operation, let shape, let row, let column, let value):
      """
      \(operation): the matrix of shape \(shape) holds \(value) at row \(row), column \(column); \
      every element must be finite.
      """
    case .productNotFinite(let operation, let shape, let row):
      """
      \(operation): products with the matrix of shape \(shape) are not finite in row \(row); \
      every element must be finite, and sums of a row must not exceed the largest float32.
      """
    case .rankOutOfRange(let operation, let rank, let shape):
      "\(operation): rank \(rank) does not fit a matrix of shape \(shape); it must lie in 1...\(shape.min() ?? 0)."
    case .shapesDoNotMatch(let operation, let left, let right):
      "\(operation): the columns of \(left) and the rows of \(right) differ."
    case .shapesDiffer(let operation, let left, let right):
      "\(operation): the shapes \(left) and \(right) should be the same."
    case .notSquare(let operation, let shape):
      "\(operation): a matrix of shape \(shape) is not square; the pseudoinverse is for any shape."
    case .singular(let operation, let shape):
      """
      \(operation): this matrix of shape \(shape) is singular to float32's precision (its condition is above 1/ε); \
      add a multiple of the identity, or take the pseudoinverse.
      """
    case .notConverged(let operation, let shape):
      "\(operation): the singular values of a matrix of shape \(shape) did not converge."
    case .noDerivative(let operation):
      "\(operation) has no derivative, and the matrix takes part in a gradient; take its `detached` value."
    case .overflow(let operation, let shape):
      """
      \(operation): the result for this matrix of shape \(shape) exceeds the largest float32; \
      divide the matrix by a constant first.
      """
    }
  }
}
