import CKernels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Cosines and sines of the angles by which rotary positions turn each pair of a head's elements (Su et al. 2021).
public struct RotaryTable: Sendable {
  /// [positions, head size / 2]
  package let cosines: Tensor
  package let sines: Tensor

  /// - Parameters:
  ///   - frequencies: by pair, the angle in radians per position.
  ///   - positions: how many positions there are.
  ///   - factor: what both tables are multiplied by (YaRN's attention factor).
  public init(frequencies: [Float], positions: Int, factor: Float = 1) {
    let shape = [positions, frequencies.count]
    func table(_ function: (Double) -> Double) -> Tensor {
      Tensor(shape: shape) { out in
        for position in 0..<positions {
          for (pair, frequency) in frequencies.enumerated() {
            // The angle in float32, as the models were trained with it.
            out[position * frequencies.count + pair] =
              Float(function(Double(Float(position) * frequency))) * factor
          }
        }
      }
    }
    cosines = table { cos($0) }
    sines = table { sin($0) }
  }

  public var positions: Int { cosines.shape[0] }
}

extension Tensor {
  /// Each head's elements d and d + size/2, as a pair, turned by the angle of the row's position:
  /// (a, b) ↦ (a cos − b sin, b cos + a sin). self: [rows, heads, size].
  public func rotated(by table: RotaryTable, at positions: [Int]) -> Tensor {
    precondition(
      rank == 3 && shape[0] == positions.count && shape[2] == 2 * table.cosines.shape[1],
      "rotated: \(shape), \(positions.count) positions and angles for \(table.cosines.shape[1]) pairs do not fit")
    precondition(
      positions.allSatisfy { $0 >= 0 && $0 < table.positions },
      "rotated: a position lies outside 0..<\(table.positions)")
    let index = positions.map(Int32.init)
    return turned(table, index, back: false).recorded(.rotary, self, Derivative.rotary(table, index))
  }

  func turned(_ table: RotaryTable, _ positions: [Int32], back: Bool) -> Tensor {
    Tensor(shape: shape) {
      ck_rotary(
        pointer, positions, table.cosines.pointer, table.sines.pointer, back, $0.baseAddress, shape[0], shape[1],
        shape[2])
    }
  }
}
