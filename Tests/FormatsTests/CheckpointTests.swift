import Foundation
import LoRAKit
import TestSupport
import Testing

@Suite struct CheckpointTests {
  /// A checkpoint in two shards.
  func makeShards(_ directory: URL, index: String? = nil) throws {
    try SafetensorsWriter.write(
      [StoredTensor(name: "a.weight", randomTensor([4, 6], seed: 1))],
      to: directory.appendingPathComponent("model-00001-of-00002.safetensors"))
    try SafetensorsWriter.write(
      [
        StoredTensor(name: "b.weight", randomTensor([6, 4], seed: 2), as: .bf16),
        StoredTensor(name: "c", Tensor([1, 2])),
      ],
      to: directory.appendingPathComponent("model-00002-of-00002.safetensors"))
    let text =
      index
      ?? #"{"metadata":{"total_size":152},"weight_map":{"a.weight":"model-00001-of-00002.safetensors","b.weight":"model-00002-of-00002.safetensors","c":"model-00002-of-00002.safetensors"}}"#
    try text.write(
      to: directory.appendingPathComponent("model.safetensors.index.json"), atomically: true, encoding: .utf8)
  }

  @Test("Shards with an index, the index itself and one file read alike")
  func shards() throws {
    try withTemporaryDirectory { directory in
      try makeShards(directory)
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
      try makeShards(directory, index: index)
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
      try makeShards(directory, index: index)
      #expect(try Checkpoint(directory)["a.weight"] != nil)
    }
  }

  @Test("A merge of shards gives the same shards with an index, and only the touched tensor differs")
  func mergedShards() throws {
    try withTemporaryDirectory { directory in
      let base = directory.appendingPathComponent("base")
      try FileManager.default.createDirectory(at: base, withIntermediateDirectories: true)
      try makeShards(base)
      try #"{"model_type":"x","torch_dtype":"float32"}"#.write(
        to: base.appendingPathComponent("config.json"), atomically: true, encoding: .utf8)
      let a = randomTensor([2, 6], seed: 3)
      let b = randomTensor([4, 2], seed: 4)
      var configuration = PEFTConfiguration()
      configuration.rank = 2
      configuration.alpha = 3
      configuration.selection.targets = .names(["a"])
      let adapter = try StoredAdapter(
        url: directory, configuration: configuration,
        modules: [
          StoredModule(
            path: "a", a: StoredTensor(name: "a", a), b: StoredTensor(name: "b", b), alpha: 3)
        ])
      let output = directory.appendingPathComponent("out")
      let before = try Checkpoint(base)
      let report = try Merge(base: before, adapters: [(adapter, weight: 1)]).run(to: output)
      let merged = try Checkpoint(output)
      #expect(merged.shards.map(\.url.lastPathComponent) == before.shards.map(\.url.lastPathComponent))
      let expected = try before["a.weight"]!.tensor() + b.matmul(a) * 1.5
      #expect(try relativeDifference(merged["a.weight"]!.tensor(), expected) < 1e-6)
      #expect(try merged["b.weight"]!.tensor().isIdentical(to: before["b.weight"]!.tensor()))
      #expect(merged.configuration == before.configuration)
      // ‖ΔW‖/‖W‖, worked out the long way.
      let ratio = try (b.matmul(a) * 1.5).norm / before["a.weight"]!.tensor().norm
      #expect(abs(report.total.relativeUpdate - ratio) < 1e-5 * ratio)
    }
  }

  @Test("A pickle is refused, with how to convert it")
  func pickle() throws {
    try withTemporaryDirectory { directory in
      let url = directory.appendingPathComponent("pytorch_model.bin")
      try Data([0x80, 2]).write(to: url)
      let error = #expect(throws: CheckpointError.self) { try Checkpoint(url) }
      #expect(error?.message.contains("save_file") == true)
    }
  }
}
