import CheckpointCases
import Foundation
import LoRAAdapters
import LoRAFiles
import LoRAFormats
import LoRATensors
import LoRAToolbox
import TestSupport
import Testing

@Suite struct ExtractionTests {
  /// A base, and the base with an adapter merged into it.
  func makePair(_ name: String, in directory: URL) throws -> (base: Checkpoint, tuned: Checkpoint) {
    let example = PEFTCase.named(name)
    let tuned = directory.appendingPathComponent("tuned")
    _ = try Merge(base: example.base(), adapters: [(example.adapter(), weight: 1)]).run(to: tuned)
    return (try example.base(), try Checkpoint(tuned))
  }

  @Test(
    "Extracted from a merge, an adapter gives the same updates, and merged again the same model",
    arguments: ["llama", "llama-rslora-patterns", "llama-embedding", "gpt2", "convolutions", "bert-biases"])
  func inverse(_ name: String) throws {
    try withTemporaryDirectory { directory in
      let (base, tuned) = try makePair(name, in: directory)
      let output = directory.appendingPathComponent("adapter")
      var options = Extraction.Options()
      options.keepsVectors = true
      let report = try Extraction(base: base, tuned: tuned, rank: .fixed(4), options: options).run(to: output)
      #expect(report.relativeResidual < 1e-3)
      let extracted = try StoredAdapter(contentsOf: output)
      #expect(extracted.findings.filter { $0.severity > .note } == [])
      let original = try PEFTCase.named(name).adapter()
      for module in original.modules where module.method is StoredLoRA {
        let found = try #require(extracted[module.path])
        #expect(try relativeDifference(update(found), update(module)) < 2e-4, "\(module.path)")
      }
      let again = directory.appendingPathComponent("again")
      _ = try Merge(base: base, adapters: [(extracted, weight: 1)]).run(to: again)
      for tensor in try Checkpoint(again).tensors {
        #expect(try relativeDifference(tensor.tensor(), tuned[tensor.name]!.tensor()) < 1e-4, "\(tensor.name)")
      }
    }
  }

  /// Two checkpoints of three maps whose differences have known singular values.
  func makeSpectra(in directory: URL) throws -> (base: Checkpoint, tuned: Checkpoint) {
    var base: [StoredTensor] = []
    var tuned: [StoredTensor] = []
    for (index, name) in ["a", "b", "c"].enumerated() {
      let weight = randomTensor([40, 30], seed: UInt64(index))
      let u = try randomTensor([40, 10], seed: 10 + UInt64(index)).qr().q
      let v = try randomTensor([30, 10], seed: 20 + UInt64(index)).qr().q
      // σ = 1, 1/2, 1/4, …, times 1, 3, 9.
      let scale = powf(3, Float(index))
      let singular = Tensor(shape: [10, 10]) { buffer in
        for i in buffer.indices { buffer[i] = i / 10 == i % 10 ? scale * powf(0.5, Float(i / 10)) : 0 }
      }
      base.append(try StoredTensor(name: "m.\(name).weight", weight))
      tuned.append(
        try StoredTensor(name: "m.\(name).weight", weight + u.matmul(singular).matmul(v, transposeOther: true)))
    }
    try SafetensorsWriter.write(base, to: directory.appendingPathComponent("base.safetensors"))
    try SafetensorsWriter.write(tuned, to: directory.appendingPathComponent("tuned.safetensors"))
    return (
      try Checkpoint(directory.appendingPathComponent("base.safetensors")),
      try Checkpoint(directory.appendingPathComponent("tuned.safetensors"))
    )
  }

  @Test("The residual reported is the least possible, Σ of the squares of the singular values left out")
  func residual() throws {
    try withTemporaryDirectory { directory in
      let (base, tuned) = try makeSpectra(in: directory)
      let report = try Extraction(base: base, tuned: tuned, rank: .fixed(3)).run(
        to: directory.appendingPathComponent("x"))
      // Of 1 + 1/4 + 1/16 + … = 4/3 (to rank 10), what is left after three terms: 1/64 of it.
      #expect(report.modules.allSatisfy { abs($0.relativeResidual - 0.125) < 0.001 })
      #expect(abs(report.shareOfChange - 63.0 / 64) < 1e-4)
    }
  }

  @Test("An energy gives each module the least rank that keeps it")
  func energy() throws {
    try withTemporaryDirectory { directory in
      let (base, tuned) = try makeSpectra(in: directory)
      // 1 − 4⁻³ = 0.984 at rank 3, 1 − 4⁻⁴ = 0.996 at rank 4.
      let report = try Extraction(base: base, tuned: tuned, rank: .energy(0.99)).run(
        to: directory.appendingPathComponent("x"))
      #expect(report.modules.map(\.rank) == [4, 4, 4])
    }
  }

  @Test("A budget goes where the energy is, is kept, and the configuration gives each module its rank")
  func budget() throws {
    try withTemporaryDirectory { directory in
      let (base, tuned) = try makeSpectra(in: directory)
      // A rank costs 70 numbers of 4 bytes; room for 5. The squares: c 81, 20.25, 5.06; b 9, 2.25; a 1.
      let output = directory.appendingPathComponent("x")
      let report = try Extraction(base: base, tuned: tuned, rank: .budget(bytes: 5 * 280 + 100)).run(to: output)
      #expect(report.modules.map(\.rank) == [0, 2, 3] || report.modules.map(\.rank) == [0, 1, 4])
      #expect(report.modules.map(\.rank) == [0, 2, 3])
      let adapter = try StoredAdapter(contentsOf: output)
      #expect(adapter.byteCount <= 5 * 280 + 100)
      #expect(adapter.modules.map(\.path) == ["m.b", "m.c"])
      #expect(adapter.findings == [])
      #expect(throws: CheckpointError.self) {
        try Extraction(base: base, tuned: tuned, rank: .budget(bytes: 100)).run(
          to: directory.appendingPathComponent("y"))
      }
    }
  }

  @Test("The same checkpoint twice has nothing to extract; other models are told apart")
  func nothing() throws {
    try withTemporaryDirectory { directory in
      let (base, _) = try makeSpectra(in: directory)
      #expect(throws: CheckpointError.self) {
        try Extraction(base: base, tuned: base, rank: .fixed(2)).run(to: directory.appendingPathComponent("x"))
      }
      #expect(throws: CheckpointError.self) {
        try Extraction(base: PEFTCase.named("gpt2").base(), tuned: base, rank: .fixed(2))
      }
      #expect(!FileManager.default.fileExists(atPath: directory.appendingPathComponent("x").path))
    }
  }

  @Test("A grown vocabulary is kept whole and said so")
  func vocabulary() throws {
    try withTemporaryDirectory { directory in
      let weight = randomTensor([6, 4], seed: 1)
      let map = randomTensor([4, 4], seed: 2)
      try SafetensorsWriter.write(
        [StoredTensor(name: "model.embed_tokens.weight", weight), StoredTensor(name: "model.q.weight", map)],
        to: directory.appendingPathComponent("base.safetensors"))
      try SafetensorsWriter.write(
        [
          StoredTensor(
            name: "model.embed_tokens.weight", .concatenated([weight, randomTensor([2, 4], seed: 3)], axis: 0)),
          StoredTensor(name: "model.q.weight", map * 2),
        ], to: directory.appendingPathComponent("tuned.safetensors"))
      let extraction = try Extraction(
        base: Checkpoint(directory.appendingPathComponent("base.safetensors")),
        tuned: Checkpoint(directory.appendingPathComponent("tuned.safetensors")), rank: .fixed(4))
      #expect(extraction.findings.contains { $0.message.contains("vocabulary") && $0.severity == .warning })
      let output = directory.appendingPathComponent("x")
      _ = try extraction.run(to: output)
      let adapter = try StoredAdapter(contentsOf: output)
      #expect(adapter.replacements.map(\.name) == ["model.embed_tokens.weight"])
      #expect(adapter.replacements[0].shape == [8, 4])
      #expect(adapter.configuration.selection.saved == ["embed_tokens"])
    }
  }

  @Test("where there is nothing to extract, the reason is the true one")
  func reasons() throws {
    try withTemporaryDirectory { directory in
      func checkpoint(_ name: String, _ tensors: [StoredTensor]) throws -> Checkpoint {
        let url = directory.appendingPathComponent(name + ".safetensors")
        try SafetensorsWriter.write(tensors, to: url)
        return try Checkpoint(url)
      }
      let weight = try StoredTensor(name: "fc.weight", randomTensor([6, 5], seed: 1))
      let norm = try StoredTensor(name: "norm.weight", .full([6], 1))
      let base = try checkpoint("base", [weight, norm])
      for (name, tensors, reason) in [
        ("same", [weight, norm], "has the same weights as"),
        ("norm", [weight, try StoredTensor(name: "norm.weight", .full([6], 2))], "in biases and norms alone"),
        (
          "shape", [try StoredTensor(name: "fc.weight", randomTensor([4, 5], seed: 1)), norm],
          "in what no adapter can hold"
        ),
        ("less", [norm], "but for what it lacks: fc.weight"),
      ] {
        let tuned = try checkpoint(name, tensors)
        let output = directory.appendingPathComponent("out")
        let error = #expect(throws: CheckpointError.self) {
          try Extraction(base: base, tuned: tuned, rank: .fixed(2)).run(to: output)
        }
        #expect(error?.problem.contains(reason) == true, "\(name): \(error?.problem ?? "")")
        #expect(!FileManager.default.fileExists(atPath: output.path))
      }
    }
  }

  @Test("a parameter of a module around others brings these whole, and they get no factors")
  func containers() throws {
    try withTemporaryDirectory { directory in
      func checkpoint(_ name: String, seed: UInt64) throws -> Checkpoint {
        let url = directory.appendingPathComponent(name + ".safetensors")
        try SafetensorsWriter.write(
          [
            StoredTensor(name: "head.bias", randomTensor([6], seed: seed)),
            StoredTensor(name: "head.dense.weight", randomTensor([6, 5], seed: seed)),
            StoredTensor(name: "body.dense.weight", randomTensor([6, 5], seed: seed + 1)),
          ], to: url)
        return try Checkpoint(url)
      }
      var options = Extraction.Options()
      options.keepsVectors = true
      let output = directory.appendingPathComponent("out")
      _ = try Extraction(
        base: checkpoint("base", seed: 1), tuned: checkpoint("tuned", seed: 7), rank: .fixed(2), options: options
      ).run(to: output)
      let adapter = try StoredAdapter(contentsOf: output)
      #expect(adapter.modules.map(\.path) == ["body.dense"])
      #expect(adapter.replacements.map(\.name) == ["head.bias", "head.dense.weight"])
    }
  }
}
