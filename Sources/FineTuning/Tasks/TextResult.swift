import Foundation
import LoRADatasets
import LoRAModels
import LoRATensors
import LoRATraining

/// How a classifier answers labelled texts.
public struct TextResult: Sendable {
  /// Its answers beside the truth.
  public enum Answers: Sendable {
    /// Of one class a text.
    case classes(ClassificationResult)
    /// Of any of several labels a text; those with a probability above ½ are answered.
    case sets(LabelSetResult)
    /// Of a number a text.
    case scores(RegressionResult)
  }

  /// Its answers beside the truth.
  public let answers: Answers
  /// The mean loss: cross-entropy, binary cross-entropy of every label, or squared error.
  public let loss: Double

  /// Answers that were found otherwise.
  public init(answers: Answers, loss: Double) { (self.answers, self.loss) = (answers, loss) }

  /// Asks the classifier.
  ///
  /// - `texts`: what is answered.
  /// - `targets`: the truth, as many as texts.
  /// - `places`: by class of the classifier its place in `targets`, where that is another.
  /// - `progress`: is told how many texts were answered.
  /// - Throws: `TokenizerError` where a token is not among the model's, `CheckpointError` where an answer is no number.
  public init(
    of classifier: TextClassifier, on texts: EncodedTexts, targets: LabelTargets, places: [Int]? = nil,
    progress: (_ done: Int) -> Void = { _ in }
  ) throws {
    expect(texts.count == targets.count, "TextResult: \(texts.count) texts with \(targets.count) labels")
    let count = classifier.labels.count
    var (loss, index) = (0.0, 0)
    func each(_ body: (TextClassifier.Prediction) -> Double) throws {
      try classifier.forEachPrediction(of: texts, progress: progress) { prediction in
        var prediction = prediction
        if let places {
          let logits = prediction.logits
          for (from, to) in places.enumerated() { prediction.logits[to] = logits[from] }
        }
        loss += body(prediction)
        index += 1
      }
    }
    switch targets {
    case .classes(let labels):
      var answers = SmallIntegers()
      try each { prediction in
        answers.append(prediction.label)
        return Double(prediction.loss(of: labels[index]))
      }
      self.answers = .classes(ClassificationResult(labels: labels, predictions: answers, classCount: count))
    case .sets(let sets):
      var result = LabelSetResult(labelCount: count)
      try each { prediction in
        let truth = sets[index]
        result.append(truth: truth, answer: prediction.logits.indices.filter { prediction.logits[$0] > 0 })
        let losses = prediction.logits.enumerated().map { label, logit in
          Double(max(logit, 0) - (truth.contains(label) ? logit : 0) + log1p(exp(-abs(logit))))
        }
        return losses.reduce(0, +) / Double(count)
      }
      answers = .sets(result)
    case .scores(let scores):
      var found: [Float] = []
      try each { prediction in
        let answer = prediction.probabilities[0]
        found.append(answer)
        return Double((answer - scores[index]) * (answer - scores[index]))
      }
      answers = .scores(RegressionResult(truth: scores, answers: found))
    }
    self.loss = loss / Double(max(1, index))
  }

  /// The one number that runs are compared by: accuracy, micro F1 or Pearson's correlation.
  public var score: Double {
    switch answers {
    case .classes(let result): result.accuracy
    case .sets(let result): result.microF1
    // Where all answers are the same, nothing is told apart.
    case .scores(let result): result.pearson.isFinite ? result.pearson : 0
    }
  }
}

extension ProblemType {
  /// What its score is called: the one number that runs are compared by.
  public var scoreName: String {
    switch self {
    case .singleLabel: "accuracy"
    case .multiLabel: "micro F1"
    case .regression: "Pearson's correlation"
    }
  }
}
