import Foundation
import LoRAAdapters
import LoRAFiles
import LoRAFormats
import LoRATensors
import MethodCases
import TestSupport
import Testing

@Suite("Methods in one file")
struct AdapterFileTests {
  @Test(
    "written to one file, flat or with dots, a method does the same as before; what no file holds is named",
    arguments: MethodCase.all, [StoredAdapter.Format.kohya, .file])
  func filed(_ item: MethodCase, _ format: StoredAdapter.Format) throws {
    let folder = try TemporaryFolder()
    let method = try item.method()
    let adapter = StoredAdapter(
      format: format, url: folder.url, configuration: PEFTConfiguration(),
      modules: [StoredModule(path: format == .file ? "model.module" : "lora_unet_module", method: method)])
    let lost = AdapterFile.losses(adapter).lost
    let scalesWholes = method.rank == 0 && method.scale != 1 && item.parts.tensors.keys.allSatisfy { !$0.isForeign }
    #expect(lost.isEmpty == !(method.isPEFTOnly || scalesWholes))
    guard lost.isEmpty else { return }
    try AdapterFile.write(adapter, to: folder.file("a.safetensors"))
    let module = try #require(try StoredAdapter(contentsOf: folder.file("a.safetensors")).modules.first)
    #expect(abs(module.scale - method.scale) <= 1e-6 * abs(method.scale))
    let rows = item.weight.shape[0]
    let result = try worked(module.method, item.weight, isTransposed: item.isTransposed, rows: rows)
    #expect(relativeDifference(result, item.merged) < 1e-6)
    let bias = try item.bias.map { try module.method.bias($0) ?? $0 }
    #expect(bias.map { relativeDifference($0, item.mergedBias!) < 1e-6 } ?? true)
  }

  /// W + B A of one module, by the names of its two parts: where that goes in a base of these tensors.
  private func places(_ stem: String, _ parts: (String, String), in base: [TensorInfo]) throws -> [WeightPlace] {
    try withTemporaryDirectory { folder in
      let url = folder.appendingPathComponent("lora.safetensors")
      try SafetensorsWriter.write(
        [
          try StoredTensor(name: stem + parts.0, .zeros([2, 4])),
          try StoredTensor(name: stem + parts.1, .zeros([4, 2])),
        ], to: url)
      let adapter = try StoredAdapter(contentsOf: url)
      #expect(adapter.findings.isEmpty && adapter.modules.map(\.rank) == [2])
      let name = LoRAModuleName(try #require(adapter.modules.first).path)
      return try #require(ImageModelNames(tensors: base)).places(of: name.module, in: name.component)
    }
  }

  @Test("the names of XLabs' trainer, of diffusers before peft and of peft in memory are read from a file")
  func spellings() throws {
    let flux = try ImageLayouts(testDescription: "flux").read()
    for base in [flux.original.tensors, flux.diffusers.tensors] {
      for (stem, standard) in [
        ("double_blocks.1.processor.qkv_lora1", "double_blocks.1.img_attn.qkv"),
        ("double_blocks.1.processor.qkv_lora2", "double_blocks.1.txt_attn.qkv"),
        ("double_blocks.0.processor.proj_lora1", "double_blocks.0.img_attn.proj"),
        ("double_blocks.0.processor.proj_lora2", "double_blocks.0.txt_attn.proj"),
        ("single_blocks.0.processor.proj_lora", "single_blocks.0.linear2"),
      ] {
        let found = try places(stem, (".down.weight", ".up.weight"), in: base)
        #expect(!found.isEmpty)
        #expect(found == (try places(standard, (".lora_A.default.weight", ".lora_B.default.weight"), in: base)))
      }
      // Queries, keys and values alone, without the hidden layer that stands behind them in the original file.
      let single = try places("single_blocks.0.processor.qkv_lora", (".down.weight", ".up.weight"), in: base)
      let whole = try places("single_blocks.0.linear1", (".lora_A.weight", ".lora_B.weight"), in: base)
      #expect(!single.isEmpty && single != whole)
    }
    let unet = try ImageLayouts(testDescription: "sd15").read().diffusers.tensors
    let attention = "down_blocks.0.attentions.0.transformer_blocks.0.attn1"
    for (old, present) in [("to_q", "to_q"), ("to_out", "to_out.0")] {
      #expect(
        try places("unet.\(attention).processor.\(old)_lora", (".down.weight", ".up.weight"), in: unet)
          == [WeightPlace(tensor: "\(attention).\(present).weight")])
    }
  }

  @Test("a folder stands for the one LoRA file in it, diffusers' own before others, and for none of several")
  func folders() throws {
    try withTemporaryDirectory { folder in
      func write(_ name: String) throws {
        try SafetensorsWriter.write(
          [
            try StoredTensor(name: "unet.\(name).lora_A.weight", .zeros([2, 4])),
            try StoredTensor(name: "unet.\(name).lora_B.weight", .zeros([4, 2])),
          ], to: folder.appendingPathComponent("\(name).safetensors"))
      }
      #expect(!StoredAdapter.recognises(folder))
      try write("style")
      #expect(StoredAdapter.recognises(folder))
      #expect(try StoredAdapter(contentsOf: folder).modules.map(\.path) == ["unet.style"])
      try write("other")
      #expect(!StoredAdapter.recognises(folder))
      #expect(throws: CheckpointError.self) { try StoredAdapter(contentsOf: folder) }
      try write("pytorch_lora_weights")
      #expect(try StoredAdapter(contentsOf: folder).modules.map(\.path) == ["unet.pytorch_lora_weights"])
    }
  }

  @Test("a model that was saved with its adapter inside is no adapter")
  func wrapped() throws {
    try withTemporaryDirectory { folder in
      try SafetensorsWriter.write(
        [
          try StoredTensor(name: "fc.base_layer.weight", .zeros([4, 4])),
          try StoredTensor(name: "fc.lora_A.default.weight", .zeros([2, 4])),
          try StoredTensor(name: "fc.lora_B.default.weight", .zeros([4, 2])),
        ], to: folder.appendingPathComponent("model.safetensors"))
      #expect(!StoredAdapter.recognises(folder))
    }
  }
}
