import Foundation
import LoRAFiles
import LoRATensors
import TestSupport
import Testing

@Suite("Errors about files") struct CheckpointErrorTests {
  @Test("what is thrown without a file is about the one that is worked on; what names its own keeps it")
  func about() throws {
    func message(_ file: String) -> String? {
      let error = #expect(throws: CheckpointError.self) {
        try CheckpointError.about("adapter") {
          throw CheckpointError(.mismatch, file: file, "is odd", expected: "even", advice: "Take another")
        }
      }
      return error?.description
    }
    #expect(message("") == "adapter: is odd, expected even. Take another.")
    #expect(message("weights") == "weights: is odd, expected even. Take another.")
    #expect(throws: CancellationError.self) { try CheckpointError.about("adapter") { throw CancellationError() } }
  }

  @Test("a broken file's message begins with its path, says what was found, and ends with what to do")
  func messages() throws {
    let folder = try TemporaryFolder()
    let header = #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,9]}}"#
    var length = UInt64(header.utf8.count).littleEndian
    let prefix = withUnsafeBytes(of: &length) { Data($0) }
    let cases: [(name: String, content: Data, says: String)] = [
      ("empty.safetensors", Data(), "is empty, expected a safetensors file. Fetch the file again"),
      ("short.safetensors", Data([1, 2, 3]), "3 bytes are too few"),
      ("offsets.safetensors", prefix + Data(header.utf8) + Data(count: 9), "takes 8 bytes, its data_offsets hold 9"),
      ("text.npy", Data("hello".utf8), "does not begin with \\x93NUMPY and a header, expected a valid NumPy file."),
      ("broken.bin", Data("PK\u{3}\u{4}".utf8), "is a zip archive that torch.save did not write, expected"),
      ("page.safetensors", Data("<html>".utf8), "expected a safetensors file. Fetch it again, signed in"),
    ]
    for item in cases {
      let url = folder.file(item.name)
      try item.content.write(to: url)
      let error = #expect(throws: CheckpointError.self, "\(item.name)") {
        if item.name.hasSuffix("npy") { _ = try NumPyFile(url) } else { _ = try TensorFile(url) }
      }
      let text = error?.description ?? ""
      #expect(text.hasPrefix("\(url.path): ") && text.contains(item.says) && text.hasSuffix("."), "\(text)")
      #expect(error?.expected?.isEmpty == false && error?.advice.text.isEmpty == false, "\(text)")
    }
  }
}
