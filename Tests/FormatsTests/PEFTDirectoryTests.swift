import CheckpointCases
import Foundation
import LoRAFiles
import LoRAFormats
import TestSupport
import Testing

@Suite struct PEFTDirectoryTests {
  @Test("An adapter as peft writes it has nothing odd about it and fits its base", arguments: PEFTCase.all)
  func isComplete(_ example: PEFTCase) throws {
    let placement = try Placement(example.adapter(), on: WeightCatalog(example.base()))
    #expect(placement.findings.filter { $0.severity > .note } == [])
    #expect(placement.items.count == (try example.adapter().modules.count))
  }

  @Test("Read and written again, an adapter has the same tensors and the same configuration", arguments: PEFTCase.all)
  func roundTrip(_ example: PEFTCase) throws {
    try withTemporaryDirectory { directory in
      let adapter = try example.adapter()
      let copy = directory.appendingPathComponent("copy")
      try adapter.write(peft: copy)
      let original = try SafetensorsFile(example.folder.appendingPathComponent("adapter/adapter_model.safetensors"))
      let written = try SafetensorsFile(copy.appendingPathComponent("adapter_model.safetensors"))
      // peft writes two copies from inside its wrapper that it doesn't read.
      let meant = original.tensors.filter {
        !$0.name.contains(".modules_to_save.") && !$0.name.contains(".original_module.")
      }
      #expect(written.tensors.map(\.name).sorted() == meant.map(\.name).sorted())
      for tensor in meant {
        let other = try #require(written[tensor.name])
        #expect(other.info == tensor.info)
        #expect(tensor.withBytes { bytes in other.withBytes { bytes.elementsEqual($0) } })
      }
      let text = try String(
        contentsOf: example.folder.appendingPathComponent("adapter/adapter_config.json"), encoding: .utf8)
      #expect(try String(contentsOf: copy.appendingPathComponent("adapter_config.json"), encoding: .utf8) == text)
    }
  }
}

extension PEFTDirectoryTests {
  @Test("Weights in a pickle are read if nothing but tensors is in it; a missing configuration is named")
  func legacy() throws {
    try withTemporaryDirectory { directory in
      try Data([0x80]).write(to: directory.appendingPathComponent("adapter_model.bin"))
      let error = #expect(throws: CheckpointError.self) { try StoredAdapter(contentsOf: directory) }
      #expect(error?.problem.contains("adapter_config.json") == true)
      let configuration = PEFTCase.named("llama").folder.appendingPathComponent("adapter/adapter_config.json")
      try FileManager.default.copyItem(at: configuration, to: directory.appendingPathComponent("adapter_config.json"))
      let broken = #expect(throws: CheckpointError.self) { try StoredAdapter(contentsOf: directory) }
      #expect(broken?.file.hasSuffix("adapter_model.bin") == true)
      try FileManager.default.removeItem(at: directory.appendingPathComponent("adapter_config.json"))
      let source = PEFTCase.named("llama").folder.appendingPathComponent("adapter/adapter_model.safetensors")
      try FileManager.default.copyItem(at: source, to: directory.appendingPathComponent("adapter_model.safetensors"))
      let missing = #expect(throws: CheckpointError.self) { try StoredAdapter(contentsOf: directory) }
      #expect(missing?.problem.contains("adapter_config.json") == true)
    }
  }

  @Test("An adapter that is not named default lies in a folder of its name; of several, one has to be named")
  func named() throws {
    try withTemporaryDirectory { directory in
      let source = PEFTCase.named("llama").folder.appendingPathComponent("adapter")
      try FileManager.default.copyItem(at: source, to: directory.appendingPathComponent("style"))
      #expect(try StoredAdapter(contentsOf: directory).modules.count == 4)
      try FileManager.default.copyItem(at: source, to: directory.appendingPathComponent("facts"))
      let error = #expect(throws: CheckpointError.self) { try StoredAdapter(contentsOf: directory) }
      #expect(error?.problem.contains("facts, style") == true)
    }
  }

  @Test("A field that peft does not know is kept and reported")
  func unknownFields() throws {
    let json: JSON = ["peft_type": "LORA", "r": 4, "target_modules": ["q"], "from_the_future": ["x": 1]]
    let configuration = try PEFTConfiguration(json)
    #expect(configuration.unknownFields == ["from_the_future"])
    #expect(configuration.json["from_the_future"] == ["x": 1])
    #expect(configuration.json["velora_config"] == .some(.null))
  }
}
