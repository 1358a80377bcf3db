import Checkpoints
import Foundation
import Networks
import Tensors

/// A classifier of texts, ready to use: model, tokenizer, classes, and an adapter where there is one.
///
/// ```swift
/// let classifier = try TextClassifier(model: folder, adapter: adapterFolder)
/// let prediction = classifier.predict(["a moving film"])[0]
/// classifier.labels[prediction.label]
/// ```
public final class TextClassifier {
  public let model: BERTClassifier
  public let tokenizer: Tokenizer
  /// The most tokens of a text that are read.
  public let maximumLength: Int
  public var labels: [String] { model.labels }

  /// The file beside an adapter's weights that names its classes.
  public static let labelsName = "labels.json"

  /// What the classifier says of one text.
  public struct Prediction: Sendable {
    public var logits: [Float]
    /// How many tokens were cut off to keep to the maximum length.
    public var removedCount: Int
    /// The likeliest class.
    public var label: Int { logits.indices.max { logits[$0] < logits[$1] }! }
    /// softmax of the logits.
    public var probabilities: [Float] {
      let weights = logits.map { exp($0 - logits[label]) }
      let sum = weights.reduce(0, +)
      return weights.map { $0 / sum }
    }
    /// −log of a class's probability.
    public func loss(of label: Int) -> Float { -log(max(probabilities[label], .leastNormalMagnitude)) }
  }

  /// - Parameters:
  ///   - adapter: a PEFT folder; its classifier takes the place of the model's.
  ///   - labels: the classes of a new, untrained classifier; by default those of the adapter, or of the model.
  ///   - maximumLength: at most, and by default, the model's positions.
  ///   - seed: of the new classifier.
  public init(
    model folder: URL, adapter: URL? = nil, labels: [String]? = nil, maximumLength: Int? = nil, seed: UInt64 = 0
  ) throws {
    tokenizer = try Tokenizer(contentsOf: folder)
    let stored = try adapter.map { try StoredAdapter(peft: $0) }
    var generator = SeededGenerator(seed: seed)
    model = try BERTClassifier(
      contentsOf: folder, labels: labels ?? stored.map { try TextClassifier.labels(of: $0, base: folder) },
      using: &generator)
    self.maximumLength = min(maximumLength ?? .max, model.bert.configuration.positions)
    try stored?.attach(to: model)
  }

  /// The classes of an adapter: those named beside it, or else the base's where their number is right, or else numbered.
  private static func labels(of adapter: StoredAdapter, base: URL) throws -> [String] {
    let file = adapter.url.appendingPathComponent(labelsName)
    let count = adapter.replacements.first { $0.name == "classifier.weight" }?.shape.first
    if let data = FileManager.default.contents(atPath: file.path) {
      guard let labels = try? JSONDecoder().decode([String].self, from: data), count == nil || labels.count == count
      else {
        throw CheckpointError(
          .malformed, file: file.path, "is no list of \(count.map(String.init) ?? "the") class names")
      }
      return labels
    }
    let own = try ModelConfiguration(Checkpoint(base)).labels()
    guard let count = count ?? own?.count else {
      throw CheckpointError(
        .missing, file: adapter.url.path,
        "has no classifier and no \(labelsName), and the model has no classifier either")
    }
    return own?.count == count ? own! : (0..<count).map { "\($0)" }
  }

  /// The texts' tokens, cut to the maximum length.
  public func encode(_ texts: [String]) -> [Encoding] { tokenizer.encode(texts, maximumLength: maximumLength) }

  /// What the classifier says of each text. Texts of similar length share a batch of about `rows` tokens.
  public func predict(
    _ texts: [String], rows: Int = 4096, progress: (_ done: Int) -> Void = { _ in }
  ) -> [Prediction] { predict(encode(texts), rows: rows, progress: progress) }

  public func predict(
    _ encodings: [Encoding], rows: Int = 4096, progress: (_ done: Int) -> Void = { _ in }
  ) -> [Prediction] {
    var predictions = [Prediction?](repeating: nil, count: encodings.count)
    for batch in batches(of: encodings, rows: rows) {
      let logits = model(TokenRows(batch.map { encodings[$0] })).scalars
      for (place, index) in batch.enumerated() {
        predictions[index] = Prediction(
          logits: Array(logits[(place * labels.count)..<((place + 1) * labels.count)]),
          removedCount: encodings[index].removedCount)
      }
      progress(batch.count)
    }
    return predictions.map { $0! }
  }
}

/// Indices of the encodings in batches of at most about `rows` tokens, longest first.
func batches(of encodings: [Encoding], rows: Int) -> [[Int]] {
  var batches: [[Int]] = []
  var filled = 0
  for index in encodings.indices.sorted(by: { encodings[$0].ids.count > encodings[$1].ids.count }) {
    let length = encodings[index].ids.count
    if filled + length > rows || batches.isEmpty {
      batches.append([])
      filled = 0
    }
    batches[batches.count - 1].append(index)
    filled += length
  }
  return batches
}

/// Sentence embeddings (Reimers and Gurevych 2019): mean token vectors of length 1, whose products are cosines.
public final class SentenceEmbedder {
  public let model: BERT
  public let tokenizer: Tokenizer
  public let maximumLength: Int

  /// - Parameter adapter: a PEFT folder; a classifier in it is left out.
  public init(model folder: URL, adapter: URL? = nil, maximumLength: Int? = nil) throws {
    tokenizer = try Tokenizer(contentsOf: folder)
    model = try BERT(contentsOf: folder)
    self.maximumLength = min(maximumLength ?? .max, model.configuration.positions)
    try adapter.map { try StoredAdapter(peft: $0) }?.attach(to: model, skippingUnplacedWeights: true)
  }

  /// [texts, hidden], and how many texts were cut to the maximum length.
  public func embed(
    _ texts: [String], rows: Int = 4096, progress: (_ done: Int) -> Void = { _ in }
  ) -> (vectors: [[Float]], cutCount: Int) {
    let encodings = tokenizer.encode(texts, maximumLength: maximumLength)
    var vectors = [[Float]](repeating: [], count: texts.count)
    let size = model.configuration.hidden
    for batch in batches(of: encodings, rows: rows) {
      let embeddings = model.sentenceEmbeddings(TokenRows(batch.map { encodings[$0] })).scalars
      for (place, index) in batch.enumerated() {
        vectors[index] = Array(embeddings[(place * size)..<((place + 1) * size)])
      }
      progress(batch.count)
    }
    return (vectors, encodings.count { $0.removedCount > 0 })
  }
}
