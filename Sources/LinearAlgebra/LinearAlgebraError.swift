import LoRATensors

/// What can go wrong in a decomposition and can't be known before it is tried.
public enum LinearAlgebraError: DescribedError, Equatable {
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

extension LinearAlgebraError {
  /// The operation.
  public var subject: String {
    switch self {
    case .notAMatrix(let operation, _), .notFinite(let operation, _, _, _, _), .productNotFinite(let operation, _, _),
      .rankOutOfRange(let operation, _, _), .shapesDoNotMatch(let operation, _, _), .shapesDiffer(let operation, _, _),
      .notConverged(let operation, _), .overflow(let operation, _), .noDerivative(let operation),
      .notSquare(let operation, _), .singular(let operation, _):
      operation
    }
  }

  public var problem: String {
    switch self {
    case .notAMatrix(_, let shape):
      "expected a matrix with at least one row and one column, found a tensor of shape \(shape)"
    case .notFinite(_, let shape, let row, let column, let value):
      """
      the matrix of shape \(shape) holds \(value) at row \(row), column \(column); \
      every element must be finite
      """
    case .productNotFinite(_, let shape, let row):
      """
      products with the matrix of shape \(shape) are not finite in row \(row); \
      every element must be finite, and sums of a row must not exceed the largest float32
      """
    case .rankOutOfRange(_, let rank, let shape):
      "rank \(rank) does not fit a matrix of shape \(shape); it must lie in 1...\(shape.min() ?? 0)"
    case .shapesDoNotMatch(_, let left, let right): "the columns of \(left) and the rows of \(right) differ"
    case .shapesDiffer(_, let left, let right): "the shapes \(left) and \(right) should be the same"
    case .notSquare(_, let shape): "a matrix of shape \(shape) is not square"
    case .singular(_, let shape):
      "this matrix of shape \(shape) is singular to float32's precision (its condition is above 1/ε)"
    case .notConverged(_, let shape): "the singular values of a matrix of shape \(shape) did not converge"
    case .noDerivative: "has no derivative, and the matrix takes part in a gradient"
    case .overflow(_, let shape): "the result for this matrix of shape \(shape) exceeds the largest float32"
    }
  }

  public var advice: Advice {
    switch self {
    case .notAMatrix: "Take a matrix"
    case .notFinite, .productNotFinite: "Find out where these numbers come from"
    case .rankOutOfRange: "Choose a rank in that range"
    case .shapesDoNotMatch, .shapesDiffer: "Check the order, and whether one is to be transposed"
    case .notSquare: "Take the pseudoinverse, which is for any shape"
    case .singular: "Add a multiple of the identity, or take the pseudoinverse"
    case .notConverged: "Scale the matrix, or add a little noise to it"
    case .noDerivative: "Take its `detached` value"
    case .overflow: "Divide the matrix by a constant first"
    }
  }
}
