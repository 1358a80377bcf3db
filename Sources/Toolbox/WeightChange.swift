// What happens to one of a base's weights in a merge, worked out rows at a time in float32.

import CKernels
import Foundation
import LoRAAdapters
import LoRAFiles
import LoRAFormats
import LoRATensors

/// The changes to one tensor. For a block of its rows, `W` becomes `W + Σ changes`.
///
/// Factors are read when the first block asks for them and let go after the last one, so that no more than a few
/// modules' factors are in memory.
final class WeightChange: @unchecked Sendable {
  /// One adapter's change of a tensor.
  enum Part {
    /// coefficient · scale · BA, or its transpose.
    case product(StoredModule, coefficient: Double, isTransposed: Bool)
    /// coefficient · (m · V/‖V‖ − W) with V = W + scale · BA: DoRA, arXiv:2402.09353, eq. 5.
    case magnitude(StoredModule, coefficient: Double, isTransposed: Bool)
    /// coefficient · vector.
    case vector(StoredTensor, coefficient: Double)
    /// coefficient · (tensor − W).
    case replacement(StoredTensor, coefficient: Double)
  }

  let weight: StoredTensor
  private(set) var parts: [Part] = []
  /// Rows and columns of the weight seen as a matrix: the first axis, and all others.
  let rows: Int
  let columns: Int
  private let lock = NSLock()
  private var prepared: PreparedChange?
  private var rowsLeft: Int

  init(_ weight: StoredTensor) {
    self.weight = weight
    rows = weight.shape.first ?? 1
    columns = weight.shape.dropFirst().reduce(1, *)
    rowsLeft = rows
  }

  func add(_ part: Part) { parts.append(part) }

  /// W for the rows `range`, and W + Δ in the same place afterwards.
  ///
  /// - Returns: ‖W‖² and ‖Δ‖² of the block.
  func apply(to block: UnsafeMutableBufferPointer<Float>, rows range: Range<Int>) throws -> (
    weight: Double, update: Double
  ) {
    let prepared = try prepare()
    defer { finish(range.count) }
    weight.read(range.lowerBound * columns..<range.upperBound * columns, into: block)
    let weightSquare = ck_sum_of_squares(block.baseAddress!, block.count)
    // Products alone add up in place, and their norm comes from the factors; each block gets its share of it.
    if let squareNorm = prepared.squareNorm {
      for part in prepared.parts { part.addProduct(to: block, rows: range, columns: columns) }
      return (weightSquare, squareNorm * Double(range.count) / Double(rows))
    }
    return withScratch(block.count) { original in
      withScratch(block.count) { changed in
        original.baseAddress!.update(from: block.baseAddress!, count: block.count)
        for part in prepared.parts {
          part.add(to: block, original: original, scratch: changed, rows: range, columns: columns)
        }
        return (weightSquare, Self.squareDistance(block, original))
      }
    }
  }

  /// Σ (x − y)².
  static func squareDistance(_ x: UnsafeMutableBufferPointer<Float>, _ y: UnsafeMutableBufferPointer<Float>) -> Double {
    var total = 0.0
    let lanes = 16
    let left = UnsafeRawPointer(x.baseAddress!)
    let right = UnsafeRawPointer(y.baseAddress!)
    // Float32 sums over short runs, added in double.
    for start in stride(from: 0, to: x.count, by: 4096) {
      let end = min(start + 4096, x.count)
      var sum = SIMD16<Float>(repeating: 0)
      var i = start
      while i + lanes <= end {
        let difference =
          left.loadUnaligned(fromByteOffset: i * 4, as: SIMD16<Float>.self)
          - right.loadUnaligned(fromByteOffset: i * 4, as: SIMD16<Float>.self)
        sum += difference * difference
        i += lanes
      }
      total += Double(sum.sum())
      while i < end {
        let difference = Double(x[i]) - Double(y[i])
        total += difference * difference
        i += 1
      }
    }
    return total
  }

  private func prepare() throws -> PreparedChange {
    try lock.withLock {
      if let prepared { return prepared }
      let result = try PreparedChange(parts.map { try PreparedPart($0, weight: weight, rows: rows, columns: columns) })
      prepared = result
      return result
    }
  }

  private func finish(_ count: Int) {
    lock.withLock {
      rowsLeft -= count
      if rowsLeft == 0 { prepared = nil }
    }
  }
}

/// All parts, with their factors in memory.
private struct PreparedChange {
  let parts: [PreparedPart]
  /// ‖Σ products‖², where there is nothing else.
  let squareNorm: Double?

  init(_ parts: [PreparedPart]) {
    self.parts = parts
    squareNorm =
      parts.allSatisfy(\.isProduct)
      ? parts.reduce(0) { sum, part in parts.reduce(sum) { $0 + part.innerProduct($1) } } : nil
  }
}

/// One part of a change.
private struct PreparedPart {
  private enum Kind {
    case product
    case magnitude(Tensor, columnNorms: Tensor?)
    case vector(Tensor)
    case replacement(StoredTensor)
  }

  private let kind: Kind
  private let coefficient: Float
  private let scale: Float
  private let a: Tensor
  private let b: Tensor
  private let isTransposed: Bool

  init(_ part: WeightChange.Part, weight: StoredTensor, rows: Int, columns: Int) throws {
    switch part {
    case .product(let module, let coefficient, let isTransposed),
      .magnitude(let module, let coefficient, let isTransposed):
      (a, b) = try module.factors()
      self.isTransposed = isTransposed
      self.coefficient = Float(coefficient)
      scale = Float(module.scale)
    case .vector(_, let coefficient), .replacement(_, let coefficient):
      (a, b, isTransposed) = (.zeros([0, 0]), .zeros([0, 0]), false)
      self.coefficient = Float(coefficient)
      scale = 1
    }
    switch part {
    case .product: kind = .product
    case .vector(let vector, _): kind = .vector(try vector.tensor())
    case .replacement(let tensor, _): kind = .replacement(tensor)
    case .magnitude(let module, _, let isTransposed):
      let magnitude = try module.magnitude!.tensor()
      kind = .magnitude(
        magnitude,
        columnNorms: isTransposed
          ? Self.columnNorms(weight, a: a, b: b, scale: scale, rows: rows, columns: columns) : nil)
    }
  }

  var isProduct: Bool {
    if case .product = kind { true } else { false }
  }

  /// ⟨c₁B₁A₁, c₂B₂A₂⟩ = c₁ c₂ ⟨B₁ᵀB₂, A₁A₂ᵀ⟩.
  func innerProduct(_ other: PreparedPart) -> Double {
    let ofB = b.matmul(other.b, transposeSelf: true).scalars
    let ofA = a.matmul(other.a, transposeOther: true).scalars
    let factor = Double(coefficient) * Double(scale) * Double(other.coefficient) * Double(other.scale)
    return factor * zip(ofA, ofB).reduce(0) { $0 + Double($1.0) * Double($1.1) }
  }

  func addProduct(to block: UnsafeMutableBufferPointer<Float>, rows: Range<Int>, columns: Int) {
    Self.addProduct(
      factor: coefficient * scale, a: a, b: b, isTransposed: isTransposed, to: block, rows: rows, columns: columns)
  }

  /// block += factor · (BA)[rows, :], or of its transpose.
  private static func addProduct(
    factor: Float, a: Tensor, b: Tensor, isTransposed: Bool, to block: UnsafeMutableBufferPointer<Float>,
    rows: Range<Int>, columns: Int
  ) {
    let rank = a.shape[0]
    let inputs = a.shape[1]
    a.withUnsafeBufferPointer { a in
      b.withUnsafeBufferPointer { b in
        if isTransposed {
          ck_gemm(
            true, true, rows.count, columns, rank, factor, a.baseAddress! + rows.lowerBound, inputs, b.baseAddress!,
            rank, 1, block.baseAddress!, columns)
        } else {
          ck_gemm(
            false, false, rows.count, columns, rank, factor, b.baseAddress! + rows.lowerBound * rank, rank,
            a.baseAddress!, inputs, 1, block.baseAddress!, columns)
        }
      }
    }
  }

  /// block += coefficient · (what this part makes of `original` − original).
  func add(
    to block: UnsafeMutableBufferPointer<Float>, original: UnsafeMutableBufferPointer<Float>,
    scratch: UnsafeMutableBufferPointer<Float>, rows: Range<Int>, columns: Int
  ) {
    switch kind {
    case .product:
      addProduct(to: block, rows: rows, columns: columns)
      return
    case .vector(let vector):
      vector.withUnsafeBufferPointer {
        ck_accumulate($0.baseAddress! + rows.lowerBound, coefficient, block.baseAddress!, block.count)
      }
      return
    case .replacement(let tensor):
      tensor.read(rows.lowerBound * columns..<rows.upperBound * columns, into: scratch)
    case .magnitude(let magnitude, let columnNorms):
      scratch.baseAddress!.update(from: original.baseAddress!, count: original.count)
      Self.addProduct(factor: scale, a: a, b: b, isTransposed: isTransposed, to: scratch, rows: rows, columns: columns)
      let magnitudes = magnitude.scalars
      if let norms = columnNorms?.scalars {
        let ratios = zip(magnitudes, norms).map { $0 / $1 }
        for row in 0..<rows.count {
          for column in 0..<columns { scratch[row * columns + column] *= ratios[column] }
        }
      } else {
        for row in 0..<rows.count {
          let start = scratch.baseAddress! + row * columns
          let norm = Float(ck_sum_of_squares(start, columns).squareRoot())
          ck_affine(start, magnitudes[rows.lowerBound + row] / norm, 0, start, columns)
        }
      }
    }
    if coefficient == 1 && Self.isEqual(block, original) {
      // The only change so far: taken as it is, without rounding a difference.
      block.baseAddress!.update(from: scratch.baseAddress!, count: block.count)
    } else {
      ck_accumulate(scratch.baseAddress!, coefficient, block.baseAddress!, block.count)
      ck_accumulate(original.baseAddress!, -coefficient, block.baseAddress!, block.count)
    }
  }

  private static func isEqual(_ x: UnsafeMutableBufferPointer<Float>, _ y: UnsafeMutableBufferPointer<Float>) -> Bool {
    memcmp(x.baseAddress!, y.baseAddress!, x.count * MemoryLayout<Float>.stride) == 0
  }

  /// The norms of V's columns, for weights stored as [in, out]: a pass over the whole weight of its own.
  private static func columnNorms(
    _ weight: StoredTensor, a: Tensor, b: Tensor, scale: Float, rows: Int, columns: Int
  ) -> Tensor {
    var squares = [Double](repeating: 0, count: columns)
    let step = max(1, (1 << 18) / columns)
    for start in stride(from: 0, to: rows, by: step) {
      let range = start..<min(start + step, rows)
      withScratch(range.count * columns) { block in
        weight.read(range.lowerBound * columns..<range.upperBound * columns, into: block)
        addProduct(factor: scale, a: a, b: b, isTransposed: true, to: block, rows: range, columns: columns)
        for row in 0..<range.count {
          for column in 0..<columns {
            let value = Double(block[row * columns + column])
            squares[column] += value * value
          }
        }
      }
    }
    return Tensor(shape: [columns], scalars: squares.map { Float($0.squareRoot()) })
  }
}
