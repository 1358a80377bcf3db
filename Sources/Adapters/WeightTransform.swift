// What a method makes of one weight, worked out in blocks of rows so that no weight need be in memory whole.

import LoRAFiles
import LoRATensors

/// A stored weight as a matrix, for a method that has to know it.
public struct WeightMatrix: Sendable {
  /// As stored: the first axis, and all others.
  public let rows: Int
  /// The product of all axes but the first.
  public let columns: Int
  /// The stored shape.
  public let shape: [Int]
  /// Whether the stored matrix is the update's transpose: GPT-2's Conv1D and embeddings.
  public let isTransposed: Bool
  /// Some of its rows, [count, columns].
  public let read: @Sendable (Range<Int>) -> Tensor

  /// A stored weight of that shape whose rows `read` gives out; called for each block, from several threads.
  public init(shape: [Int], isTransposed: Bool, read: @escaping @Sendable (Range<Int>) -> Tensor) {
    self.shape = shape
    rows = shape.first ?? 1
    columns = shape.dropFirst().reduce(1, *)
    self.isTransposed = isTransposed
    self.read = read
  }

  /// The inputs of the layer, a convolution's kernel counted in.
  public var inputs: Int { isTransposed ? rows : columns }
  /// The outputs of the layer.
  public var outputs: Int { isTransposed ? columns : rows }

  /// Ranges of rows that together are all of it, each of about a million numbers.
  public var blocks: [Range<Int>] {
    let step = max(1, (1 << 20) / max(columns, 1))
    return stride(from: 0, to: rows, by: step).map { $0..<min($0 + step, rows) }
  }
}

/// From rows of a weight to the same rows of the adapted weight.
public protocol WeightTransform: Sendable {
  /// - Parameters:
  ///   - weight: the rows `rows` of the stored weight, [rows.count, columns].
  ///   - rows: which rows of the weight they are.
  func callAsFunction(_ weight: Tensor, rows: Range<Int>) -> Tensor
  /// Blocks begin at multiples of this and end at one or at the last row: for methods that mix rows.
  var rowMultiple: Int { get }
}

extension WeightTransform {
  public var rowMultiple: Int { 1 }
}

/// scale · B A, unformed.
public struct LowRankUpdate: Sendable {
  /// A, [rank, inputs].
  public var a: Tensor
  /// B, [outputs, rank].
  public var b: Tensor
  /// What B A is multiplied by.
  public var scale: Double

  /// Factors A [rank, inputs] and B [outputs, rank].
  public init(a: Tensor, b: Tensor, scale: Double) {
    self.a = a
    self.b = b
    self.scale = scale
  }

  /// The rows of A.
  public var rank: Int { a.shape[0] }
  /// The columns of the update.
  public var inputs: Int { a.shape[1] }
  /// The rows of the update.
  public var outputs: Int { b.shape[0] }
}

/// W + scale · B A, or its transpose.
public struct LowRankTransform: WeightTransform {
  /// What is added.
  public let update: LowRankUpdate
  /// Whether its transpose is added, since the weight is stored [inputs, outputs].
  public let isTransposed: Bool

  /// An update for weights that are stored as they are or transposed.
  public init(_ update: LowRankUpdate, isTransposed: Bool) {
    self.update = update
    self.isTransposed = isTransposed
  }

  public func callAsFunction(_ weight: Tensor, rows: Range<Int>) -> Tensor {
    let columns = weight.shape[1]
    return Tensor(shape: weight.shape) { block in
      weight.withUnsafeBufferPointer { _ = block.update(fromContentsOf: $0) }
      add(to: block.baseAddress!, rows: rows, columns: columns)
    }
  }

  /// block += coefficient · scale · (B A)[rows, :], or of its transpose.
  package func add(
    to block: UnsafeMutablePointer<Float>, rows: Range<Int>, columns: Int, coefficient: Float = 1
  ) {
    let (rank, inputs) = (update.rank, update.inputs)
    let factor = coefficient * Float(update.scale)
    update.a.withUnsafeBufferPointer { a in
      update.b.withUnsafeBufferPointer { b in
        let (left, right) =
          isTransposed
          ? (
            Factor(a.baseAddress! + rows.lowerBound, stride: inputs, transposed: true),
            Factor(b.baseAddress!, stride: rank, transposed: true)
          )
          : (
            Factor(b.baseAddress! + rows.lowerBound * rank, stride: rank), Factor(a.baseAddress!, stride: inputs)
          )
        multiply(left, right, m: rows.count, n: columns, k: rank, alpha: factor, beta: 1, to: block, stride: columns)
      }
    }
  }

  /// ⟨s₁B₁A₁, s₂B₂A₂⟩ = s₁ s₂ ⟨B₁ᵀB₂, A₁A₂ᵀ⟩.
  package func innerProduct(_ other: LowRankTransform) -> Double {
    let ofB = update.b.matmul(other.update.b, transposeSelf: true).scalars
    let ofA = update.a.matmul(other.update.a, transposeOther: true).scalars
    return update.scale * other.update.scale * zip(ofA, ofB).reduce(0) { $0 + Double($1.0) * Double($1.1) }
  }
}

/// Whatever a closure makes of each block.
public struct BlockTransform: WeightTransform {
  public let rowMultiple: Int
  private let body: @Sendable (Tensor, Range<Int>) -> Tensor

  /// - Parameters:
  ///   - rowMultiple: where blocks may begin, see ``WeightTransform/rowMultiple``.
  ///   - body: from the rows of the stored weight, [count, columns], to the same rows of the adapted one.
  public init(rowMultiple: Int = 1, _ body: @escaping @Sendable (Tensor, Range<Int>) -> Tensor) {
    self.rowMultiple = rowMultiple
    self.body = body
  }

  public func callAsFunction(_ weight: Tensor, rows: Range<Int>) -> Tensor { body(weight, rows) }
}
