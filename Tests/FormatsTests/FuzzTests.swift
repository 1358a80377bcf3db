import CheckpointCases
import Foundation
import LoRAFiles
import LoRAFormats
import TestSupport
import Testing

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
