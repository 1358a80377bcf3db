// A file of named tensors that is being written, whatever its format.

/// Tensors get their places one after the other; their bytes may then be written in any order and from several threads.
public protocol TensorWriter: Sendable {
  /// A tensor's place, counted in bytes from where tensors begin.
  ///
  /// - Throws: ``CheckpointError`` where it can't have one: one name, one tensor.
  func place(_ tensor: TensorInfo) throws -> Range<Int>
  /// Writes bytes at a place given by ``place(_:)``, or within it.
  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws
  /// Writes some of a tensor's bytes, as they are stored, at such a place.
  func write(_ tensor: StoredTensor, bytes: Range<Int>, at offset: Int) throws
  /// Makes the file appear, once all is written.
  func finish() throws
}

extension TensorWriter {
  /// Places a tensor and writes it as it is stored, its rows in their order.
  public func append(_ tensor: StoredTensor) throws {
    let (place, tensor) = (try place(tensor.info), tensor.inOrder)
    // In pieces, so that a mapped file's pages don't pile up.
    let (piece, size) = (8 << 20, tensor.info.byteCount)
    for start in stride(from: 0, to: size, by: piece) {
      try write(tensor, bytes: start..<min(start + piece, size), at: place.lowerBound + start)
    }
  }
}
