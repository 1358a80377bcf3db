import CKernels

/// The memory behind tensors: a block of float32 from the kernels' pool, or memory that something else owns
/// (a mapped file) and that this storage keeps alive.
///
/// Invariant: once a tensor that shares this storage is visible to others, the block is never written, except by
/// `Tensor.updateInPlace`, which first makes sure that nobody else holds it.
package final class Storage: @unchecked Sendable {
  package let base: UnsafeMutablePointer<Float>
  package let count: Int
  private let owner: AnyObject?

  /// A block with undefined contents.
  package init(count: Int) {
    self.base = ck_allocate(count * MemoryLayout<Float>.stride).assumingMemoryBound(to: Float.self)
    self.count = count
    self.owner = nil
  }

  /// Memory owned by `owner`, which must keep it valid and unchanged.
  package init(borrowing base: UnsafePointer<Float>, count: Int, owner: AnyObject) {
    self.base = UnsafeMutablePointer(mutating: base)
    self.count = count
    self.owner = owner
  }

  package var isBorrowed: Bool { owner != nil }

  deinit {
    if owner == nil { ck_deallocate(base, count * MemoryLayout<Float>.stride) }
  }
}
