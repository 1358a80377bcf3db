// Folders of sentence-transformers against it (Tests/Fixtures/models/make_sentences.py).
import Foundation
import LoRAFiles
import LoRAFormats
import LoRAModels
import LoRATensors
import TestSupport
import Testing

private let models = fixtures.appendingPathComponent("models")

@Suite("Folders of sentence-transformers")
struct SentenceTests {
  private struct Reference: Decodable {
    var tokenizer: String
    var texts: [String]
    var embeddings: [String: [[Float]]]
  }

  /// A fixture with its tokenizer in a folder of its own.
  private func copy(_ name: String, in temporary: TemporaryFolder) throws -> (folder: URL, reference: Reference) {
    let folder = temporary.file(name)
    try FileManager.default.copyItem(at: models.appendingPathComponent("sentences/\(name)"), to: folder)
    let reference = try JSONDecoder().decode(
      Reference.self, from: Data(contentsOf: folder.appendingPathComponent("reference.json")))
    let inner = folder.appendingPathComponent("0_Transformer")
    let place = FileManager.default.fileExists(atPath: inner.path) ? inner : folder
    try FileManager.default.copyItem(
      at: models.appendingPathComponent("tokenizer-\(reference.tokenizer).json"),
      to: place.appendingPathComponent("tokenizer.json"))
    return (folder, reference)
  }

  @Test(
    "pooling, Dense, Normalize, lengths, case and prompts are those of sentence-transformers",
    arguments: ["first-dense", "largest-and-mean", "root", "last", "weighted-old"])
  func embeddings(name: String) throws {
    let temporary = try TemporaryFolder()
    let (folder, reference) = try copy(name, in: temporary)
    for (prompt, expected) in reference.embeddings {
      let embedder = try SentenceEmbedder(model: folder, prompt: prompt.isEmpty ? nil : prompt)
      #expect(embedder.modules.isDescribed)
      for (found, expected) in zip(try embedder.embed(reference.texts), expected) {
        #expect(found.count == expected.count)
        #expect(zip(found, expected).allSatisfy { abs($0 - $1) < 1e-4 }, "\(prompt)")
      }
    }
  }

  @Test("windows of a text are pooled together: its first, its last, its largest, its mean")
  func windows() {
    // Two windows of two tokens, which share none: 1, 5 and 3, 2, of one number each.
    func vector(_ mode: SentencePooling.Mode) -> Float {
      let pooling = SentencePooling(mode)
      let parts = [[1, 5], [3, 2]].map {
        pooling.part(of: Tensor(shape: [2, 1], scalars: $0.map(Float.init)), weights: [1, 1])
      }
      return pooling.vector(of: parts)[0]
    }
    #expect(vector(.first) == 1 && vector(.last) == 2 && vector(.maximum) == 5)
    #expect(vector(.mean) == 11 / 4 && vector(.sumOverRoot) == 11 / 2)
    // (1 + 2·5)/3 and (3 + 2·2)/3
    #expect(abs(vector(.weightedMean) - 3) < 1e-6)
  }

  @Test("what isn't supported, isn't there, or doesn't fit is named")
  func errors() throws {
    func message(_ file: String, _ change: (inout JSON) -> Void) throws -> String {
      let temporary = try TemporaryFolder()
      let folder = try copy("first-dense", in: temporary).folder
      let place = folder.appendingPathComponent(file)
      var json = try JSON(parsing: String(contentsOf: place, encoding: .utf8))
      change(&json)
      try Data(json.compact.utf8).write(to: place)
      do {
        _ = try SentenceEmbedder(model: folder)
        return ""
      } catch { return "\(error)" }
    }
    let pooling = "1_Pooling/config.json"
    #expect(try message(pooling) { $0["pooling_mode"] = "attention" }.contains("pooling_mode is \"attention\""))
    #expect(try message(pooling) { $0["include_prompt"] = false }.contains("include_prompt"))
    #expect(
      try message(pooling) { $0["pooling_mode"] = ["cls", "mean"] }.contains("takes vectors of 12 numbers, expected 24")
    )
    #expect(
      try message("2_Dense/config.json") { $0["activation_function"] = "torch.nn.modules.activation.Hardtanh" }
        .contains("Hardtanh"))
    #expect(
      try message("modules.json") { $0 = ["../x"] }.contains("has no type or no path"))
    #expect(
      try message("modules.json") { json in
        json = .array(
          json.array!.prefix(1) + [["type": "sentence_transformers.models.LSTM", "path": "1_LSTM", "idx": 1]])
      }.contains("LSTM"))
    #expect(
      try message("modules.json") { $0 = [["type": "x.Transformer", "path": "../elsewhere", "idx": 0]] }
        .contains("expected a folder within this one"))
    let temporary = try TemporaryFolder()
    let folder = try copy("last", in: temporary).folder
    let error = #expect(throws: CheckpointError.self) { try SentenceEmbedder(model: folder, prompt: "title") }
    #expect(error?.description.contains("document, passage, query") == true)
  }
}
