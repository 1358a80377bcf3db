import Foundation
import LoRAKit
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
}
