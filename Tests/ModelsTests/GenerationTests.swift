// What a decoder writes: which tokens may be drawn, several adapters on one model, texts side by side.
import Foundation
import LoRAAdapters
import LoRAFiles
import LoRAFormats
import LoRAModels
import LoRATensors
import TestSupport
import Testing

private let folder = fixtures.appendingPathComponent("models")

@Suite("Generation")
struct GenerationTests {
  @Test("penalty, temperature and filters leave the probabilities of transformers")
  func probabilities() throws {
    struct Reference: Decodable {
      struct Case: Decodable {
        var row: Int
        var repetitionPenalty: Float
        var temperature: Float
        var topK: Int?
        var topP: Float?
        var minP: Float?
        var probabilities: [String: Float]
      }
      var logits: [[Float]]
      var after: [Int]
      var cases: [Case]
    }
    let reference = try JSONDecoder().decode(
      Reference.self, from: Data(contentsOf: folder.appendingPathComponent("sampling.json")))
    #expect(reference.cases.count == 144)
    for item in reference.cases {
      var options = SamplingOptions()
      (options.temperature, options.repetitionPenalty) = (item.temperature, item.repetitionPenalty)
      (options.topK, options.topP, options.minP) = (item.topK, item.topP, item.minP)
      let found = options.probabilities(Tensor(reference.logits[item.row]), after: reference.after)
      let expected = found.indices.map { item.probabilities["\($0)"] ?? 0 }
      #expect(zip(found, expected).allSatisfy { ($0 == 0) == ($1 == 0) && abs($0 - $1) < 1e-6 }, "\(options)")
    }
  }

  /// A folder with a decoder and two adapters in folders of the same name.
  private func workplace() throws -> (folder: TemporaryFolder, model: URL, adapters: [URL]) {
    let temporary = try TemporaryFolder()
    let model = temporary.file("decoder")
    try FileManager.default.copyItem(at: folder.appendingPathComponent("small-decoder"), to: model)
    try FileManager.default.copyItem(
      at: folder.appendingPathComponent("tokenizer-metaspace.json"), to: model.appendingPathComponent("tokenizer.json"))
    let adapters = try [("a", Scaling.standard, 5 as UInt64), ("b", .rankStabilized, 6)].map { name, scaling, seed in
      let decoder = try languageModel(contentsOf: model)
      var generator = SeededGenerator(seed: seed)
      try decoder.attach(
        LoRAConfiguration(rank: 2, alpha: 3, scaling: scaling), to: .names(["q_proj", "v_proj"]), using: &generator)
      for item in decoder.allParameters where item.name.hasSuffix(".b") {
        try item.parameter.assignOriginal(.normal(item.parameter.shape, deviation: 0.5, using: &generator))
      }
      let url = temporary.file("\(name)/adapter")
      try StoredAdapter(of: decoder, url: url).write(peft: url)
      return url
    }
    return (temporary, model, adapters)
  }

  @Test("adapters that take turns token by token write what each writes alone")
  func switching() throws {
    let (temporary, model, adapters) = try workplace()
    var options = SamplingOptions()
    options.temperature = 1
    func alone(_ adapters: [URL]) throws -> String {
      try TextGenerator(model: model, adapters: adapters).write(after: "the fox", limit: 25, options: options).text
    }
    let expected = [try alone([]), try alone([adapters[0]]), try alone([adapters[1]])]
    #expect(Set(expected).count == 3)

    let generator = try TextGenerator(model: model, adapters: adapters)
    #expect(generator.adapterNames == ["a/adapter", "b/adapter"])
    let writers = [nil, "a/adapter", "b/adapter"]
    var texts = try writers.map { _ in try generator.text(after: "the fox", limit: 25, options: options) }
    var isWriting = true
    while isWriting {
      isWriting = false
      for index in texts.indices {
        try generator.use(adapter: writers[index])
        if texts[index].next() != nil { isWriting = true }
      }
    }
    #expect(texts.map(\.text) == expected)
    #expect(throws: CheckpointError.self) { try TextGenerator(model: model, adapters: adapters + [adapters[0]]) }
    withExtendedLifetime(temporary) {}
  }

  // MARK: Side by side
}
