import CheckpointCases
import Foundation
import LoRAAdapters
import LoRAFiles
import LoRAFormats
import LoRATensors
import LoRAToolbox
import TestSupport
import Testing

/// Changes to an adapter or its base after which peft would act in part or not at all, without an error.
struct Trap: CustomTestStringConvertible, Sendable {
  let testDescription: String
  /// What the finding says.
  let message: String
  /// Renames tensors of the adapter; `nil` drops one.
  var rename: @Sendable (String) -> String? = { $0 }
  /// Changes the configuration.
  var configure: @Sendable (inout JSON) -> Void = { _ in }

  static let all: [Trap] = [
    Trap(
      testDescription: "the prefix is missing", message: "prefix",
      rename: { $0.replacingOccurrences(of: "base_model.model.", with: "") }),
    Trap(
      testDescription: "another adapter's name is in the tensors' names", message: "name of an adapter, \"sft\"",
      rename: {
        $0.replacingOccurrences(of: "0.self_attn.q_proj.lora_A.weight", with: "0.self_attn.q_proj.lora_A.sft.weight")
      }),
    Trap(
      testDescription: "a module is not in the base", message: "base does not have",
      rename: { $0.replacingOccurrences(of: "layers.1.self_attn.q_proj", with: "layers.7.self_attn.q_proj") }),
    Trap(
      testDescription: "B is missing", message: "A without B",
      rename: { $0.contains("layers.0.self_attn.q_proj.lora_B") ? nil : $0 }),
    Trap(
      testDescription: "a target has no weights", message: "targets and that have no weights",
      rename: { $0.contains("layers.0.self_attn.q_proj") ? nil : $0 }),
    Trap(
      testDescription: "the configuration does not target a module", message: "does not target",
      configure: { $0["target_modules"] = ["q_proj"] }),
    Trap(
      testDescription: "the rank is not the configuration's", message: "rank is not",
      configure: { $0["rank_pattern"] = ["q_proj": 2] }),
    Trap(
      testDescription: "a tensor of no known part", message: "ignores in silence",
      rename: {
        $0.contains("layers.0.self_attn.q_proj.lora_A")
          ? $0.replacingOccurrences(of: "lora_A.weight", with: "alpha") : $0
      }),
    Trap(
      testDescription: "DoRA without magnitudes", message: "no magnitudes", configure: { $0["use_dora"] = true }),
    Trap(
      testDescription: "an initialisation that changed the base", message: "untouched base",
      configure: { $0["init_lora_weights"] = "pissa_niter_4" }),
    Trap(
      testDescription: "a saved module has no weights", message: "whose weights the adapter lacks",
      configure: { $0["modules_to_save"] = ["lm_head"] }),
    Trap(
      testDescription: "the configuration is another method's", message: "of another method",
      configure: { $0["peft_type"] = "LOHA" }),
    Trap(
      testDescription: "trained tokens are named and none are there", message: "names trained tokens",
      configure: { $0["trainable_token_indices"] = [1] }),
    Trap(
      testDescription: "layers that are repeated", message: "not reproduced",
      configure: { $0["layer_replication"] = [[0, 1]] }),
  ]
}

@Suite struct PlacementTests {
  @Test("A trap is found, and a merge refuses it and writes nothing", arguments: Trap.all)
  func traps(_ trap: Trap) throws {
    try withTemporaryDirectory { directory in
      let source = PEFTCase.named("llama").folder.appendingPathComponent("adapter")
      let file = try SafetensorsFile(source.appendingPathComponent("adapter_model.safetensors"))
      try SafetensorsWriter.write(
        file.tensors.compactMap { tensor in trap.rename(tensor.name).map(tensor.renamed) },
        to: directory.appendingPathComponent("adapter_model.safetensors"))
      var json = try JSON(
        parsing: String(contentsOf: source.appendingPathComponent("adapter_config.json"), encoding: .utf8))
      trap.configure(&json)
      try json.pretty.write(
        to: directory.appendingPathComponent("adapter_config.json"), atomically: true, encoding: .utf8)
      let adapter = try StoredAdapter(contentsOf: directory)
      let base = try PEFTCase.named("llama").base()
      let placement = try Placement(adapter, on: WeightCatalog(base))
      #expect(!placement.isComplete)
      #expect(placement.findings.contains { $0.severity == .error && $0.message.contains(trap.message) })
      let error = #expect(throws: CheckpointError.self) { try Merge(base: base, adapters: [(adapter, weight: 1)]) }
      #expect(error?.problem.contains(" of ") == true)
    }
  }

  @Test("A base without the adapter's prefix is matched where all modules agree on it")
  func prefixes() throws {
    try withTemporaryDirectory { directory in
      let example = PEFTCase.named("bert-head")
      let base = try example.base()
      let bare = directory.appendingPathComponent("bare.safetensors")
      try SafetensorsWriter.write(
        base.tensors.filter { $0.name.hasPrefix("bert.") }.map { $0.renamed(String($0.name.dropFirst(5))) }, to: bare)
      let placement = try Placement(example.adapter(), on: WeightCatalog(Checkpoint(bare)))
      #expect(placement.isComplete && placement.renaming == .dropping("bert."))
      #expect(placement.replacements.filter(\.isNew).map(\.tensor.name) == ["classifier.bias", "classifier.weight"])
      let longer = directory.appendingPathComponent("longer.safetensors")
      try SafetensorsWriter.write(base.tensors.map { $0.renamed("outer." + $0.name) }, to: longer)
      #expect(try Placement(example.adapter(), on: WeightCatalog(Checkpoint(longer))).renaming == .adding("outer."))
    }
  }

  @Test("Tied embeddings are refused, or untied and said so in the model's configuration")
  func tied() throws {
    try withTemporaryDirectory { directory in
      let example = PEFTCase.named("llama-embedding")
      let tied = try tiedBase(example, in: directory)
      #expect(throws: CheckpointError.self) { try Merge(base: tied, adapters: [(example.adapter(), weight: 1)]) }
      let output = directory.appendingPathComponent("out")
      _ = try Merge(base: tied, adapters: [(example.adapter(), weight: 1)], unties: true).run(to: output)
      let merged = try Checkpoint(output)
      #expect(merged.configuration?["tie_word_embeddings"] == false)
      let input = try merged["model.embed_tokens.weight"]!.tensor()
      #expect(try relativeDifference(input, example.merged()["model.embed_tokens.weight"]!.tensor()) < 1e-6)
      #expect(try merged["lm_head.weight"]!.tensor().isIdentical(to: tied["model.embed_tokens.weight"]!.tensor()))
    }
  }

  /// The base of an example without its output layer, tied to the input embedding.
  private func tiedBase(_ example: PEFTCase, in directory: URL) throws -> Checkpoint {
    let base = directory.appendingPathComponent("base")
    try FileManager.default.createDirectory(at: base, withIntermediateDirectories: true)
    try SafetensorsWriter.write(
      example.base().tensors.filter { $0.name != "lm_head.weight" },
      to: base.appendingPathComponent("model.safetensors"))
    var configuration = try example.base().configuration!
    configuration["tie_word_embeddings"] = true
    try configuration.pretty.write(to: base.appendingPathComponent("config.json"), atomically: true, encoding: .utf8)
    return try Checkpoint(base)
  }

  @Test(
    "trained tokens of a tied embedding are the output layer's too, whether stored once or twice", arguments: [1, 2])
  func tiedTokens(_ copies: Int) throws {
    try withTemporaryDirectory { directory in
      let tied = try tiedBase(.named("llama"), in: directory)
      let name = "model.embed_tokens.weight"
      let table = try tied[name]!.tensor()
      let rows = Tensor.full([2, table.shape[1]], 3)
      let adapter = directory.appendingPathComponent("adapter")
      try FileManager.default.createDirectory(at: adapter, withIntermediateDirectories: true)
      try SafetensorsWriter.write(
        ["model.embed_tokens", "lm_head"].prefix(copies).map {
          try StoredTensor(name: "base_model.model.\($0).trainable_tokens_delta", rows)
        }, to: adapter.appendingPathComponent("adapter_model.safetensors"))
      let json: JSON = [
        "peft_type": "TRAINABLE_TOKENS", "token_indices": [1, 4], "target_modules": "model.embed_tokens",
      ]
      try json.pretty.write(
        to: adapter.appendingPathComponent("adapter_config.json"), atomically: true, encoding: .utf8)
      let output = directory.appendingPathComponent("out")
      _ = try Merge(base: tied, adapters: [(StoredAdapter(contentsOf: adapter), weight: 1)]).run(to: output)
      let merged = try Checkpoint(output)
      #expect(merged.tensorCount == tied.tensorCount && merged.configuration?["tie_word_embeddings"] == true)
      let found = try merged[name]!.tensor()
      for row in 0..<table.shape[0] {
        let expected = [1, 4].contains(row) ? rows.sliced(axis: 0, 0..<1) : table.sliced(axis: 0, row..<row + 1)
        #expect(found.sliced(axis: 0, row..<row + 1).isIdentical(to: expected))
      }
    }
  }

  @Test("targets that also take a norm or a module around others are found, since peft fails on them")
  func unadaptable() throws {
    let example = PEFTCase.named("llama")
    var adapter = try example.adapter()
    for name in ["mlp", "input_layernorm", "model.layers"] {
      adapter.configuration.selection.targets = .names(["q_proj", "v_proj", name])
      let placement = try Placement(adapter, on: WeightCatalog(example.base()))
      #expect(placement.isComplete && !placement.isCompleteForPEFT, "\(name)")
    }
  }

  @Test("an output layer that is tied and not stored is one of the model's modules")
  func tiedOutput() throws {
    try withTemporaryDirectory { directory in
      let tied = try tiedBase(.named("llama"), in: directory)
      let shape = tied["model.embed_tokens.weight"]!.shape
      let adapter = try makeAdapter([("lm_head", shape[0], shape[1], 2, 2)])
      let placement = try Placement(adapter, on: WeightCatalog(tied), unties: true)
      #expect(placement.isCompleteForPEFT && placement.isUntied)
    }
  }

  @Test("a merge that adds nothing but zeros says so")
  func zeros() throws {
    try withTemporaryDirectory { directory in
      let example = PEFTCase.named("llama")
      let (base, adapter) = (try example.base(), try example.adapter())
      for (weight, count) in [(0.0, 1), (1.0, 0)] {
        let report = try Merge(base: base, adapters: [(adapter, weight: weight)])
          .run(to: directory.appendingPathComponent("out-\(weight)"))
        #expect(report.findings.count { $0.message.contains("zero everywhere") } == count)
      }
    }
  }

  @Test("A format too small for the sum is an error, NaN in an adapter too, and nothing is left behind")
  func numbers() throws {
    try withTemporaryDirectory { directory in
      try SafetensorsWriter.write(
        [StoredTensor(name: "q.weight", Tensor.full([4, 5], 60000), as: .f16)],
        to: directory.appendingPathComponent("base.safetensors"))
      let base = try Checkpoint(directory.appendingPathComponent("base.safetensors"))
      var adapter = try makeAdapter([("q", 4, 5, 1, 1)])
      adapter.modules[0].lora!.a = try StoredTensor(name: "a", .full([1, 5], 100))
      adapter.modules[0].lora!.b = try StoredTensor(name: "b", .full([4, 1], 100))
      let output = directory.appendingPathComponent("out.safetensors")
      #expect(throws: CheckpointError.self) { try Merge(base: base, adapters: [(adapter, weight: 1)]).run(to: output) }
      _ = try Merge(base: base, adapters: [(adapter, weight: 1)], format: .bf16).run(to: output)
      adapter.modules[0].lora!.b = try StoredTensor(name: "b", .full([4, 1], .nan))
      let broken = directory.appendingPathComponent("broken.safetensors")
      #expect(throws: CheckpointError.self) { try Merge(base: base, adapters: [(adapter, weight: 1)]).run(to: broken) }
      #expect(
        try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted() == [
          "base.safetensors", "out.safetensors",
        ])
    }
  }

  @Test(
    "Real adapters fit their bases, and merging gives what its parts say", .enabled(if: sharedData != nil),
    arguments: [
      ("peft-minilm-sst2", "all-MiniLM-L6-v2"), ("peft-minilm-sst2-dora", "all-MiniLM-L6-v2"),
      ("peft-minilm-sst2-rslora", "all-MiniLM-L6-v2"), ("peft-stories260k-shakespeare", "stories260K"),
      ("peft-stories260k-shakespeare-dora", "stories260K"), ("peft-stories260k-shakespeare-rslora", "stories260K"),
    ])
  func realAdapters(_ name: String, _ model: String) throws {
    let data = try #require(sharedData)
    let adapter = try StoredAdapter(contentsOf: data.appendingPathComponent("adapters/\(name)"))
    let base = try Checkpoint(data.appendingPathComponent("models/\(model)"))
    let placement = try Placement(adapter, on: WeightCatalog(base))
    #expect(placement.isComplete)
    #expect(placement.items.count == adapter.modules.count)
    #expect(try AdapterInspection(adapter).findings.filter { $0.severity == .error } == [])
    try withTemporaryDirectory { directory in
      _ = try Merge(base: base, adapters: [(adapter, weight: 1)]).run(to: directory.appendingPathComponent("m"))
      let merged = try Checkpoint(directory.appendingPathComponent("m"))
      for item in placement.items {
        // With a classifier the encoder becomes a part of another class.
        let name = item.places[0].tensor
        let weight = try base[name]!.tensor() + update(item.module)
        var expected = weight
        if let magnitude = try (item.module.method as? StoredDoRA)?.magnitude.tensor() {
          let columns = weight.shape[1]
          let rows = weight.scalars
          expected = Tensor(shape: weight.shape) { buffer in
            for i in 0..<weight.shape[0] {
              let norm = rows[i * columns..<(i + 1) * columns].reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
              for j in 0..<columns {
                buffer[i * columns + j] = magnitude.scalars[i] * Float(Double(rows[i * columns + j]) / norm)
              }
            }
          }
        }
        #expect(try relativeDifference((merged[name] ?? merged["bert." + name])!.tensor(), expected) < 2e-6)
      }
    }
  }
}
