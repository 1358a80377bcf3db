// A classifier with several adapters, saved whole.
import Foundation
import LoRAAdapters
import LoRAFiles
import LoRAFormats
import LoRAModels
import LoRANetworks
import LoRATensors
import TestSupport
import Testing

private let texts = ["the quick brown fox", "a lazy dog", "over the word and the reader"]

/// A small encoder, and adapters for two classes that say different things.
private func makeClassifier(_ names: [String], in folder: TemporaryFolder) throws -> TextClassifier {
  let base = folder.file("encoder")
  let models = fixtures.appendingPathComponent("models")
  try FileManager.default.copyItem(at: models.appendingPathComponent("small-encoder"), to: base)
  try FileManager.default.copyItem(
    at: models.appendingPathComponent("tokenizer-wordpiece.json"), to: base.appendingPathComponent("tokenizer.json"))
  for (index, name) in names.enumerated() {
    let classifier = try TextClassifier(model: base, labels: ["dog", "fox"], seed: 4)
    var generator = SeededGenerator(seed: UInt64(index + 1))
    let form: LoRAConfiguration.Form = index == 1 ? .dora : .plain
    try classifier.model.attach(
      LoRAConfiguration(rank: index + 1, alpha: 3, form: form), to: .names(["query", "value"]), using: &generator)
    let head = classifier.model.output
    for parameter in [head.weight, head.bias!] { try parameter.parametrize(by: Replacement(of: parameter)) }
    for item in classifier.model.trainableParameters {
      try item.parameter.assignOriginal(
        item.parameter.original + .normal(item.parameter.shape, deviation: 0.4, using: &generator))
    }
    try classifier.saveAdapter(to: folder.file("adapters/\(name)"))
  }
  return try TextClassifier(model: base, adapters: names.map { folder.file("adapters/\($0)") }, maximumLength: 12)
}

@Suite("Classifiers with several adapters")
struct SavedClassifierTests {
  private func logits(_ classifier: TextClassifier) throws -> [[Float]] { try classifier.predict(texts).map(\.logits) }

  @Test("each adapter answers as it does alone, by a switch, by task and row by row")
  func several() throws {
    let folder = try TemporaryFolder()
    let classifier = try makeClassifier(["one", "two"], in: folder)
    #expect(classifier.adapterNames == ["one", "two"] && classifier.labels == ["dog", "fox"])
    let found = try ["one", "two"].map { name in
      try classifier.use(adapter: name)
      let alone = try TextClassifier(
        model: folder.file("encoder"), adapter: folder.file("adapters/\(name)"), maximumLength: 12)
      #expect(try logits(classifier) == logits(alone), "\(name)")
      return try logits(classifier)
    }
    #expect(found[0] != found[1])
    for (name, expected) in zip(["one", "two"], found) {
      #expect(try classifier.model.withAdapters([name]) { try logits(classifier) } == expected)
    }
    let rows = try classifier.model.withAdapters(rows: ["two", "one", "two"]) {
      try classifier.logits(of: classifier.encode(texts), at: [0, 1, 2])
    }
    #expect(rows.scalars == found[1][0] + found[0][1] + found[1][2])
  }

  @Test("a classifier saved whole is read again whole: the same answers of each adapter, the same one on")
  func whole() throws {
    let folder = try TemporaryFolder()
    let classifier = try makeClassifier(["one", "two"], in: folder)
    try classifier.use(adapter: "two")
    try classifier.save(to: folder.file("saved"))
    try FileManager.default.removeItem(at: folder.file("encoder"))
    try FileManager.default.removeItem(at: folder.file("adapters"))
    let again = try TextClassifier(contentsOf: folder.file("saved"))
    #expect(again.adapterNames == ["one", "two"] && again.labels == classifier.labels && again.maximumLength == 12)
    #expect(try logits(again) == logits(classifier))
    for name in [nil, "one"] {
      try classifier.use(adapter: name)
      try again.use(adapter: name)
      #expect(try logits(again) == logits(classifier), "\(name ?? "base")")
    }
    // What is in it is what others read: a model and PEFT folders.
    #expect(try StoredAdapter(peft: folder.file("saved/adapters/one")).modules.count == 4)
    #expect(try TextClassifier(model: folder.file("saved")).hasOwnClassifier)
    #expect(folder.names == ["saved"])
    try FileManager.default.removeItem(at: folder.file("saved/classifier.json"))
    let error = #expect(throws: CheckpointError.self) { try TextClassifier(contentsOf: folder.file("saved")) }
    #expect(error?.description.contains("classifier.json: is not there") == true)
  }

  @Test("adapters for other classes are one error that names both folders")
  func classes() throws {
    let folder = try TemporaryFolder()
    _ = try makeClassifier(["one", "two"], in: folder)
    try Data(#"["fox", "dog"]"#.utf8).write(to: folder.file("adapters/two/labels.json"))
    let error = #expect(throws: CheckpointError.self) {
      try TextClassifier(model: folder.file("encoder"), adapters: ["one", "two"].map { folder.file("adapters/\($0)") })
    }
    let text = try #require(error?.description)
    #expect(text.contains("adapters/two: is for the classes fox, dog, expected dog, fox, in this order"))
    #expect(text.contains("adapters/one has them"))
  }
}
