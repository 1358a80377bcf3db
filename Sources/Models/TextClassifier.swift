import Foundation
import LoRADatasets
import LoRAFiles
import LoRAFormats
import LoRANetworks
import LoRATensors

/// A classifier of texts, ready to use: model, tokenizer, classes, and any number of adapters.
///
/// ```swift
/// let classifier = try TextClassifier(model: folder, adapter: adapterFolder)
/// let prediction = try classifier.predict(["a moving film"])[0]
/// classifier.labels[prediction.label]
/// ```
/// With several adapters, which are for the same classes, one is on at a time (`use`), or each task has its own:
/// `classifier.model.withAdapters(["reviews"]) { try classifier.predict(texts) }`.
public final class TextClassifier {
  /// The transformer and its classifier, with the adapter where there is one.
  public let model: SequenceClassifier
  /// What makes tokens of texts.
  public let tokenizer: Tokenizer
  /// The most tokens that are read at once.
  public let maximumLength: Int
  /// What is done with longer texts.
  public let longTexts: LongTexts
  /// Whether the model's folder has a classifier for these classes, beneath any adapter; else it was drawn at random.
  public let hasOwnClassifier: Bool
  /// The names of the classes, by their number.
  public var labels: [String] { model.labels }
  /// What is learnt of a text; a single logit is a number.
  public var problem: ProblemType { model.problem }
  /// The adapters' names, in order.
  public var adapterNames: [String] { model.adapterNames }
  /// The folder of the model.
  let folder: URL

  /// The file beside an adapter's weights that names its classes.
  public static let labelsName = "labels.json"

  /// What the classifier says of one text.
  public struct Prediction: Sendable {
    /// Of a text in several windows: the mean of theirs.
    public var logits: [Float]
    /// What becomes of them.
    package var answer = SequenceClassifier.Answer.oneOfAll

    package init(logits: [Float], answer: SequenceClassifier.Answer) { (self.logits, self.answer) = (logits, answer) }

    /// The likeliest class.
    public var label: Int { logits.indices.max { logits[$0] < logits[$1] }! }
    /// softmax of the logits; the sigmoid of each where a text may have several labels, and of a single one, as
    /// cross-encoders have it; the logit itself where the model's configuration says that it is the score.
    public var probabilities: [Float] {
      switch answer {
      case .score: return logits
      case .eachByItself: return logits.map { 1 / (1 + exp(-$0)) }
      case .oneOfAll: break
      }
      let weights = logits.map { exp($0 - logits[label]) }
      let sum = weights.reduce(0, +)
      return weights.map { $0 / sum }
    }
    /// −log of a class's probability.
    public func loss(of label: Int) -> Float {
      expect(logits.indices.contains(label), "loss: class \(label) of \(logits.count), counted from 0")
      return -log(max(probabilities[label], .leastNormalMagnitude))
    }
  }

  /// - Parameters:
  ///   - folder: a Hugging Face folder: config.json, weights, tokenizer.json.
  ///   - adapter: a PEFT folder, whose adapter is called "default"; its classifier takes the place of the model's.
  ///   - labels: the classes of a new, untrained classifier; by default those of the adapter, or of the model.
  ///   - problem: what a new classifier learns; by default which one of the classes.
  ///   - maximumLength: at most, and by default, the model's positions.
  ///   - longTexts: what is done with longer texts.
  ///   - seed: of the new classifier.
  public convenience init(
    model folder: URL, adapter: URL? = nil, labels: [String]? = nil, problem: ProblemType? = nil,
    maximumLength: Int? = nil, longTexts: LongTexts = .cut, seed: UInt64 = 0
  ) throws {
    try self.init(
      model: folder, named: adapter.map { [("default", $0)] } ?? [],
      labels: labels.map { ClassifierLabels($0, problem: problem) }, maximumLength: maximumLength,
      longTexts: longTexts, seed: seed)
  }

  /// With several adapters, of which the first is on.
  ///
  /// - `adapters`: PEFT folders; each is known by its folder's name, with as many of the folders above it as tell
  ///   it from the others.
  /// - Throws: `CheckpointError` where they are not all for the same classes in the same order.
  public convenience init(
    model folder: URL, adapters: [URL], maximumLength: Int? = nil, longTexts: LongTexts = .cut
  ) throws {
    let names = try namesOfAdapters(adapters)
    try self.init(
      model: folder, named: Array(zip(names, adapters)), maximumLength: maximumLength, longTexts: longTexts)
    try use(adapter: names.first)
  }

  init(
    model folder: URL, named adapters: [(name: String, folder: URL)], labels: ClassifierLabels? = nil,
    maximumLength: Int? = nil, longTexts: LongTexts = .cut, seed: UInt64 = 0
  ) throws {
    self.folder = folder
    tokenizer = try Tokenizer(contentsOf: folder)
    let stored = try adapters.map { (name: $0.name, adapter: try StoredAdapter(peft: $0.folder)) }
    let known = try labels.map { _ in [] } ?? stored.map { try TextClassifier.labels(of: $0.adapter, base: folder) }
    for (index, others) in known.enumerated() where others != known[0] {
      let (own, others) = (known[0].names, others.names)
      throw CheckpointError(
        .mismatch, file: stored[index].adapter.url.path, "is for the classes \(others.joined(separator: ", "))",
        expected: "\(own.joined(separator: ", ")), in this order, as \(stored[0].adapter.url.path) has them",
        advice: "Load them into classifiers of their own")
    }
    var generator = SeededGenerator(seed: seed)
    let chosen = labels ?? known.first
    model = try SequenceClassifier(
      contentsOf: folder, labels: chosen?.names, problem: chosen?.problem, using: &generator)
    self.maximumLength = min(maximumLength ?? .max, model.body.description.positions)
    self.longTexts = longTexts
    hasOwnClassifier = model.isOwn
    for (name, adapter) in stored {
      guard hasOwnClassifier || adapter.replacements.contains(where: { $0.name == "\(model.headModules.last!).weight" })
      else {
        throw CheckpointError(
          .missing, file: adapter.url.path,
          "has no classifier, and the model has none for its classes", advice: Advice("Train one", .trainClassifier))
      }
      try adapter.attach(to: model, named: name)
    }
  }

  /// Switches one adapter on and the others off, for all tasks; nil gives the base.
  ///
  /// - Throws: `AttachmentError.noMatch` where there is no such adapter.
  public func use(adapter name: String?) throws { try model.enableAdapters(name.map { [$0] } ?? []) }

  /// The classes of an adapter: those named beside it, or else the base's where their number is right, or else numbered.
  private static func labels(of adapter: StoredAdapter, base: URL) throws -> ClassifierLabels {
    let file = try LoRAFiles.file(labelsName, in: adapter.url)
    let description = try TransformerDescription(ModelConfiguration(Checkpoint(base)))
    let output = "\(description.head.output).weight"
    let count = adapter.replacements.first { $0.name == output }?.shape.first
    if let data = try contents(of: file) {
      guard let labels = data.withUnsafeBytes({ try? JSON(parsing: $0) }).flatMap(ClassifierLabels.init),
        count == nil || labels.names.count == count
      else {
        throw CheckpointError(
          .malformed, file: file.path, "holds no names of classes, or not as many",
          expected: "a list of \(count.map(String.init) ?? "the") class names",
          advice: "Write the names as a JSON list, in the order of the classifier's rows")
      }
      guard Set<ExactString>(names: labels.names).count == labels.names.count else {
        throw CheckpointError(
          .malformed, file: file.path, "names a class twice: \(labels.names.joined(separator: ", "))",
          expected: "each once", advice: "Name each class once")
      }
      return labels
    }
    let own = description.labels
    guard let count = count ?? own?.count else {
      throw CheckpointError(
        .missing, file: adapter.url.path,
        "has no classifier and no \(labelsName), and the model has no classifier either",
        advice: Advice("Train one", .trainClassifier))
    }
    return ClassifierLabels(own?.count == count ? own! : (0..<count).map { "\($0)" })
  }

  /// No texts yet, to which any number can be appended, part by part.
  ///
  /// - Throws: `TokenizerError` where the special tokens leave no room.
  public func noTexts() throws -> EncodedTexts {
    try EncodedTexts(tokenizer: tokenizer, length: maximumLength, longTexts: longTexts)
  }

  /// The texts' tokens.
  ///
  /// - Throws: `NoTokensError` where a text has none, `TokenizerError` where a token is not among the model's.
  public func encode(_ texts: [String]) throws -> EncodedTexts {
    var encoded = try noTexts()
    try encoded.append(texts)
    try requireKnown(encoded)
    return encoded
  }

  /// What the classifier says of each text.
  ///
  /// - Parameters:
  ///   - texts: what is read.
  ///   - rows: about how many tokens are worked on at once.
  ///   - progress: is told how many are done.
  public func predict(
    _ texts: [String], rows: Int = 4096, progress: (_ done: Int) -> Void = { _ in }
  ) throws -> [Prediction] { try predict(try encode(texts), rows: rows, progress: progress) }

  /// The same for texts that are tokens already.
  public func predict(
    _ texts: EncodedTexts, rows: Int = 4096, progress: (_ done: Int) -> Void = { _ in }
  ) throws -> [Prediction] {
    var predictions: [Prediction] = []
    try forEachPrediction(of: texts, rows: rows, progress: progress) { predictions.append($0) }
    return predictions
  }

  /// Calls `body` with what the classifier says of each text, in their order: of any number in little memory.
  ///
  /// - Throws: `TokenizerError` where a token is not among the model's, `CheckpointError` where an answer is no number.
  public func forEachPrediction(
    of texts: EncodedTexts, rows: Int = 4096, progress: (_ done: Int) -> Void = { _ in },
    _ body: (Prediction) throws -> Void
  ) throws {
    try requireKnown(texts)
    let classCount = labels.count
    func logits(_ part: EncodedTexts.Part, _ batch: [Int]) -> [[Float]] {
      let found = model(TokenRows(batch.map { part.sequences[$0] })).scalars
      return batch.indices.map { Array(found[($0 * classCount)..<(($0 + 1) * classCount)]) }
    }
    try texts.forEachText(rows: rows, progress: progress, compute: logits) { _, windows in
      let sum = windows.dropFirst().reduce(windows[0]) { sum, logits in zip(sum, logits).map { $0 + $1 } }
      try body(
        Prediction(
          logits: windows.count == 1 ? sum : sum.map { $0 / Float(windows.count) }, answer: model.answer))
    }
  }

  /// Insists that the model knows the texts' tokens and segments.
  ///
  /// - Throws: `TokenizerError`.
  public func requireKnown(_ texts: EncodedTexts) throws {
    try texts.requireKnown(
      vocabulary: model.body.description.vocabulary, segments: model.body.description.knownSegments)
  }

  /// Logits of some of the texts, [indices, classes], for training: the mean over each text's windows.
  ///
  /// - Throws: `CheckpointError` where the texts' tokens can't be read.
  public func logits(of texts: EncodedTexts, at indices: [Int]) throws -> Tensor {
    let sequences = try indices.map(texts.sequences)
    let logits = model(TokenRows(sequences.flatMap { $0 }))  // [windows, classes]
    guard logits.shape[0] > indices.count else { return logits }
    var shares = [Float](repeating: 0, count: indices.count * logits.shape[0])
    var column = 0
    for (row, windows) in sequences.enumerated() {
      for _ in windows {
        shares[row * logits.shape[0] + column] = 1 / Float(windows.count)
        column += 1
      }
    }
    return Tensor(shape: [indices.count, logits.shape[0]], scalars: shares).matmul(logits)
  }
}
