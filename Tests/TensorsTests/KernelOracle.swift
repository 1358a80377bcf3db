import LoRACKernels
import Testing

// The oracle throughout is the same formula in double precision, written as plainly as it goes.

/// A small generator of its own, so that these tests depend on nothing but the kernels.
struct PlainSource {
  var state: UInt64
  init(_ seed: Int) { state = UInt64(seed) &* 0x9E37_79B9_7F4A_7C15 | 1 }
  mutating func next() -> UInt64 {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return state
  }
  /// Uniform in −1 ..< 1.
  mutating func value() -> Float { Float(Double(next() >> 11) / Double(1 << 53) * 2 - 1) }
  mutating func values(_ count: Int, scale: Float = 1) -> [Float] { (0..<count).map { _ in value() * scale } }
}

func bits(_ values: [Float]) -> [UInt32] { values.map(\.bitPattern) }

/// What `body` gives with 1, 2 and 3 threads, if it is the same bits.
func withEveryThreadCount(_ body: () -> [Float]) -> [Float] {
  let before = ck_thread_count()
  defer { ck_set_thread_count(before) }
  let results = [Int32(1), 2, 3].map { count in
    ck_set_thread_count(count)
    return body()
  }
  #expect(bits(results[0]) == bits(results[1]))
  #expect(bits(results[0]) == bits(results[2]))
  return results[0]
}
