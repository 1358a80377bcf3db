// Questions that take all of a tensor's bytes, asked without holding them.

import Foundation
import LoRACKernels

extension StoredTensor {
  /// Whether two tensors of the same size are the same bit for bit.
  package func hasSameBytes(as other: StoredTensor) -> Bool {
    if encoded != nil || other.encoded != nil { return hasSameValues(as: other) }
    return withBytes { x in
      other.withBytes { y in
        x.count == y.count && (x.count == 0 || memcmp(x.baseAddress!, y.baseAddress!, x.count) == 0)
      }
    }
  }

  /// Of numbers that are codes and scales, what counts is what they stand for.
  private func hasSameValues(as other: StoredTensor) -> Bool {
    guard count == other.count, format == other.format else { return false }
    let piece = 1 << 18
    for start in stride(from: 0, to: count, by: piece) {
      let range = start..<min(start + piece, count)
      let isSame = withScratch(range.count) { x in
        withScratch(range.count) { y in
          read(range, into: x)
          other.read(range, into: y)
          return memcmp(x.baseAddress!, y.baseAddress!, range.count * MemoryLayout<Float>.stride) == 0
        }
      }
      if !isSame { return false }
    }
    return true
  }

  /// Whether two tensors hold the same numbers in the same format and shape.
  package func hasSameNumbers(as other: StoredTensor) -> Bool {
    shape == other.shape && format == other.format && hasSameBytes(as: other)
  }

  /// Whether all numbers are finite; read in pieces, so that memory stays small.
  package var isFinite: Bool {
    let piece = 1 << 20
    for start in stride(from: 0, to: count, by: piece) {
      let range = start..<min(start + piece, count)
      let isFinite = withScratch(range.count) { block in
        read(range, into: block)
        return ck_all_finite(block.baseAddress!, block.count)
      }
      release(numbers: range)
      if !isFinite { return false }
    }
    return true
  }
}

extension StoredTensor {
  /// Its numbers, whatever their format, integers too; nil for formats below a byte and 8-bit floats.
  package var numbers: [Double]? {
    func read<Number>(_ type: Number.Type, _ convert: (Number) -> Double) -> [Double] {
      withBytes { bytes in
        (0..<count).map { convert(bytes.loadUnaligned(fromByteOffset: $0 * MemoryLayout<Number>.stride, as: type)) }
      }
    }
    switch format {
    case .i8: return read(Int8.self, Double.init)
    case .u8, .bool: return read(UInt8.self, Double.init)
    case .i16: return read(Int16.self, Double.init)
    case .u16: return read(UInt16.self, Double.init)
    case .i32: return read(Int32.self, Double.init)
    case .u32: return read(UInt32.self, Double.init)
    case .i64: return read(Int64.self, Double.init)
    case .u64: return read(UInt64.self, Double.init)
    case .f64: return read(Double.self) { $0 }
    default: return (try? tensor())?.scalars.map(Double.init)
    }
  }
}
