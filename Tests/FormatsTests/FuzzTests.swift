import Foundation
import LoRAKit
import TestSupport
import Testing

/// Changes bytes of good files at random: flips, cuts, repeats, numbers made extreme. Seeded, so that a failure repeats.
struct Mutator {
  private var generator: SeededGenerator

  init(seed: UInt64) {
    generator = SeededGenerator(seed: seed)
  }

  private static let extremes = [
    "0", "-1", "1e308", "18446744073709551615", "9223372036854775807", "9223372036854775808", "[", "]", "{", "}", "\"",
    "\\u", "\\ud800", "null", ",", ":", "__metadata__", "F4", "\u{0}",
  ].map { Array($0.utf8) }

  mutating func mutate(_ source: [UInt8]) -> [UInt8] {
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

@Suite struct FuzzTests {
  @Test("60,000 mutated safetensors files are read or refused, and what is read lies within the file")
  func headers() throws {
    let names = ["llama", "bert-biases", "convolutions-dora"]
    let seeds =
      try names.map {
        [UInt8](
          try Data(contentsOf: PEFTCase.named($0).folder.appendingPathComponent("adapter/adapter_model.safetensors")))
      } + [
        safetensorsFile(
          header:
            #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[],"data_offsets":[8,9]}}"#,
          data: [UInt8](repeating: 1, count: 9))
      ]
    var mutator = Mutator(seed: 1)
    var accepted = 0
    for index in 0..<60_000 {
      // Most of a file is numbers; what is worth changing is the header, so the small file comes more often.
      let bytes = mutator.mutate(seeds[index % 8 < 3 ? index % 8 : 3])
      bytes.withUnsafeBytes { raw in
        guard let header = try? SafetensorsHeader(file: raw) else { return }
        accepted += 1
        var end = header.dataOffset
        for entry in header.entries {
          #expect(header.dataOffset + entry.range.lowerBound == end)
          #expect(entry.info.byteCount == entry.range.count)
          end = header.dataOffset + entry.range.upperBound
        }
        #expect(end == bytes.count)
      }
    }
    #expect(accepted > 100 && accepted < 55_000)
  }

  @Test("60,000 mutated configurations are read or refused, and what is read can be written and read again")
  func configurations() throws {
    let seeds = try ["llama-rslora-patterns", "llama-layers", "bert-biases"].map {
      [UInt8](try Data(contentsOf: PEFTCase.named($0).folder.appendingPathComponent("adapter/adapter_config.json")))
    }
    var mutator = Mutator(seed: 2)
    var accepted = 0
    for index in 0..<60_000 {
      let bytes = mutator.mutate(seeds[index % seeds.count])
      guard let json = bytes.withUnsafeBytes({ try? JSON(parsing: $0) }), let read = try? PEFTConfiguration(json) else {
        continue
      }
      accepted += 1
      if accepted % 16 == 0 {
        let again = try PEFTConfiguration(JSON(parsing: read.json.pretty))
        #expect(
          again.rank == read.rank && again.selection == read.selection && again.rankExceptions == read.rankExceptions)
        _ = try? PEFTMatcher(read).targets("model.layers.1.self_attn.q_proj")
      }
    }
    #expect(accepted > 100)
  }

  @Test("A header costs no more memory than its bytes warrant: lists that claim to be long end at once")
  func claims() throws {
    // 32 axes are read, the 33rd is refused; a million would be too.
    let axes = Array(repeating: "1", count: 33).joined(separator: ",")
    let bytes = safetensorsFile(
      header: "{\"a\":{\"dtype\":\"U8\",\"shape\":[\(axes)],\"data_offsets\":[0,1]}}", data: [0])
    #expect(throws: JSONError.self) { try bytes.withUnsafeBytes { try SafetensorsHeader(file: $0) } }
  }
}
