import LoRAModels
import LoRANetworks
import LoRATensors
import LoRATraining

/// Telling the classes of texts apart: the mean cross entropy of their labels, and the accuracy on others.
public struct TextClassificationTask: LearningTask {
  /// Texts as tokens, and the class of each.
  public struct Examples {
    /// The texts.
    public let texts: EncodedTexts
    /// By text, its class: its place in the classifier's `labels`.
    public let labels: SmallIntegers

    /// As many labels as texts.
    public init(_ texts: EncodedTexts, labels: SmallIntegers) {
      expect(
        texts.count == labels.count, "TextClassificationTask: \(texts.count) texts with \(labels.count) labels")
      (self.texts, self.labels) = (texts, labels)
    }
  }

  /// What learns, with its tokenizer and its classes.
  public let classifier: TextClassifier
  /// What it learns from.
  public let examples: Examples
  /// What it is measured by; nil where it is not.
  public let evaluation: Examples?

  /// - Throws: `TokenizerError` where a text has a token or segment that the model does not know.
  public init(_ classifier: TextClassifier, examples: Examples, evaluation: Examples? = nil) throws {
    for examples in [examples, evaluation].compactMap(\.self) { try classifier.requireKnown(examples.texts) }
    (self.classifier, self.examples, self.evaluation) = (classifier, examples, evaluation)
  }

  public var model: any Module { classifier.model }
  public var count: Int { examples.texts.count }
  public var isEvaluated: Bool { evaluation != nil }

  public func loss(of examples: [Int]) throws -> Tensor {
    try classifier.logits(of: self.examples.texts, at: examples)
      .crossEntropy(examples.map { self.examples.labels[$0] })
  }

  /// Accuracy, and the mean loss.
  public func evaluate() throws -> (score: Double, loss: Double) {
    guard let evaluation else { return (.nan, .nan) }
    var (right, loss, index) = (0, 0.0, 0)
    try classifier.forEachPrediction(of: evaluation.texts) { prediction in
      let label = evaluation.labels[index]
      right += prediction.label == label ? 1 : 0
      loss += Double(prediction.loss(of: label))
      index += 1
    }
    return (Double(right) / Double(index), loss / Double(index))
  }
}
