import LoRATensors

/// The numbers below `count` in a random order of which none is held: a Feistel network over the smallest even number of
/// bits that has room for them, walked until it falls among them (Black and Rogaway, 2002: ciphers with arbitrary finite
/// domains).
struct Permutation: Codable {
  let count: Int
  private let keys: [UInt64]

  init(count: Int, using generator: inout some RandomNumberGenerator) {
    self.count = count
    keys = (0..<6).map { _ in generator.next() }
  }

  private var halfBits: Int { (Int.bitWidth - max(1, count - 1).leadingZeroBitCount + 1) / 2 }

  /// The number at a place of the order.
  subscript(place: Int) -> Int {
    expect(place >= 0 && place < count, "Permutation: place \(place) of \(count)")
    var number = UInt64(place)
    repeat { number = encrypted(number) } while number >= UInt64(count)
    return Int(number)
  }

  private func encrypted(_ number: UInt64) -> UInt64 {
    let mask = (UInt64(1) << UInt64(halfBits)) - 1
    var (left, right) = (number >> UInt64(halfBits), number & mask)
    for key in keys { (left, right) = (right, left ^ (Permutation.mixed(right ^ key) & mask)) }
    return left << UInt64(halfBits) | right
  }

  /// SplitMix64's finalizer (Steele, Lea and Flood, 2014).
  private static func mixed(_ number: UInt64) -> UInt64 {
    var x = number &+ 0x9E37_79B9_7F4A_7C15
    x = (x ^ (x >> 30)) &* 0xBF58_476D_1CE4_E5B9
    x = (x ^ (x >> 27)) &* 0x94D0_49BB_1331_11EB
    return x ^ (x >> 31)
  }
}
