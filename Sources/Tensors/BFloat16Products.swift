import LoRACKernels

/// In which numbers products with frozen weights, and those of attention, are computed. Sums are float32 in any case.
public enum Precision: String, CaseIterable, Sendable {
  /// Both factors in float32; weights that are stored as bfloat16 are widened block by block.
  case float32 = "f32"
  /// Both factors rounded to bfloat16, which has the range of float32 and 8 bits of precision.
  case bfloat16 = "bf16"
  /// Where weights lie in blocks of few bits (GGUF's Q8_0 to Q6_K), the other factor is rounded to 8 bits, with a scale for
  /// each 32 numbers, and bytes are multiplied; other weights multiply in float32. As llama.cpp does, with fewer scales.
  case int8

  /// Whether this CPU multiplies bfloat16 faster than float32 (AVX-512 BF16: twice; AMX: many times). Elsewhere `bfloat16`
  /// gives the same results within rounding, and saves memory alone.
  public static var isBFloat16Fast: Bool { ck_multiplies_bfloat16() }
}

extension Tensor {
  /// Whether the elements lie in memory as bfloat16.
  public var isBFloat16: Bool { storage.narrow != nil }

  /// In which numbers products with it are computed.
  public var precision: Precision { storage.precision }

  /// The same matrix, rounded to bfloat16 where it is not that yet: half the memory. Products with it round the other
  /// factor too, and sum in float32; everything else widens it. What is encoded stays so, and is decoded to bfloat16.
  ///
  /// Rounding is to nearest, ties to even; its relative error is at most 2⁻⁹.
  public var inBFloat16: Tensor {
    guard !storage.rounds else { return self }
    if let encoded = storage.encoded { return Tensor(storage: Storage(encoded, precision: .bfloat16), shape: shape) }
    if let narrow = storage.narrow {
      return Tensor(
        storage: Storage(borrowingBFloat16: narrow, count: count, owner: storage, precision: .bfloat16), shape: shape)
    }
    let block = BFloat16Block(count: count) { ck_f32_to_bf16(storage.base, $0, count) }
    storage.releasePages()
    return Tensor(
      storage: Storage(borrowingBFloat16: block.base, count: count, owner: block, precision: .bfloat16), shape: shape)
  }
}

/// The memory of rounded elements.
final class BFloat16Block {
  let base: UnsafePointer<UInt16>
  private let bytes: Int

  /// - Parameter body: writes every element.
  init(count: Int, initializedWith body: (UnsafeMutablePointer<UInt16>) -> Void) {
    bytes = count * MemoryLayout<UInt16>.stride
    let memory = ck_allocate(bytes)!.assumingMemoryBound(to: UInt16.self)
    body(memory)
    base = UnsafePointer(memory)
  }

  deinit { ck_deallocate(UnsafeMutableRawPointer(mutating: base), bytes) }
}
