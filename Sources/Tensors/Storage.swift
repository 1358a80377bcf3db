import LoRACKernels

/// The memory behind tensors: a block of float32 from the kernels' pool, or memory that something else owns
/// (a mapped file) and that this storage keeps alive, of float32, of bfloat16, or encoded in fewer bits.
///
/// Invariants:
/// - Once a tensor that shares this storage is visible to others, the block is never written, except by
///   `Tensor.updateInPlace`, which first makes sure that nobody else holds it.
/// - bfloat16 and encoded numbers are only ever borrowed. Matrix products and lookups of rows read them as they are,
///   through `narrow` and `encoded`; everything else reads a widened copy (`Tensor.widened`), since `base` refuses.
package final class Storage: @unchecked Sendable {
  package let count: Int
  private let memory: UnsafeMutableRawPointer
  private let owner: AnyObject?
  /// Whether the elements are no float32.
  package let isNarrow: Bool
  /// Whether products with it, being bfloat16 or encoded, are of bfloat16 on both sides.
  package let rounds: Bool
  /// The elements where they are encoded, else nil.
  package let encoded: EncodedMatrix?

  /// A block of float32 with undefined contents.
  package init(count: Int) {
    self.memory = ck_allocate(count * MemoryLayout<Float>.stride)
    self.count = count
    self.owner = nil
    self.isNarrow = false
    self.rounds = false
    self.encoded = nil
  }

  /// Memory owned by `owner`, which must keep it valid and unchanged.
  package init(borrowing base: UnsafePointer<Float>, count: Int, owner: AnyObject) {
    self.memory = UnsafeMutableRawPointer(mutating: base)
    self.count = count
    self.owner = owner
    self.isNarrow = false
    self.rounds = false
    self.encoded = nil
  }

  /// The same with elements of bfloat16.
  package init(borrowingBFloat16 base: UnsafePointer<UInt16>, count: Int, owner: AnyObject, rounds: Bool = false) {
    self.memory = UnsafeMutableRawPointer(mutating: base)
    self.count = count
    self.owner = owner
    self.isNarrow = true
    self.rounds = rounds
    self.encoded = nil
  }

  /// Numbers that stay encoded.
  package init(_ encoded: EncodedMatrix, rounds: Bool = false) {
    self.memory = UnsafeMutableRawPointer(mutating: encoded.address)
    self.count = encoded.count
    self.owner = encoded
    self.isNarrow = true
    self.rounds = rounds
    self.encoded = encoded
  }

  /// The elements, of float32.
  package var base: UnsafeMutablePointer<Float> {
    expect(!isNarrow, "Storage.base: the elements are no float32; what reads float32 reads Tensor.widened")
    return memory.assumingMemoryBound(to: Float.self)
  }

  /// The elements where they are bfloat16, else nil.
  package var narrow: UnsafePointer<UInt16>? {
    isNarrow && encoded == nil ? UnsafePointer(memory.assumingMemoryBound(to: UInt16.self)) : nil
  }

  package var isBorrowed: Bool { owner != nil }

  /// Lets go of what was read, where it can be read again.
  package func releasePages() {
    (owner as? any RereadableMemory)?.release(
      UnsafeRawBufferPointer(start: memory, count: count * MemoryLayout<Float>.stride))
  }

  /// A block of its own with the same elements, as float32.
  package func copied() -> Storage {
    let copy = Storage(count: count)
    if let encoded {
      encoded.decode(rows: 0..<encoded.rows, into: copy.base)
    } else if let narrow {
      ck_bf16_to_f32(narrow, copy.base, count)
    } else {
      copy.base.update(from: base, count: count)
    }
    return copy
  }

  /// One element.
  package subscript(index: Int) -> Float {
    if let encoded {
      var element: Float = 0
      encoded.decode(index..<index + 1, into: &element)
      return element
    }
    return narrow.map { Float(bitPattern: UInt32($0[index]) << 16) } ?? base[index]
  }

  deinit {
    if owner == nil { ck_deallocate(memory, count * MemoryLayout<Float>.stride) }
  }
}

/// Memory whose pages can be given back and are read again when they are touched, as a mapped file's.
package protocol RereadableMemory: AnyObject {
  /// Gives back the whole pages among these bytes, which belong to it.
  func release(_ part: UnsafeRawBufferPointer)
}
