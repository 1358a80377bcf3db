// What a fine-tune changed in one weight: tuned − base, as a matrix or, where that would be too large, in blocks.

import Foundation
import LoRAAdapters
import LoRACKernels
import LoRAFiles
import LoRAFormats
import LoRALinearAlgebra
import LoRATensors

/// tuned − base of one module, as the matrix that is stored: [rows, columns].
struct ModuleDifference {
  /// Numbers up to which several differences may be in memory at once, one for each thread.
  static let largestInParallel = 1 << 22
  /// Numbers up to which a difference is formed at all (128 MB).
  static let largestInMemory = 1 << 25

  private enum Form {
    case matrix(Tensor)
    /// With what reads a block.
    case blocks(RowBlocks, (Range<Int>) -> Tensor)
  }

  private let form: Form
  /// ‖tuned − base‖² and ‖base‖².
  let squareNorm: Double
  let baseSquareNorm: Double

  init(_ module: ExtractionPlan.Module) throws {
    let (rows, columns) = (module.rows, module.columns)
    var difference = 0.0
    var base = 0.0
    if rows * columns <= Self.largestInMemory {
      let matrix = Tensor(shape: [rows, columns]) { buffer in
        let step = max(1, (1 << 17) / columns)
        for start in stride(from: 0, to: rows, by: step) {
          let range = start..<min(start + step, rows)
          let block = UnsafeMutableBufferPointer(
            rebasing: buffer[range.lowerBound * columns..<range.upperBound * columns])
          base += module.readDifference(rows: range, into: block)
        }
      }
      difference = matrix.withUnsafeBufferPointer { ck_sum_of_squares($0.baseAddress!, $0.count) }
      form = .matrix(matrix)
    } else {
      let step = max(1, (1 << 21) / columns)
      let read = { (range: Range<Int>) in
        Tensor(shape: [range.count, columns]) { _ = module.readDifference(rows: range, into: $0) }
      }
      let blocks = RowBlocks(rows: rows, columns: columns, blockRows: step, read)
      for start in stride(from: 0, to: rows, by: step) {
        let range = start..<min(start + step, rows)
        withScratch(range.count * columns) { block in
          base += module.readDifference(rows: range, into: block)
          difference += ck_sum_of_squares(block.baseAddress!, block.count)
        }
      }
      form = .blocks(blocks, read)
    }
    module.base.release()
    module.tuned.release()
    squareNorm = difference
    baseSquareNorm = base
    guard difference.isFinite else {
      throw CheckpointError(
        .number, file: "", "\(module.path): a weight holds NaN or infinity, or the difference overflows",
        expected: "finite numbers", advice: Advice("Inspect both to see which", .inspect))
    }
  }

  func factors(rank: Int, options: Extraction.Options) throws -> LowRankFactors {
    let oversampling = options.oversampling(rank: rank)
    let powerIterations = options.powerIterations(rank: rank)
    switch form {
    case .matrix(let matrix):
      // Where a sketch would be as wide as the matrix, the exact decomposition is faster.
      if min(matrix.shape[0], matrix.shape[1]) <= rank + oversampling { return try matrix.svd().truncated(to: rank) }
      return try matrix.randomizedSVD(
        rank: rank, oversampling: oversampling, powerIterations: powerIterations, seed: options.seed)
    case .blocks(let blocks, _):
      return try blocks.randomizedSVD(
        rank: rank, oversampling: oversampling, powerIterations: powerIterations, seed: options.seed)
    }
  }

  /// The smallest rank that keeps `energy` of the squared norm.
  func factors(energy: Double, atMost limit: Int, options: Extraction.Options) throws -> LowRankFactors {
    let factors = try factors(rank: limit, options: options)
    var kept = 0.0
    for (index, value) in factors.singularValues.enumerated() {
      kept += Double(value) * Double(value)
      // A difference of norms in float32 can't tell more than about 1e-6.
      if kept >= (energy - 1e-6) * squareNorm { return factors.truncated(to: index + 1) }
    }
    return factors
  }

  /// ‖D − U S Vᵀ‖. With U from an orthonormal basis Q, U S Vᵀ is a part of QQᵀD, so the squares add up.
  func residual(_ factors: LowRankFactors) -> Double {
    let kept = factors.singularValues.reversed().reduce(0) { $0 + Double($1) * Double($1) }
    let rest = squareNorm - kept
    if rest > 1e-4 * squareNorm { return rest.squareRoot() }
    // The difference of the squares has lost its digits: measure it, in blocks of rows.
    let right = factors.vTransposed
    let left = factors.left().b
    return rows.reduce(0) { sum, range in
      let difference = read(range)
      return sum + (difference - left.sliced(axis: 0, range).matmul(right)).norm.squared
    }.squareRoot()
  }

  /// Ranges of rows that together make up the matrix.
  private var rows: [Range<Int>] {
    let (count, columns) =
      switch form {
      case .matrix(let matrix): (matrix.shape[0], matrix.shape[1])
      case .blocks(let blocks, _): (blocks.rows, blocks.columns)
      }
    let step = max(1, (1 << 20) / columns)
    return stride(from: 0, to: count, by: step).map { $0..<min($0 + step, count) }
  }

  private func read(_ rows: Range<Int>) -> Tensor {
    switch form {
    case .matrix(let matrix): matrix.sliced(axis: 0, rows)
    case .blocks(_, let read): read(rows)
    }
  }
}

extension Double {
  fileprivate var squared: Double { self * self }
}

extension ExtractionPlan.Module {
  /// tuned − base for some rows; returns ‖base‖² of them.
  func readDifference(rows range: Range<Int>, into block: UnsafeMutableBufferPointer<Float>) -> Double {
    let numbers = range.lowerBound * columns..<range.upperBound * columns
    tuned.read(numbers, into: block)
    return withScratch(block.count) { original in
      base.read(numbers, into: original)
      ck_accumulate(original.baseAddress!, -1, block.baseAddress!, block.count)
      return ck_sum_of_squares(original.baseAddress!, original.count)
    }
  }
}
