// What a merge did to each tensor, in numbers.

import Foundation
import LoRAAdapters
import LoRAFiles
import LoRAFormats

/// The outcome of a merge.
public struct MergeReport: Sendable {
  /// What was merged into.
  public let base: URL
  /// The folder or file that was written; nil before that, and where the merge was only tried.
  public var output: URL?
  /// The tensors that changed.
  public var modules: [MergeFigures]
  /// How many tensors an adapter changed.
  public let changedTensors: Int
  /// The names of tensors that the base did not have.
  public let addedTensors: [String]
  /// How many tensors are the base's, byte by byte.
  public let copiedTensors: Int
  /// Bytes of all tensors written.
  public let byteCount: Int
  /// What is noteworthy about the adapters on this base.
  public internal(set) var findings: [Finding]

  /// All tensors that changed, taken as one.
  public var total: MergeFigures {
    modules.reduce(into: MergeFigures(tensor: "", weight: 0, update: 0)) { total, figures in total.add(figures) }
  }
}

/// How much a tensor changed, in squares of Frobenius norms.
public struct MergeFigures: Sendable {
  /// The tensor's name in the output.
  public let tensor: String
  /// The module's path in the adapter.
  public var path = ""
  /// How its numbers are stored in the output.
  public internal(set) var format = NumberFormat.f32
  var weight: Double
  var update: Double
  var rounding = 0.0
  /// The inner product of the meant change with the one that came about; nil where it was not asked for.
  var kept: Double?

  init(tensor: String, weight: Double, update: Double) {
    self.tensor = tensor
    self.weight = weight
    self.update = update
  }

  /// From the ``numbers`` of another process.
  init(tensor: String, format: NumberFormat, _ numbers: [Double]) {
    self.init(tensor: tensor, weight: numbers[0], update: numbers[1])
    (self.format, rounding, kept) = (format, numbers[2], numbers.dropFirst(3).first)
  }

  /// What is not known beforehand.
  var numbers: [Double] { [weight, update, rounding] + (kept.map { [$0] } ?? []) }

  /// ‖ΔW‖ / ‖W‖.
  public var relativeUpdate: Double { weight > 0 ? (update / weight).squareRoot() : .infinity }

  /// ‖round(W + ΔW) − (W + ΔW)‖ / ‖ΔW‖: how much of the update rounding to the output's format lost.
  public var lostToRounding: Double { update > 0 ? (rounding / update).squareRoot() : rounding > 0 ? .infinity : 0 }

  /// ‖round(W) − W‖ / ‖W‖, where nothing but the format changed.
  public var relativeError: Double { weight > 0 ? (rounding / weight).squareRoot() : 0 }

  /// Of a base and an output in blocks: the share of the update that the output has in the update's own direction, 1 where
  /// all of it came through; nil for other formats.
  public var keptShare: Double? { kept.map { update > 0 ? $0 / update : 1 } }

  mutating func add(_ other: MergeFigures) {
    if let more = other.kept { kept = (kept ?? 0) + more }
    weight += other.weight
    update += other.update
    rounding += other.rounding
  }
}

/// Gathers figures from threads, and adds up each tensor's blocks in their order so that sums don't depend on timing.
final class MergeAccount: @unchecked Sendable {
  private let lock = NSLock()
  private var blocks: [ExactString: [(start: Int, figures: MergeFigures)]] = [:]

  func add(_ figures: MergeFigures, rows: Range<Int>) {
    lock.withLock { blocks[figures.tensor, default: []].append((rows.lowerBound, figures)) }
  }

  var modules: [MergeFigures] {
    lock.withLock {
      blocks.map { name, blocks in
        blocks.sorted { $0.start < $1.start }
          .reduce(into: MergeFigures(tensor: name.text, weight: 0, update: 0)) {
            $0.add($1.figures)
            $0.format = $1.figures.format
          }
      }
    }
  }
}
