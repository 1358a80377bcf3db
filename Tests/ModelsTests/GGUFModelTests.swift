import Foundation
import LoRAFiles
import LoRAFormats
import LoRAModels
import LoRATensors
import TestSupport
import Testing

// Models in GGUF files against transformers: the same tiny models as in Tests/Fixtures/models, written by gguf-py
// (Tests/Fixtures/quantized/make.py).

private let folder = fixtures.appendingPathComponent("quantized")
private let models = fixtures.appendingPathComponent("models")

@Suite("GGUF models") struct GGUFModelTests {
  private struct Reference: Decodable {
    struct Case: Decodable {
      var ids: [Int]
      var logits: [Float]
    }
    var cases: [Case]
  }

  @Test(
    "a decoder in a GGUF file gives transformers' logits, whatever order its rows have there",
    arguments: ["tiny-llama", "tiny-qwen2", "tiny-gpt2"])
  func logits(name: String) throws {
    let model = try languageModel(contentsOf: folder.appendingPathComponent("\(name).gguf"))
    let reference = try JSONDecoder().decode(
      Reference.self, from: Data(contentsOf: models.appendingPathComponent("\(name)/reference.json")))
    for item in reference.cases {
      #expect(largestDifference(model.logits(TokenRows(ids: [item.ids])), item.logits) < 2e-5, "\(item.ids)")
    }
    let folder = try languageModel(contentsOf: models.appendingPathComponent(name))
    #expect(Set(model.parameters.map(\.name)) == Set(folder.parameters.map(\.name)))
  }

  @Test("a configuration of which no GGUF file can be is refused in words")
  func impossibleWidth() throws {
    try withTemporaryDirectory { place in
      for name in ["config.json", "model.safetensors"] {
        try FileManager.default.copyItem(
          at: models.appendingPathComponent("tiny-gpt2/\(name)"), to: place.appendingPathComponent(name))
      }
      let url = place.appendingPathComponent("config.json")
      var configuration = try JSON(parsing: String(contentsOf: url, encoding: .utf8))
      configuration["n_embd"] = 4_294_967_295
      try configuration.pretty.write(to: url, atomically: true, encoding: .utf8)
      let error = #expect(throws: CheckpointError.self) { try GGUFLayout(Checkpoint(place)) }
      #expect(
        error?.description.contains("n_embd is 4294967295, expected below") == true, "\(String(describing: error))")
    }
  }

  @Test("its tokenizer is that of the metadata: scores become merges, roles are kept")
  func tokenizer() throws {
    let tokenizer = try Tokenizer(contentsOf: folder.appendingPathComponent("tiny-llama.gguf"))
    // A space is put before the text, and "▁a" is a token: 31 of the 32.
    #expect(tokenizer.encode("ab").ids == [1, 31, 5])
    #expect(tokenizer.special.end == 2)
    #expect(tokenizer.decode([31, 5]) == "ab")
    let pairs = try Tokenizer(contentsOf: folder.appendingPathComponent("tiny-gpt2.gguf"))
    let count = pairs.idBound
    #expect(pairs.encode("abba").ids == [Int32(count - 1), 2, 1])
  }

  @Test("a tokenizer of a llama.cpp vocabulary gives the tokens of the one that it was made from")
  func sentencePiece() throws {
    let shared = URL(fileURLWithPath: "../shared/data/models/stories260K")
    guard FileManager.default.fileExists(atPath: shared.path) else { return }
    let original = try Tokenizer(contentsOf: shared)
    let layout = try GGUFLayout(Checkpoint(shared))
    try withTemporaryDirectory { place in
      let url = place.appendingPathComponent("x.gguf")
      try GGUFWriter.write([], fields: layout.fields(mostly: .f32, of: []), to: url)
      let read = try Tokenizer(gguf: TensorFile(url))
      for text in ["Once upon a time, there was a little girl.", "  two  spaces\n", "naïve 漢字 🦊", "", "<s> and </s>"] {
        #expect(read.encode(text).ids == original.encode(text).ids, "\(text)")
      }
    }
  }
}
