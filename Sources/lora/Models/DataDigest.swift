import LoRAKit

/// What a training state knows its data by: the content of its sequences, not the name of a file.
struct DataDigest {
  private var hash = SHA256()

  mutating func add(_ numbers: some Collection<Int32>) {
    Array(numbers).withUnsafeBytes { hash.update($0) }
  }

  mutating func endSequence() { hash.update([0xFF, 0xFF, 0xFF, 0xFF]) }  // no token

  /// Sixteen hexadecimal digits.
  mutating func text() -> String { String(hash.finalize().prefix(16)) }
}
