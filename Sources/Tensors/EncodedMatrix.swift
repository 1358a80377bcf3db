import LoRACKernels

/// A matrix whose numbers stay as they are stored, in few bits each, and are decoded where float32 is needed: products
/// decode it tile by tile into cache, so that it is never whole in memory as float32.
///
/// What the codes mean, and where their scales lie, is the kernels' `ck_encoded`, which this keeps valid.
package final class EncodedMatrix: @unchecked Sendable {
  /// [rows, columns]; all axes but the last count as rows.
  package var rows: Int { matrix.rows }
  package var columns: Int { matrix.columns }
  /// How many numbers it has.
  package var count: Int { rows * columns }
  /// Bytes of codes, scales and all else that is stored.
  package let byteCount: Int
  /// In memory of its own, which products point to.
  private let pointer: UnsafeMutablePointer<ck_encoded>
  /// What keeps codes, scales and tables valid and unchanged.
  private let owners: [AnyObject]

  package var matrix: ck_encoded { pointer.pointee }
  var address: UnsafePointer<ck_encoded> { UnsafePointer(pointer) }

  /// - Parameters:
  ///   - matrix: every pointer in it leads to as much memory as its rows and columns need.
  ///   - byteCount: bytes of that memory.
  ///   - owners: what keeps the memory.
  package init(_ matrix: ck_encoded, byteCount: Int, owners: [AnyObject]) {
    pointer = .allocate(capacity: 1)
    pointer.initialize(to: matrix)
    self.byteCount = byteCount
    self.owners = owners
  }

  deinit { pointer.deallocate() }

  /// Decodes whole rows.
  ///
  /// - Parameter destination: room for them, one after the other.
  package func decode(rows range: Range<Int>, into destination: UnsafeMutablePointer<Float>) {
    expect(
      range.lowerBound >= 0 && range.upperBound <= rows, "EncodedMatrix: rows \(range) of \(rows) can't be decoded")
    nonisolated(unsafe) let destination = destination
    let pieces = min(range.count, max(1, range.count * columns >> 16))
    inPieces(pieces) { [self] piece in
      let begin = range.lowerBound + range.count * piece / pieces
      let end = range.lowerBound + range.count * (piece + 1) / pieces
      ck_decode_rows(pointer, begin, end, destination + (begin - range.lowerBound) * columns, columns)
    }
  }

  /// Decodes rows by index.
  func decode(rowsAt indices: [Int32], into destination: UnsafeMutablePointer<Float>) {
    ck_decode_rows_at(pointer, indices, indices.count, destination)
  }

  /// Decodes numbers `range`, counted in row-major order.
  package func decode(_ range: Range<Int>, into destination: UnsafeMutablePointer<Float>) {
    guard !range.isEmpty else { return }
    let (first, last) = (range.lowerBound / columns, (range.upperBound - 1) / columns)
    var place = destination
    func part(of row: Int) {
      let wanted = range.clamped(to: row * columns..<(row + 1) * columns)
      withUnsafeTemporaryAllocation(of: Float.self, capacity: columns) { whole in
        ck_decode_rows(pointer, row, row + 1, whole.baseAddress!, columns)
        place.update(from: whole.baseAddress! + (wanted.lowerBound - row * columns), count: wanted.count)
      }
      place += wanted.count
    }
    let isHeadWhole = range.lowerBound % columns == 0
    let isTailWhole = range.upperBound % columns == 0
    if first == last && !(isHeadWhole && isTailWhole) { return part(of: first) }
    if !isHeadWhole { part(of: first) }
    let whole = (isHeadWhole ? first : first + 1)..<(isTailWhole ? last + 1 : last)
    decode(rows: whole, into: place)
    place += whole.count * columns
    if !isTailWhole { part(of: last) }
  }
}

/// Runs `body` for 0..<count on the kernels' threads.
private func inPieces(_ count: Int, _ body: @Sendable (Int) -> Void) {
  guard count > 1 else {
    if count == 1 { body(0) }
    return
  }
  withoutActuallyEscaping(body) { body in
    var body = body
    withUnsafeMutablePointer(to: &body) { pointer in
      ck_parallel(
        Int32(count),
        { context, piece in context!.assumingMemoryBound(to: (@Sendable (Int) -> Void).self).pointee(Int(piece)) },
        pointer)
    }
  }
}
