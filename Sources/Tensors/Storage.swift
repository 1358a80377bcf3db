import LoRACKernels

/// The memory behind tensors: a block of float32 from the kernels' pool, or memory that something else owns
/// (a mapped file) and that this storage keeps alive, of float32 or of bfloat16.
///
/// Invariants:
/// - Once a tensor that shares this storage is visible to others, the block is never written, except by
///   `Tensor.updateInPlace`, which first makes sure that nobody else holds it.
/// - bfloat16 is only ever borrowed. Matrix products and lookups of rows read it as it is, through `narrow`; everything
///   else reads a widened copy (`Tensor.widened`), since `base` refuses.
package final class Storage: @unchecked Sendable {
  package let count: Int
  private let memory: UnsafeMutableRawPointer
  private let owner: AnyObject?
  package let isNarrow: Bool
  /// Whether products with it, being bfloat16, round the other factor to that too.
  package let rounds: Bool

  /// A block of float32 with undefined contents.
  package init(count: Int) {
    self.memory = ck_allocate(count * MemoryLayout<Float>.stride)
    self.count = count
    self.owner = nil
    self.isNarrow = false
    self.rounds = false
  }

  /// Memory owned by `owner`, which must keep it valid and unchanged.
  package init(borrowing base: UnsafePointer<Float>, count: Int, owner: AnyObject) {
    self.memory = UnsafeMutableRawPointer(mutating: base)
    self.count = count
    self.owner = owner
    self.isNarrow = false
    self.rounds = false
  }

  /// The same with elements of bfloat16.
  package init(borrowingBFloat16 base: UnsafePointer<UInt16>, count: Int, owner: AnyObject, rounds: Bool = false) {
    self.memory = UnsafeMutableRawPointer(mutating: base)
    self.count = count
    self.owner = owner
    self.isNarrow = true
    self.rounds = rounds
  }

  /// The elements, of float32.
  package var base: UnsafeMutablePointer<Float> {
    expect(!isNarrow, "Storage.base: the elements are bfloat16; what reads float32 reads Tensor.widened")
    return memory.assumingMemoryBound(to: Float.self)
  }

  /// The elements where they are bfloat16, else nil.
  package var narrow: UnsafePointer<UInt16>? {
    isNarrow ? UnsafePointer(memory.assumingMemoryBound(to: UInt16.self)) : nil
  }

  package var isBorrowed: Bool { owner != nil }

  /// A block of its own with the same elements, as float32.
  package func copied() -> Storage {
    let copy = Storage(count: count)
    if let narrow { ck_bf16_to_f32(narrow, copy.base, count) } else { copy.base.update(from: base, count: count) }
    return copy
  }

  /// One element.
  package subscript(index: Int) -> Float {
    narrow.map { Float(bitPattern: UInt32($0[index]) << 16) } ?? base[index]
  }

  deinit {
    if owner == nil { ck_deallocate(memory, count * MemoryLayout<Float>.stride) }
  }
}
