import LoRACKernels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Cosines and sines of the angles by which rotary positions turn each pair of a head's elements (Su et al. 2021).
public struct RotaryTable: Sendable {
  /// The positions that the rows stand for.
  public let positions: Range<Int>
  /// [positions, head size / 2]
  let cosines: Tensor
  let sines: Tensor

  /// - Parameters:
  ///   - frequencies: by pair, the angle in radians per position.
  ///   - positions: those that are asked for.
  ///   - scale: what cosines and sines are multiplied by.
  public init(frequencies: [Float], positions: Range<Int>, scale: Float = 1) {
    self.positions = positions
    let shape = [positions.count, frequencies.count]
    func table(_ function: (Double) -> Double) -> Tensor {
      Tensor(shape: shape) { out in
        for (row, position) in positions.enumerated() {
          for (pair, frequency) in frequencies.enumerated() {
            // The angle in float32, as the models were trained with it.
            out[row * frequencies.count + pair] = scale * Float(function(Double(Float(position) * frequency)))
          }
        }
      }
    }
    cosines = table { cos($0) }
    sines = table { sin($0) }
  }
}

extension Tensor {
  /// Each head's elements d and d + n/2, as a pair, turned by the angle of the row's position:
  /// (a, b) ↦ (a cos − b sin, b cos + a sin). self: [rows, heads, size]; n is twice the number of the table's pairs, and
  /// the elements after the first n stay.
  public func rotated(by table: RotaryTable, at positions: [Int]) -> Tensor {
    expect(
      rank == 3 && shape[0] == positions.count && shape[2] >= 2 * table.cosines.shape[1],
      "rotated: \(shape), \(positions.count) positions and angles for \(table.cosines.shape[1]) pairs do not fit")
    expect(
      positions.allSatisfy(table.positions.contains), "rotated: a position lies outside \(table.positions)")
    let index = positions.map { Int32($0 - table.positions.lowerBound) }
    return turned(table, index, back: false).recorded(.rotary, self, Derivative.rotary(table, index))
  }

  func turned(_ table: RotaryTable, _ tableRows: [Int32], back: Bool) -> Tensor {
    let x = widened
    return Tensor(shape: shape) {
      ck_rotary(
        x.pointer, tableRows, table.cosines.pointer, table.sines.pointer, back, $0.baseAddress, shape[0], shape[1],
        shape[2], 2 * table.cosines.shape[1])
    }
  }
}
