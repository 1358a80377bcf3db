import LoRATensors

/// Anything that a matrix of vectors can be multiplied by, from both sides: all that `randomizedSVD` needs.
///
/// A matrix is one. A product of factors, a difference, or a matrix that is read from a file block by block is one
/// too, and need not be formed.
///
/// ```swift
/// let update = Difference(tuned, base)              // never formed
/// let factors = try update.randomizedSVD(rank: 16)
/// ```
public protocol LinearOperator {
  /// The length of A x.
  var rows: Int { get }
  /// The length of x in A x.
  var columns: Int { get }
  /// A X, [rows, k], for X [columns, k].
  func times(_ x: Tensor) -> Tensor
  /// Aᵀ X, [columns, k], for X [rows, k].
  func transposedTimes(_ x: Tensor) -> Tensor
}

extension Tensor: LinearOperator {
  /// The first axis; the tensor must be a matrix.
  public var rows: Int { matrixShape.rows }
  /// The second axis; the tensor must be a matrix.
  public var columns: Int { matrixShape.columns }

  // A product with few vectors is faster with the vectors as rows.
  public func times(_ x: Tensor) -> Tensor { x.transposed().matmul(self, transposeOther: true).transposed() }
  public func transposedTimes(_ x: Tensor) -> Tensor { x.transposed().matmul(self).transposed() }

  private var matrixShape: (rows: Int, columns: Int) {
    expect(shape.count == 2, "LinearOperator: a matrix is needed, found a tensor of shape \(shape)")
    return (shape[0], shape[1])
  }
}

/// left · right
public struct Product<Left: LinearOperator, Right: LinearOperator>: LinearOperator {
  /// The factor that is applied last.
  public let left: Left
  /// The factor that is applied first.
  public let right: Right

  /// - Throws: `LinearAlgebraError.shapesDoNotMatch`
  public init(_ left: Left, _ right: Right) throws {
    guard left.columns == right.rows else {
      throw LinearAlgebraError.shapesDoNotMatch(
        operation: "Product", left: [left.rows, left.columns], right: [right.rows, right.columns])
    }
    self.left = left
    self.right = right
  }

  public var rows: Int { left.rows }
  public var columns: Int { right.columns }
  public func times(_ x: Tensor) -> Tensor { left.times(right.times(x)) }
  public func transposedTimes(_ x: Tensor) -> Tensor { right.transposedTimes(left.transposedTimes(x)) }
}

/// left − right
public struct Difference<Left: LinearOperator, Right: LinearOperator>: LinearOperator {
  /// What is subtracted from.
  public let left: Left
  /// What is subtracted.
  public let right: Right

  /// - Throws: `LinearAlgebraError.shapesDiffer`
  public init(_ left: Left, _ right: Right) throws {
    guard left.rows == right.rows, left.columns == right.columns else {
      throw LinearAlgebraError.shapesDiffer(
        operation: "Difference", left: [left.rows, left.columns], right: [right.rows, right.columns])
    }
    self.left = left
    self.right = right
  }

  public var rows: Int { left.rows }
  public var columns: Int { left.columns }
  public func times(_ x: Tensor) -> Tensor { left.times(x) - right.times(x) }
  public func transposedTimes(_ x: Tensor) -> Tensor { left.transposedTimes(x) - right.transposedTimes(x) }
}

/// A matrix that is made a block of rows at a time, so that no more than one block is held in memory.
///
/// ```swift
/// let update = RowBlocks(rows: 4096, columns: 4096, blockRows: 256) { rows in
///   tuned.rows(rows) - base.rows(rows)
/// }
/// ```
public struct RowBlocks: LinearOperator {
  public let rows: Int
  public let columns: Int
  private let blockRows: Int
  private let block: (Range<Int>) -> Tensor

  /// - Parameters:
  ///   - rows: rows of the matrix.
  ///   - columns: columns of the matrix.
  ///   - blockRows: the most rows that are asked for at once.
  ///   - block: The given rows of the matrix, [range.count, columns]; called anew for each product.
  public init(rows: Int, columns: Int, blockRows: Int, _ block: @escaping (Range<Int>) -> Tensor) {
    expect(blockRows > 0, "RowBlocks: blocks of \(blockRows) rows")
    self.rows = rows
    self.columns = columns
    self.blockRows = blockRows
    self.block = block
  }

  private var ranges: [Range<Int>] {
    stride(from: 0, to: rows, by: blockRows).map { $0..<min($0 + blockRows, rows) }
  }

  public func times(_ x: Tensor) -> Tensor {
    .concatenated(ranges.map { block($0).matmul(x) }, axis: 0)
  }

  public func transposedTimes(_ x: Tensor) -> Tensor {
    ranges.reduce(Tensor.zeros([columns, x.shape[1]])) { sum, range in
      sum + block(range).matmul(x.sliced(axis: 0, range), transposeSelf: true)
    }
  }
}
