import CheckpointCases
import Foundation
import LoRAFiles
import LoRAFormats
import TestSupport
import Testing

@Suite struct CheckpointTests {
  @Test("Shards with an index, the index itself and one file read alike")
  func shards() throws {
    try withTemporaryDirectory { directory in
      try writeShards(to: directory)
      for url in [directory, directory.appendingPathComponent("model.safetensors.index.json")] {
        let checkpoint = try Checkpoint(url)
        #expect(checkpoint.shards.count == 2 && checkpoint.tensorCount == 3)
        #expect(checkpoint["b.weight"]?.format == .bf16)
        #expect(checkpoint["d"] == nil)
      }
      #expect(try Checkpoint(directory.appendingPathComponent("model-00001-of-00002.safetensors")).tensorCount == 1)
    }
  }

  @Test(
    "An index that is broken, leads out of the folder or names a missing file is refused",
    arguments: [
      #"{}"#, #"{"weight_map":{"a.weight":"model-00001-of-00002.safetensors"}}x"#,
      #"{"weight_map":{"a.weight":"../model-00001-of-00002.safetensors"}}"#,
      #"{"weight_map":{"a.weight":"missing.safetensors"}}"#,
    ])
  func disagreement(_ index: String) throws {
    try withTemporaryDirectory { directory in
      try writeShards(to: directory, index: index)
      #expect(throws: CheckpointError.self) { try Checkpoint(directory) }
    }
  }

  @Test(
    "What an index forgets or names in vain is read as transformers reads it: all tensors of the files that it names",
    arguments: [
      #"{"weight_map":{"a.weight":"model-00001-of-00002.safetensors","z":"model-00001-of-00002.safetensors"}}"#,
      #"{"weight_map":{"a.weight":"model-00001-of-00002.safetensors","b.weight":"model-00002-of-00002.safetensors"}}"#,
    ])
  func imprecise(_ index: String) throws {
    try withTemporaryDirectory { directory in
      try writeShards(to: directory, index: index)
      #expect(try Checkpoint(directory)["a.weight"] != nil)
    }
  }

  @Test("A pickle is refused, with how to convert it")
  func pickle() throws {
    try withTemporaryDirectory { directory in
      let url = directory.appendingPathComponent("pytorch_model.bin")
      try Data([0x80, 2]).write(to: url)
      let error = #expect(throws: CheckpointError.self) { try Checkpoint(url) }
      #expect(error?.description.contains("save_file") == true)
    }
  }
}
