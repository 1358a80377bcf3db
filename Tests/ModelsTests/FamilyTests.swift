// A tiny model of every family against transformers and peft (Tests/Fixtures/models/make_families.py).
import Foundation
import LoRAAdapters
import LoRAFiles
import LoRAFormats
import LoRANetworks
import LoRATensors
import TestSupport
import Testing

@testable import LoRAModels

private let folder = fixtures.appendingPathComponent("models/families")

private struct Reference: Decodable {
  var ids: [[Int]]
  var segments: [[Int]]?
  var logits: [[Float]]
  var loss: Float?
  var greedy: [Int]?
  var labels: [String]?
  var parameters: [String]
  var adapters: [String: [Float]]?

  init(_ name: String) throws {
    self = try JSONDecoder().decode(
      Reference.self, from: Data(contentsOf: folder.appendingPathComponent("\(name)/reference.json")))
  }

  /// The cases' tokens with their segments.
  var rows: [TokenRows] {
    ids.indices.map { index in
      TokenRows([
        Encoding(
          ids: ids[index].map(Int32.init), segments: (segments ?? ids.map { $0.map { _ in 0 } })[index].map(Int32.init))
      ])
    }
  }

  var together: TokenRows {
    TokenRows(
      ids.indices.map { index in
        Encoding(
          ids: ids[index].map(Int32.init), segments: (segments ?? ids.map { $0.map { _ in 0 } })[index].map(Int32.init))
      })
  }
}

/// The fixtures of one sort, and those that have adapters.
private func names(classifiers: Bool, adapted: Bool = false) -> [String] {
  ((try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []).sorted().filter { name in
    guard let reference = try? Reference(name) else { return false }
    return (reference.labels != nil) == classifiers && (!adapted || reference.adapters != nil)
  }
}

@Suite("Families of models")
struct FamilyTests {
  private func classifier(_ name: String) throws -> SequenceClassifier {
    var generator = SeededGenerator(seed: 1)
    return try SequenceClassifier(contentsOf: folder.appendingPathComponent(name), using: &generator)
  }

  @Test("every family has its model here")
  func completeness() throws {
    let types = try (names(classifiers: false) + names(classifiers: true)).map { name in
      try JSON(parsing: String(contentsOf: folder.appendingPathComponent("\(name)/config.json"), encoding: .utf8))[
        "model_type"]?.string
    }
    for type in TransformerFamily.all.flatMap(\.types) { #expect(types.contains(type), "\(type)") }
  }

  // MARK: Decoders

  @Test(
    "decoders give the logits, the loss and the parameters' names of transformers", arguments: names(classifiers: false)
  )
  func decoder(name: String) throws {
    let model = try languageModel(contentsOf: folder.appendingPathComponent(name))
    let reference = try Reference(name)
    #expect(Set(model.parameters.map(\.name)) == Set(reference.parameters))
    for (ids, logits) in zip(reference.ids, reference.logits) {
      #expect(largestDifference(model.logits(TokenRows(ids: [ids])), logits) < 1e-4, "\(ids)")
    }
    let loss = model.loss(TokenRows(ids: [reference.ids[0]])).item
    #expect(abs(loss - (try #require(reference.loss))) < 1e-5)
  }

  @Test("they go on as transformers does, beyond their windows", arguments: names(classifiers: false))
  func greedy(name: String) throws {
    let model = try languageModel(contentsOf: folder.appendingPathComponent(name))
    let expected = try #require(try Reference(name).greedy)
    var continuation = Continuation(of: Array(expected.prefix(9)), by: model, limit: 9, using: SeededGenerator(seed: 0))
    while continuation.next() != nil {}
    #expect(continuation.ids == expected)
  }

  @Test("packed, and read in pieces through the cache, they give the same", arguments: names(classifiers: false))
  func packedAndCached(name: String) throws {
    let model = try languageModel(contentsOf: folder.appendingPathComponent(name))
    let reference = try Reference(name)
    #expect(largestDifference(model.logits(reference.together), reference.logits.flatMap { $0 }) < 1e-4)
    let (ids, logits) = (reference.ids[0], reference.logits[0])
    let cache = KeyValueCache(for: model, capacity: ids.count)
    for piece in [0..<4, 4..<5, 5..<ids.count] {
      let next = model.nextLogits(Array(ids[piece]), cache: cache).scalars
      let row = logits[(piece.upperBound - 1) * model.vocabulary..<piece.upperBound * model.vocabulary]
      #expect(zip(next, row).allSatisfy { abs($0 - $1) < 1e-4 }, "\(piece)")
    }
  }

  @Test(
    "layers computed again for the gradient give the gradient of layers that are kept",
    arguments: names(classifiers: false))
  func recomputed(name: String) throws {
    let model = try languageModel(contentsOf: folder.appendingPathComponent(name))
    let rows = TokenRows(ids: try Reference(name).ids)
    let kept = model.valueAndGradients { model.loss(rows) }
    model.recomputes = true
    let again = model.valueAndGradients { model.loss(rows) }
    for item in model.trainableParameters {
      let (one, other) = (kept.gradients[item.parameter], again.gradients[item.parameter])
      #expect(one.map { largestDifference($0, other!.scalars) < 1e-6 } ?? (other == nil), "\(item.name)")
    }
  }

  // MARK: Classifiers

  @Test("classifiers give the logits and the parameters' names of transformers", arguments: names(classifiers: true))
  func classifier(name: String) throws {
    let model = try classifier(name)
    let reference = try Reference(name)
    #expect(model.isOwn && model.labels == reference.labels)
    // transformers builds a pooler for some heads that do without it, and doesn't store it.
    #expect(Set(model.parameters.map(\.name)) == Set(reference.parameters))
    for (rows, logits) in zip(reference.rows, reference.logits) {
      #expect(largestDifference(model(rows), logits) < 1e-4)
    }
    #expect(largestDifference(model(reference.together), reference.logits.flatMap { $0 }) < 1e-4)
  }

  @Test("without its head a classifier's folder is a transformer, and with other labels its last layer is new")
  func heads() throws {
    for name in names(classifiers: true) {
      let url = folder.appendingPathComponent(name)
      let body = try Transformer(contentsOf: url)
      #expect(body(try Reference(name).together).shape[1] == body.description.hidden)
      func output(_ seed: UInt64) throws -> (output: Tensor, dense: Tensor?) {
        var generator = SeededGenerator(seed: seed)
        let model = try SequenceClassifier(contentsOf: url, labels: ["a", "b", "c", "d"], using: &generator)
        #expect(!model.isOwn && model.output.weight.shape[0] == 4)
        return (model.output.weight.original, model.dense?.weight.original)
      }
      let (one, other) = (try output(1), try output(2))
      #expect(!one.output.isIdentical(to: other.output))
      #expect(one.dense.map { $0.isIdentical(to: other.dense!) } ?? true, "the dense layer is the folder's: \(name)")
    }
  }

  // MARK: Adapters

  @Test(
    "LoRA, DoRA and rsLoRA adapters give what peft gives",
    arguments: names(classifiers: false, adapted: true) + names(classifiers: true, adapted: true))
  func adapters(name: String) throws {
    let reference = try Reference(name)
    for (kind, expected) in try #require(reference.adapters) {
      let adapter = try StoredAdapter(peft: folder.appendingPathComponent("\(name)/\(kind)"))
      let output: Tensor
      if reference.labels == nil {
        let model = try languageModel(contentsOf: folder.appendingPathComponent(name))
        try adapter.attach(to: model)
        output = model.logits(reference.rows[0])
      } else {
        let model = try classifier(name)
        try adapter.attach(to: model)
        output = model(reference.rows[0])
      }
      #expect(largestDifference(output, expected) < 1e-4, "\(kind)")
    }
  }
}
