// What happens to one of a base's tensors in a merge, worked out rows at a time in float32.

import Foundation
import LoRAAdapters
import LoRACKernels
import LoRAFiles
import LoRAFormats
import LoRATensors

/// The changes to one tensor. For a block of its rows, W becomes W + Σ coefficient · (what a part makes of W − W).
///
/// Transforms are prepared when the first block asks for them and let go after the last one, so that no more than a few
/// modules' factors are in memory.
final class WeightChange: @unchecked Sendable {
  /// One adapter's change of a tensor, or of some of its rows.
  struct Part {
    let coefficient: Double
    /// The rows of the tensor that it changes; nil: all.
    var rows: Range<Int>?
    /// The rows of the module's weight that lie there; nil: as many, from the first.
    var moduleRows: Range<Int>?
    /// Whether the transform mixes rows, so that it must see all of them at once.
    var mixesRows = false
    let prepare: @Sendable (WeightMatrix) throws -> any WeightTransform
    var isTransposed = false
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

  /// Ranges of rows to work out one by one; of a weight whose rows lie in another order within heads, whole heads.
  func blocks(of head: Int) -> [Range<Int>] {
    guard rows * columns > 0 else { return [] }
    let unit = max(head, 1)
    let step = parts.contains(where: \.mixesRows) ? rows : max(1, (1 << 19) / columns / unit) * unit
    return stride(from: 0, to: rows, by: step).map { $0..<min($0 + step, rows) }
  }

  /// Pieces of so many numbers that stay in a processor's nearer caches from one pass to the next; whole blocks of every
  /// format.
  static func pieces(_ count: Int) -> [Range<Int>] {
    stride(from: 0, to: count, by: 1 << 15).map { $0..<min($0 + 1 << 15, count) }
  }

  /// W for the rows `range`, and W + Δ in the same place afterwards.
  ///
  /// - Returns: ‖W‖² and ‖Δ‖² of the block.
  func apply(to block: UnsafeMutableBufferPointer<Float>, rows range: Range<Int>) throws -> (
    weight: Double, update: Double
  ) {
    let prepared = try prepare()
    defer { finish(range.count) }
    var weightSquare = 0.0
    for piece in Self.pieces(block.count) {
      let numbers = UnsafeMutableBufferPointer(rebasing: block[piece])
      let first = range.lowerBound * columns + piece.lowerBound
      weight.read(first..<first + piece.count, into: numbers)
      weightSquare += ck_sum_of_squares(numbers.baseAddress!, numbers.count)
    }
    // Products alone add up in place, and their norm comes from the factors; each block gets its share of it.
    if let products = prepared.products {
      for (product, coefficient) in products.parts {
        product.add(to: block.baseAddress!, rows: range, columns: columns, coefficient: coefficient)
      }
      return (weightSquare, products.squareNorm * Double(range.count) / Double(rows))
    }
    let original = Tensor(shape: [range.count, columns]) { _ = $0.update(fromContentsOf: block) }
    for (index, part) in prepared.parts.enumerated() {
      part.apply(to: block, original: original, rows: range, isFirst: index == 0)
    }
    return (weightSquare, original.withUnsafeBufferPointer { Self.squareDistance(UnsafeBufferPointer(block), $0) })
  }

  /// Σ (x − y)².
  static func squareDistance(_ x: UnsafeBufferPointer<Float>, _ y: UnsafeBufferPointer<Float>) -> Double {
    sum(x.count) { i in
      let difference = lanes(x, i) - lanes(y, i)
      return difference * difference
    } rest: { i in
      let difference = Double(x[i]) - Double(y[i])
      return difference * difference
    }
  }

  /// Σ (x − origin) (y − origin).
  static func innerProduct(
    _ x: UnsafeBufferPointer<Float>, _ y: UnsafeBufferPointer<Float>, from origin: UnsafeBufferPointer<Float>
  ) -> Double {
    sum(x.count) { i in
      let zero = lanes(origin, i)
      return (lanes(x, i) - zero) * (lanes(y, i) - zero)
    } rest: { i in
      (Double(x[i]) - Double(origin[i])) * (Double(y[i]) - Double(origin[i]))
    }
  }

  /// Float32 sums over short runs, added in double: of 16 terms at a time, and of single ones at the end.
  @inline(__always)
  private static func sum(_ count: Int, _ terms: (Int) -> SIMD16<Float>, rest: (Int) -> Double) -> Double {
    var total = 0.0
    for start in stride(from: 0, to: count, by: 4096) {
      let end = min(start + 4096, count)
      var sum = SIMD16<Float>(repeating: 0)
      var i = start
      while i + 16 <= end {
        sum += terms(i)
        i += 16
      }
      total += Double(sum.sum())
      while i < end {
        total += rest(i)
        i += 1
      }
    }
    return total
  }

  @inline(__always)
  private static func lanes(_ x: UnsafeBufferPointer<Float>, _ index: Int) -> SIMD16<Float> {
    UnsafeRawPointer(x.baseAddress!).loadUnaligned(fromByteOffset: index * 4, as: SIMD16<Float>.self)
  }

  private func prepare() throws -> PreparedChange {
    try lock.withLock {
      if let prepared { return prepared }
      let result = PreparedChange(try parts.map { try PreparedPart($0, of: self) })
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

extension WeightChange.Part {
  /// What a module's method makes of a place of its weight; `file` is the adapter's, for errors.
  init(_ item: Placement.Item, of file: String, at place: WeightPlace, coefficient: Double) {
    let method = item.module.method
    self.init(
      coefficient: coefficient, rows: place.tensorRows, moduleRows: place.moduleRows,
      mixesRows: method.mixesRows,
      prepare: { weight in try CheckpointError.about(file) { try method.transform(of: weight) } },
      isTransposed: item.isTransposed)
  }

  /// What a module's method makes of its bias, [outputs, 1].
  init(biasOf method: any AdapterMethod, at place: WeightPlace, coefficient: Double) {
    self.init(
      coefficient: coefficient, rows: place.tensorRows,
      prepare: { matrix in
        let bias = matrix.read(0..<matrix.rows)
        let changed = try method.bias(bias.reshaped([matrix.rows]))
        let result = changed?.reshaped([matrix.rows, 1]) ?? bias
        return BlockTransform { _, rows in result.sliced(axis: 0, rows) }
      })
  }

  /// Another tensor of the same shape in the weight's place.
  init(replacement tensor: StoredTensor, coefficient: Double) {
    self.init(
      coefficient: coefficient,
      prepare: { matrix in
        let columns = matrix.columns
        return BlockTransform { block, rows in
          Tensor(shape: block.shape) { tensor.read(rows.lowerBound * columns..<rows.upperBound * columns, into: $0) }
        }
      })
  }
}

/// All parts, with their factors in memory.
private struct PreparedChange {
  let parts: [PreparedPart]
  /// The parts where all are products for the whole tensor, and ‖Σ products‖².
  let products: (parts: [(LowRankTransform, Float)], squareNorm: Double)?

  init(_ parts: [PreparedPart]) {
    self.parts = parts
    let products = parts.compactMap { part in
      part.isWhole ? (part.transform as? LowRankTransform).map { ($0, Float(part.coefficient)) } : nil
    }
    guard products.count == parts.count else {
      self.products = nil
      return
    }
    let squareNorm = products.reduce(0.0) { sum, one in
      products.reduce(sum) { $0 + Double(one.1) * Double($1.1) * one.0.innerProduct($1.0) }
    }
    self.products = (products, squareNorm)
  }
}

/// One part of a change.
private struct PreparedPart {
  let transform: any WeightTransform
  let coefficient: Double
  let isWhole: Bool
  private let rows: Range<Int>
  private let moduleStart: Int
  private let columns: Int

  init(_ part: WeightChange.Part, of change: WeightChange) throws {
    rows = part.rows ?? 0..<change.rows
    moduleStart = part.moduleRows?.lowerBound ?? 0
    isWhole = part.rows == nil && part.moduleRows == nil
    coefficient = part.coefficient
    columns = change.columns
    let (weight, columns, start) = (change.weight, change.columns, rows.lowerBound)
    let shape = part.rows.map { [$0.count] + weight.shape.dropFirst() } ?? weight.shape
    transform = try part.prepare(
      WeightMatrix(shape: shape, isTransposed: part.isTransposed) { range in
        Tensor(shape: [range.count, columns]) {
          weight.read((start + range.lowerBound) * columns..<(start + range.upperBound) * columns, into: $0)
        }
      })
  }

  /// block += coefficient · (what the transform makes of `original` − original).
  func apply(
    to block: UnsafeMutableBufferPointer<Float>, original: Tensor, rows blockRows: Range<Int>, isFirst: Bool
  ) {
    let shared = blockRows.clamped(to: rows)
    guard !shared.isEmpty else { return }
    let inBlock = shared.lowerBound - blockRows.lowerBound..<shared.upperBound - blockRows.lowerBound
    let start = shared.lowerBound - rows.lowerBound + moduleStart
    let piece = inBlock.count == blockRows.count ? original : original.sliced(axis: 0, inBlock)
    let changed = transform(piece, rows: start..<start + shared.count)
    let target = block.baseAddress! + inBlock.lowerBound * columns
    changed.withUnsafeBufferPointer { new in
      if isFirst && coefficient == 1 {
        // The only change so far: taken as it is, without rounding a difference.
        target.update(from: new.baseAddress!, count: new.count)
      } else {
        ck_accumulate(new.baseAddress!, Float(coefficient), target, new.count)
        piece.withUnsafeBufferPointer { ck_accumulate($0.baseAddress!, -Float(coefficient), target, $0.count) }
      }
    }
  }
}
