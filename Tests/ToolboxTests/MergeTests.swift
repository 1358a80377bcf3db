import CheckpointCases
import Foundation
import LoRAAdapters
import LoRAFiles
import LoRAFormats
import LoRATensors
import LoRAToolbox
import TestSupport
import Testing

@Suite struct MergeTests {
  @Test("A merge gives what peft's merge_and_unload gives", arguments: PEFTCase.all)
  func equalsPEFT(_ example: PEFTCase) throws {
    try withTemporaryDirectory { directory in
      let base = try example.base()
      let output = directory.appendingPathComponent("merged")
      _ = try Merge(base: base, adapters: [(example.adapter(), weight: 1)]).run(to: output)
      let merged = try Checkpoint(output)
      let expected = try example.merged()
      #expect(merged.tensors.map(\.name).sorted() == base.tensors.map(\.name).sorted())
      for tensor in merged.tensors {
        let reference = try #require(expected[tensor.name] ?? base[tensor.name])
        let difference = try relativeDifference(tensor.tensor(), reference.tensor())
        #expect(difference < 2e-6, "\(tensor.name)")
      }
    }
  }

  @Test(
    "Subtracting what was merged gives the base back", arguments: ["llama", "gpt2", "llama-embedding", "convolutions"])
  func unmerge(_ name: String) throws {
    try withTemporaryDirectory { directory in
      let example = PEFTCase.named(name)
      let merged = directory.appendingPathComponent("merged")
      _ = try Merge(base: example.base(), adapters: [(example.adapter(), weight: 1)]).run(to: merged)
      let restored = directory.appendingPathComponent("restored")
      _ = try Merge(undoing: [(example.adapter(), weight: 1)], in: Checkpoint(merged)).run(to: restored)
      let base = try example.base()
      for tensor in try Checkpoint(restored).tensors {
        let difference = try relativeDifference(tensor.tensor(), base[tensor.name]!.tensor())
        #expect(difference < 1e-6, "\(tensor.name)")
      }
    }
  }

  @Test("What a merge cannot give back, unmerge refuses to pretend", arguments: ["llama-dora", "bert-head"])
  func unmergeRefuses(_ name: String) throws {
    let example = PEFTCase.named(name)
    #expect(throws: CheckpointError.self) {
      try Merge(undoing: [(example.adapter(), weight: 1)], in: example.base())
    }
  }

  @Test(
    "Two adapters with weights add up: W + 0.5 Δ + 0.5 Δ is W + Δ, products and magnitudes alike",
    arguments: ["llama", "gpt2", "llama-dora"])
  func weights(_ name: String) throws {
    try withTemporaryDirectory { directory in
      let example = PEFTCase.named(name)
      let output = directory.appendingPathComponent("merged.safetensors")
      let adapter = try example.adapter()
      let report = try Merge(base: example.base(), adapters: [(adapter, weight: 0.5), (adapter, weight: 0.5)]).run(
        to: output)
      let once = try Merge(base: example.base(), adapters: [(adapter, weight: 1)]).run(
        to: directory.appendingPathComponent("once.safetensors"))
      let merged = try Checkpoint(output)
      for tensor in try example.merged().tensors {
        let difference = try relativeDifference(merged[tensor.name]!.tensor(), tensor.tensor())
        #expect(difference < 2e-6)
      }
      #expect(abs(report.total.relativeUpdate - once.total.relativeUpdate) < 1e-5)
    }
  }

  @Test("Shards that three processes share out are those of one, and so is the first one's report")
  func sharedShards() throws {
    try withTemporaryDirectory { directory in
      let base = directory.appendingPathComponent("base")
      try FileManager.default.createDirectory(at: base, withIntermediateDirectories: true)
      try writeShards(to: base)
      var configuration = PEFTConfiguration()
      configuration.rank = 2
      configuration.alpha = 3
      configuration.selection.targets = .names(["a", "b"])
      let modules = try [("a", 4, 6), ("b", 6, 4)].map { path, outputs, inputs in
        try StoredModule(
          path: path, a: StoredTensor(name: "a", randomTensor([2, inputs], seed: 3)),
          b: StoredTensor(name: "b", randomTensor([outputs, 2], seed: 4)), alpha: 3)
      }
      let adapter = StoredAdapter(url: directory, configuration: configuration, modules: modules)
      let (one, several) = (directory.appendingPathComponent("one"), directory.appendingPathComponent("several"))
      let report = try Merge(base: Checkpoint(base), adapters: [(adapter, weight: 1)]).run(to: one)
      let meeting = Meeting(count: 3)
      let reports = try meeting.all { sharing in
        try Merge(base: Checkpoint(base), adapters: [(adapter, weight: 1)]).run(to: several, among: sharing)
      }
      let files = FileManager.default
      let names = try files.contentsOfDirectory(atPath: one.path).sorted()
      #expect(try files.contentsOfDirectory(atPath: several.path).sorted() == names)
      for name in names {
        let paths = [one, several].map { $0.appendingPathComponent(name).path }
        #expect(files.contentsEqual(atPath: paths[0], andPath: paths[1]), "\(name)")
      }
      #expect(report.modules.map(\.path) == ["a", "b"])
      #expect(reports[0].modules.map(\.path) == ["a", "b"])
      #expect(reports[0].modules.map(\.relativeUpdate) == report.modules.map(\.relativeUpdate))
      #expect(reports[0].modules.map(\.lostToRounding) == report.modules.map(\.lostToRounding))
      #expect(reports[0].output != nil && reports[1].output == nil)
    }
  }

  @Test("A merge of shards gives the same shards with an index, and only the touched tensor differs")
  func mergedShards() throws {
    try withTemporaryDirectory { directory in
      let base = directory.appendingPathComponent("base")
      try FileManager.default.createDirectory(at: base, withIntermediateDirectories: true)
      try writeShards(to: base)
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
}
