import LoRACKernels

extension Tensor {
  /// Whether the elements lie in blocks of few bits whose products can be products of bytes (GGUF's Q8_0 to Q6_K).
  public var isInBlocks: Bool { storage.encoded?.isOfBlocks ?? false }

  /// The same matrix; where it lies in blocks, the linear map by it rounds its input to 8 bits a number, and multiplies
  /// bytes.
  ///
  /// Of 32 numbers of the input the largest magnitude becomes 127, so that each is off by at most 1/254 of it. What is
  /// stored counts as it is. Products and their sums within a block are integers: every processor gives the same bits.
  public var inBytes: Tensor {
    guard let encoded = storage.encoded, encoded.isOfBlocks, storage.precision != .int8 else { return self }
    return Tensor(storage: Storage(encoded, precision: .int8), shape: shape)
  }
}

extension EncodedMatrix {
  fileprivate var isOfBlocks: Bool { ck_multiplies_bytes(matrix.encoding) }
}
