// Questions that take all of a tensor's bytes, asked without holding them.

import CKernels
import Foundation

extension StoredTensor {
  /// Whether two tensors of the same size are the same bit for bit.
  package func hasSameBytes(as other: StoredTensor) -> Bool {
    withBytes { x in
      other.withBytes { y in
        x.count == y.count && (x.count == 0 || memcmp(x.baseAddress!, y.baseAddress!, x.count) == 0)
      }
    }
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
      release(bytes: range.lowerBound * format.bits / 8..<range.upperBound * format.bits / 8)
      if !isFinite { return false }
    }
    return true
  }
}
