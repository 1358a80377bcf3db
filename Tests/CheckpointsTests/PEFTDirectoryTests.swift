import Foundation
import LoRAKit
import TestSupport
import Testing

@Suite struct PEFTDirectoryTests {
  @Test("An adapter as peft writes it has nothing odd about it and fits its base", arguments: PEFTCase.all)
  func isComplete(_ example: PEFTCase) throws {
    let attachment = try Attachment(example.adapter(), base: example.base())
    #expect(attachment.findings.filter { $0.severity > .note } == [])
    #expect(attachment.placements.count == (try example.adapter().modules.count))
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
