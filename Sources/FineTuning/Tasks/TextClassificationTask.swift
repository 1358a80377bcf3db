import LoRADatasets
import LoRAModels
import LoRANetworks
import LoRATensors
import LoRATraining

/// Learning what texts are labelled with: one class of several (cross-entropy), any of several labels (binary
/// cross-entropy of each), or a number (squared error).
public struct TextClassificationTask: LearningTask {
  /// Texts as tokens, and what each is labelled with.
  public struct Examples {
    /// The texts.
    public let texts: EncodedTexts
    /// By text, its class, labels or number.
    public let targets: LabelTargets

    /// As many targets as texts.
    public init(_ texts: EncodedTexts, targets: LabelTargets) {
      expect(
        texts.count == targets.count, "TextClassificationTask: \(texts.count) texts with \(targets.count) labels")
      (self.texts, self.targets) = (texts, targets)
    }

    /// Of one class a text: its place in the classifier's `labels`.
    public init(_ texts: EncodedTexts, labels: SmallIntegers) { self.init(texts, targets: .classes(labels)) }
  }

  /// What learns, with its tokenizer and its classes.
  public let classifier: TextClassifier
  /// What it learns from.
  public let examples: Examples
  /// What it is measured by; nil where it is not.
  public let evaluation: Examples?
  /// By class, how much its texts count in the loss; nil where all count the same.
  public let classWeights: [Float]?

  /// - `classWeights`: of texts with one class each.
  /// - Throws: `TokenizerError` where a text has a token or segment that the model does not know.
  public init(
    _ classifier: TextClassifier, examples: Examples, evaluation: Examples? = nil, classWeights: [Float]? = nil
  ) throws {
    for examples in [examples, evaluation].compactMap(\.self) { try classifier.requireKnown(examples.texts) }
    (self.classifier, self.examples, self.evaluation) = (classifier, examples, evaluation)
    self.classWeights = classWeights
  }

  /// Weights with which every class counts the same in all: n / (classes · texts of the class); 1 for a class without
  /// texts.
  public static func balancedWeights(of labels: SmallIntegers, classCount: Int) -> [Float] {
    var counts = [Int](repeating: 0, count: classCount)
    for label in labels { counts[label] += 1 }
    return counts.map { $0 == 0 ? 1 : Float(labels.count) / Float(classCount * $0) }
  }

  public var model: any Module { classifier.model }
  public var count: Int { examples.texts.count }
  public var isEvaluated: Bool { evaluation != nil }

  public func weight(of example: Int) -> Float {
    guard let classWeights, case .classes(let labels) = examples.targets else { return 1 }
    return classWeights[labels[example]]
  }

  public func loss(of examples: [Int]) throws -> Tensor {
    let logits = try classifier.logits(of: self.examples.texts, at: examples)
    switch self.examples.targets {
    case .classes(let labels): return logits.crossEntropy(examples.map { labels[$0] }, weights: classWeights)
    case .sets(let sets):
      return logits.binaryCrossEntropy(
        Tensor(shape: logits.shape, scalars: sets.flags(at: examples, labelCount: logits.shape[1])))
    case .scores(let scores):
      return logits.meanSquaredError(Tensor(shape: logits.shape, scalars: examples.map { scores[$0] }))
    }
  }

  /// Accuracy, micro F1 or Pearson's correlation, and the mean loss, in which all texts count the same.
  public func evaluate() throws -> (score: Double, loss: Double) {
    guard let evaluation else { return (.nan, .nan) }
    let result = try TextResult(of: classifier, on: evaluation.texts, targets: evaluation.targets)
    return (result.score, result.loss)
  }
}
