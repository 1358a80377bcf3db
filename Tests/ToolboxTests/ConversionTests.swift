import CheckpointCases
import Foundation
import LoRAAdapters
import LoRAFiles
import LoRAFormats
import LoRATensors
import LoRAToolbox
import TestSupport
import Testing

private func magnitude(_ module: StoredModule) throws -> Tensor {
  try #require(module.method as? StoredDoRA).magnitude.tensor()
}

extension LowRankUpdate {
  fileprivate var delta: Tensor { b.matmul(a) * Float(scale) }
}

@Suite struct ConversionTests {
  @Test(
    "To another format and back, factors are the same bit for bit and scales equal",
    arguments: [
      Conversion.Target.mlx, .kohya,
    ])
  func thereAndBack(_ format: Conversion.Target) throws {
    try withTemporaryDirectory { directory in
      let original = try PEFTCase.named("llama").adapter()
      let other = directory.appendingPathComponent(format == .kohya ? "x.safetensors" : "x")
      let verdict = try Conversion(to: format).convert(original, to: other)
      #expect(verdict.isLossless)
      let opened = try StoredAdapter(contentsOf: other)
      #expect(opened.format.rawValue == format.rawValue)
      let back = directory.appendingPathComponent("back")
      _ = try Conversion(to: .peft).convert(opened, to: back)
      let adapter = try StoredAdapter(contentsOf: back)
      #expect(adapter.findings == [])
      #expect(adapter.modules.map(\.path) == original.modules.map(\.path))
      for (old, new) in zip(original.modules, adapter.modules) {
        #expect(
          try old.lora!.a.tensor().isIdentical(to: new.lora!.a.tensor())
            && old.lora!.b.tensor().isIdentical(to: new.lora!.b.tensor()))
        #expect(abs(old.scale - new.scale) < 1e-7)
      }
      #expect(try Placement(adapter, on: WeightCatalog(PEFTCase.named("llama").base())).isComplete)
    }
  }

  @Test("Ranks and scales that differ are brought to one for mlx-lm, with the same updates")
  func mixed() throws {
    try withTemporaryDirectory { directory in
      let original = try PEFTCase.named("llama-rslora-patterns").adapter()
      let verdict = try Conversion(to: .mlx).convert(original, to: directory.appendingPathComponent("mlx"))
      #expect(verdict.isLossless && verdict.changed.count >= 2)
      let opened = try StoredAdapter(contentsOf: directory.appendingPathComponent("mlx"))
      for (old, new) in zip(original.modules, opened.modules) {
        #expect(old.path == new.path && new.rank == 4)
        #expect(try relativeDifference(update(new), update(old)) < 1e-6)
      }
    }
  }

  /// One module in a file with dots, with random numbers of these shapes.
  private func file(_ shapes: [String: [Int]], alpha: Double) throws -> StoredAdapter {
    var generator = SeededGenerator(seed: 3)
    let tensors = try shapes.sorted { $0.key < $1.key }.map { suffix, shape in
      let part = try #require(AdapterMethods.partBySuffix[suffix])
      return (part, try StoredTensor(name: "unet.q" + suffix, .normal(shape, using: &generator)))
    }
    let method = try AdapterMethods.make(
      ModuleParts(path: "unet.q", file: "", tensors: Dictionary(uniqueKeysWithValues: tensors), alpha: alpha))
    return StoredAdapter(
      format: .file, url: URL(fileURLWithPath: "q.safetensors"), configuration: PEFTConfiguration(),
      modules: [StoredModule(path: "unet.q", method: method)])
  }

  @Test("A bias' difference beside a LoRA goes to peft as B's own bias, and back")
  func biasDifference() throws {
    let folder = try TemporaryFolder()
    let original = try file([".lora_A.weight": [3, 7], ".lora_B.weight": [5, 3], ".diff_b": [5]], alpha: 4)
    let difference = try #require(try original.modules[0].method.bias(.zeros([5])))
    #expect(try Conversion(to: .peft).convert(original, to: folder.file("p")).isLossless)
    let peft = try StoredAdapter(contentsOf: folder.file("p"))
    #expect(peft.findings == [] && peft.configuration.hasLoRABias && abs(peft.modules[0].scale - 4.0 / 3) < 1e-6)
    // scale · bias = d.
    let bias = try #require(peft.modules[0].lora?.outputBias).tensor()
    #expect(relativeDifference(bias * Float(4.0 / 3), difference) < 1e-6)
    #expect(try Conversion(to: .kohya).convert(peft, to: folder.file("k.safetensors")).isLossless)
    let kohya = try StoredAdapter(contentsOf: folder.file("k.safetensors"))
    #expect(try relativeDifference(#require(try kohya.modules[0].method.bias(.zeros([5]))), difference) < 1e-6)
    #expect(kohya.modules[0].method.core is StoredLoRA)
  }

  @Test("LoHa goes to peft under its own type, with its rank and alpha")
  func loha() throws {
    let folder = try TemporaryFolder()
    let shapes = [".hada_w1_a": [5, 3], ".hada_w1_b": [3, 7], ".hada_w2_a": [5, 3], ".hada_w2_b": [3, 7]]
    let original = try file(shapes, alpha: 4)
    #expect(try Conversion(to: .peft).convert(original, to: folder.file("p")).isLossless)
    let fields = try readJSON(folder.file("p/adapter_config.json"))
    #expect(fields["peft_type"] == "LOHA" && fields["r"] == 3 && fields["alpha"] == 4)
    #expect(fields["use_effective_conv2d"] == false)
    let module = try #require(try StoredAdapter(contentsOf: folder.file("p")).modules.first)
    let (old, new) = (try original.modules[0].method.factors(), try module.method.factors())
    #expect(try relativeDifference(#require(new).delta, #require(old).delta) < 1e-6)
  }

  @Test(
    "What peft has no form for is refused with what to do: LoKr's free shapes, a middle, a difference",
    arguments: [
      [".lokr_w1": [5, 2], ".lokr_w2": [3, 7]], [".diff": [5, 7]],
      [".lora_A.weight": [2, 7, 1, 1], ".lora_B.weight": [5, 2, 1, 1], ".lora_mid.weight": [2, 2, 3, 3]],
    ])
  func unknownToPEFT(_ shapes: [String: [Int]]) throws {
    let folder = try TemporaryFolder()
    let original = try file(shapes, alpha: 2)
    #expect {
      try Conversion(to: .peft).convert(original, to: folder.file("p"))
    } throws: {
      "\($0)".contains("as a plain LoRA, it takes them")
    }
    #expect(folder.names.isEmpty)
    let plain = folder.file("l.safetensors")
    #expect(try Conversion(to: .lora).convert(original, to: plain).isLossless)
    let lora = try StoredAdapter(contentsOf: plain)
    #expect(try Conversion(to: .peft).convert(lora, to: folder.file("p")).isLossless)
    let module = try #require(try StoredAdapter(contentsOf: folder.file("p")).modules.first)
    let (old, new) = (try original.modules[0].method.factors(), try module.method.factors())
    #expect(try relativeDifference(#require(new).delta, #require(old).delta) < 1e-6)
  }

  @Test("what a plain LoRA can only approximate is no lossless conversion, before it is made and after")
  func approximation() throws {
    let folder = try TemporaryFolder()
    let item = PEFTCase.named("llama-dora")
    let (adapter, base) = (try item.adapter(), try item.base())
    var conversion = Conversion(to: .lora)
    conversion.rank = 2
    let before = conversion.verdict(on: adapter, base: base)
    #expect(!before.isLossless && before.lost.isEmpty && before.approximated.count == 1)
    let after = try conversion.convert(adapter, to: folder.file("plain"), base: base)
    #expect(!after.isLossless && after.approximated == before.approximated)
    #expect(after.residuals.contains { $0.relative > 0.01 })
  }

  @Test("an embedding by any of its names goes to mlx-lm and back as one, and turns no square map around")
  func embeddings() throws {
    try withTemporaryDirectory { directory in
      let weights = try ["shared": [9, 4], "q": [4, 4]].map {
        try StoredTensor(name: "\($0.key).weight", randomTensor($0.value, seed: 5))
      }
      try SafetensorsWriter.write(weights, to: directory.appendingPathComponent("base.safetensors"))
      let base = try Checkpoint(directory.appendingPathComponent("base.safetensors"))
      var adapter = try makeAdapter([("shared", 4, 9, 2, 2), ("q", 4, 4, 2, 2)])
      adapter.modules = adapter.modules.map { module in
        module.path == "q"
          ? module
          : StoredModule(path: module.path, a: module.lora!.a, b: module.lora!.b, isEmbedding: true, alpha: 2)
      }
      adapter.configuration.alphaExceptions = []
      let mlx = directory.appendingPathComponent("mlx")
      #expect(try Conversion(to: .mlx).convert(adapter, to: mlx).isLossless)
      let outputs = try [adapter, StoredAdapter(contentsOf: mlx)].enumerated().map { index, adapter in
        let url = directory.appendingPathComponent("merged-\(index).safetensors")
        _ = try Merge(base: base, adapters: [(adapter, weight: 1)]).run(to: url)
        return try Checkpoint(url)
      }
      for tensor in weights {
        #expect(
          try relativeDifference(outputs[1][tensor.name]!.tensor(), outputs[0][tensor.name]!.tensor()) < 1e-6)
      }
    }
  }

  @Test("DoRA goes to mlx-lm and back")
  func dora() throws {
    try withTemporaryDirectory { directory in
      let original = try PEFTCase.named("llama-dora").adapter()
      let mlx = directory.appendingPathComponent("mlx")
      #expect(try Conversion(to: .mlx).convert(original, to: mlx).isLossless)
      let opened = try StoredAdapter(contentsOf: mlx)
      #expect(opened.configuration.usesMagnitudes)
      for (old, new) in zip(original.modules, opened.modules) {
        #expect(try magnitude(old).isIdentical(to: magnitude(new)))
      }
    }
  }

  @Test(
    "What the other format has no place for stops the conversion, unless loss is allowed",
    arguments: [
      ("llama-dora", Conversion.Target.kohya), ("bert-head", .kohya), ("bert-head", .mlx), ("bert-biases", .mlx),
      ("llama-embedding", .kohya), ("convolutions", .mlx),
    ])
  func lossy(_ name: String, _ format: Conversion.Target) throws {
    try withTemporaryDirectory { directory in
      let adapter = try PEFTCase.named(name).adapter()
      let url = directory.appendingPathComponent(format == .kohya ? "x.safetensors" : "x")
      var conversion = Conversion(to: format)
      #expect(!conversion.verdict(on: adapter).isLossless)
      #expect(throws: CheckpointError.self) { try conversion.convert(adapter, to: url) }
      #expect(!FileManager.default.fileExists(atPath: url.path))
      conversion.allowsLoss = true
      #expect(try !conversion.convert(adapter, to: url).isLossless)
      #expect(FileManager.default.fileExists(atPath: url.path))
    }
  }

  @Test("A foreign kohya file needs the base to find whole paths, and then fits it")
  func foreignKohya() throws {
    try withTemporaryDirectory { directory in
      let original = try PEFTCase.named("llama").adapter()
      let url = directory.appendingPathComponent("style.safetensors")
      let tensors = try original.modules.flatMap { module in
        let stem = "lora_unet_" + module.path.replacingOccurrences(of: ".", with: "_")
        return [
          module.lora!.a.renamed(stem + ".lora_down.weight"), module.lora!.b.renamed(stem + ".lora_up.weight"),
          try StoredTensor(name: stem + ".alpha", Tensor(5)),
        ]
      }
      try SafetensorsWriter.write(tensors, to: url)
      let opened = try StoredAdapter(contentsOf: url)
      #expect(throws: CheckpointError.self) {
        try Conversion(to: .peft).convert(opened, to: directory.appendingPathComponent("x"))
      }
      let base = try PEFTCase.named("llama").base()
      let peft = directory.appendingPathComponent("peft")
      _ = try Conversion(to: .peft).convert(opened, to: peft, base: base)
      let adapter = try StoredAdapter(contentsOf: peft)
      #expect(adapter.modules.map(\.path) == original.modules.map(\.path))
      #expect(adapter.modules.allSatisfy { abs($0.scale - 5.0 / 3) < 1e-6 })
      #expect(try Placement(adapter, on: WeightCatalog(base)).isComplete)
      // A merge finds the places by itself.
      #expect(try Placement(opened, on: WeightCatalog(base)).items.count == original.modules.count)
    }
  }
}
