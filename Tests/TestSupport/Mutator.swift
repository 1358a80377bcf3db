// Files broken at random, for tests that no file can stop the program.

import LoRATensors

/// Changes bytes of good files at random: flips, cuts, repeats, numbers made extreme. Seeded, so that a failure repeats.
public struct Mutator {
  private var generator: SeededGenerator

  public init(seed: UInt64) {
    generator = SeededGenerator(seed: seed)
  }

  private static let extremes = [
    "0", "-1", "1e308", "18446744073709551615", "9223372036854775807", "9223372036854775808", "[", "]", "{", "}", "\"",
    "\\u", "\\ud800", "null", ",", ":", "__metadata__", "F4", "\u{0}",
  ].map { Array($0.utf8) }

  public mutating func mutate(_ source: [UInt8]) -> [UInt8] {
    var bytes = source
    for _ in 0..<Int.random(in: 1...4, using: &generator) {
      guard !bytes.isEmpty else { return bytes }
      let position = Int.random(in: 0..<bytes.count, using: &generator)
      switch Int.random(in: 0..<7, using: &generator) {
      case 0: bytes[position] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
      case 1: bytes[position] = UInt8.random(in: 0...255, using: &generator)
      case 2: bytes.removeSubrange(position..<min(bytes.count, position + Int.random(in: 1...12, using: &generator)))
      case 3: bytes.insert(contentsOf: Self.extremes.randomElement(using: &generator)!, at: position)
      case 4:
        let length = Int.random(in: 1...40, using: &generator)
        bytes.insert(contentsOf: Array(bytes[position..<min(bytes.count, position + length)]), at: position)
      case 5: bytes.removeSubrange(position...)
      default:
        // The header's length.
        if bytes.count >= 8 {
          bytes[Int.random(in: 0..<8, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
        }
      }
    }
    return bytes
  }
}
