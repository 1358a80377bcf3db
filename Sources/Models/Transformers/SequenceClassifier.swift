import Foundation
import LoRADatasets
import LoRAFiles
import LoRAFormats
import LoRANetworks
import LoRATensors

/// A classifier of texts: a transformer, one vector for a text, and one logit a class (transformers'
/// `…ForSequenceClassification`).
public final class SequenceClassifier: Module {
  /// The transformer.
  public let body: Transformer
  /// The dense layer before the last one, if any.
  package let dense: Linear?
  let norm: (any Layer)?
  /// From a text's vector to one logit a class.
  public let output: Linear
  /// The names of the classes.
  public let labels: [String]
  /// Whether the folder has a classifier for these classes; else it was drawn at random.
  public let isOwn: Bool

  /// What the logits of a text say.
  package enum Answer: Sendable {
    /// It has one of the classes.
    case oneOfAll
    /// Each class is its own question.
    case eachByItself
    /// The logit is the score.
    case score
  }

  package let answer: Answer

  /// Reads the folder; what it lacks of a classifier, or has for other classes, is drawn anew.
  ///
  /// - Parameters:
  ///   - folder: a Hugging Face folder: config.json, weights, tokenizer.json; of an encoder or a decoder.
  ///   - labels: the classes; by default those of the folder's classifier.
  ///   - problem: what the logits say; by default what the folder says, or one of all classes.
  ///   - generator: where random numbers come from.
  /// - Throws: `CheckpointError` where no labels are given and the folder has no classifier.
  public init(
    contentsOf folder: URL, labels: [String]? = nil, problem: ProblemType? = nil,
    using generator: inout some RandomNumberGenerator
  ) throws {
    let checkpoint = try Checkpoint(folder)
    let json = try ModelConfiguration(checkpoint)
    let description = try TransformerDescription(json)
    let (head, hidden) = (description.head, description.hidden)
    let weights = Weights(checkpoint, prefix: description.names[.body]!)
    let stored = weights[head.output]["weight"].shape
    let own = stored.map { shape in description.labels ?? (0..<shape[0]).map(String.init) }
    guard let labels = labels ?? own else {
      throw CheckpointError(
        .missing, file: folder.path, "is a model without a classifier", advice: Advice("Train one", .trainClassifier))
    }
    self.labels = labels
    // What a score is called does not tell classifiers apart.
    isOwn = own == labels || problem == .regression && own?.count == 1
    answer =
      switch problem {
      case .regression: .score
      case .multiLabel: .eachByItself
      case .singleLabel: .oneOfAll
      case nil: try isOwn ? json.answer(labels: labels.count) : labels.count == 1 ? .eachByItself : .oneOfAll
      }
    body = Transformer(weights[description.names[.body]!], description)

    func drawn(_ outputs: Int, bias: Bool, _ generator: inout some RandomNumberGenerator) -> Linear {
      Linear(
        weight: Parameter(
          .normal([outputs, hidden], deviation: Float(description.initializerRange), using: &generator)),
        bias: bias ? Parameter(.zeros([outputs])) : nil)
    }
    dense = head.dense.map { name in
      weights[name]["weight"].exists
        ? Linear(weights[name], inputs: hidden, outputs: hidden, bias: head.hasDenseBias)
        : drawn(hidden, bias: head.hasDenseBias, &generator)
    }
    norm = head.norm.map { name in
      weights[name]["weight"].exists
        ? description.norm(weights[name], size: hidden) : LayerNorm(size: hidden, epsilon: Float(description.epsilon))
    }
    output =
      isOwn
      ? Linear(weights[head.output], inputs: hidden, outputs: labels.count, bias: head.hasOutputBias)
      : drawn(labels.count, bias: head.hasOutputBias, &generator)
    try weights.finish { description.isIgnorable($0, in: weights) || !self.isOwn && $0.hasPrefix("\(head.output).") }
    if head.usesPooler && body.pooler == nil {
      throw CheckpointError(
        .missing, file: folder.path,
        "has no \(description.names[.body]!).\(description.names[.pooler]!).weight, which a classifier stands on",
        advice: "Take a checkpoint that was saved with it")
    }
  }

  public func pathComponent(ofProperty property: String) -> String {
    let head = body.description.head
    switch property {
    case "body": return body.description.names[.body]!
    case "dense": return head.dense ?? property
    case "norm": return head.norm ?? property
    case "output": return head.output
    default: return property
    }
  }

  /// What is learnt of a text; a single logit is a number.
  public var problem: ProblemType {
    labels.count == 1 ? .regression : answer == .eachByItself ? .multiLabel : .singleLabel
  }

  /// The labels as they are written beside an adapter; of a cross-encoder's logit, the base's configuration says the rest.
  public var written: ClassifierLabels {
    switch answer {
    case .oneOfAll: ClassifierLabels(labels, problem: .singleLabel)
    case .eachByItself: ClassifierLabels(labels, problem: labels.count > 1 ? .multiLabel : nil)
    case .score: ClassifierLabels(labels, problem: .regression)
    }
  }

  /// The modules that are trained whole where the classifier is new, by path.
  public var headModules: [String] { body.description.head.modules }

  /// Logits, [texts, classes].
  public func callAsFunction(_ tokens: TokenRows) -> Tensor {
    let head = body.description.head
    let hidden = body(tokens)
    var x =
      head.usesPooler ? body.pooled(hidden, tokens) : body.pooled(hidden, tokens, head.pooling, padding: head.padding)
    if let dense { x = head.denseActivation(dense(x)) }
    return output(norm?(x) ?? x)
  }
}

extension ModelConfiguration {
  /// What the logits say: transformers' `problem_type`, and for a single one what sentence-transformers' cross-encoders
  /// make of it.
  fileprivate func answer(labels: Int) throws -> SequenceClassifier.Answer {
    switch try text("problem_type") {
    case "multi_label_classification": return .eachByItself
    case "regression":
      guard labels == 1 else {
        throw unsupported("problem_type", "regression", supported: "one label for it, not \(labels)")
      }
      return .score
    case nil, "single_label_classification": break
    case let other?:
      throw unsupported(
        "problem_type", .string(other),
        supported: "single_label_classification, multi_label_classification, regression")
    }
    guard labels == 1 else { return .oneOfAll }
    let newer = try object("sentence_transformers")?.text("activation_fn")
    let function = try newer ?? text("sbert_ce_default_activation_function")
    switch function?.split(separator: ".").last {
    case nil, "Sigmoid": return .eachByItself
    case "Identity": return .score
    default:
      throw unsupported(
        "activation_fn", .string(function!), supported: "torch.nn's Sigmoid and Identity")
    }
  }
}

extension Transformer {
  /// One of each text's token vectors, or their mean: [texts, hidden].
  ///
  /// - Parameter padding: a token that is none; the last one is the last that is something else.
  func pooled(
    _ hidden: Tensor, _ tokens: TokenRows, _ pooling: HeadDescription.Pooling, padding: Int? = nil
  ) -> Tensor {
    let sequences = (0..<tokens.packing.count).map { tokens.packing[$0] }
    switch pooling {
    case .first: return hidden.rows(at: sequences.map(\.lowerBound))
    case .last:
      return hidden.rows(
        at: sequences.map { rows in
          padding == nil ? rows.upperBound - 1 : rows.last { tokens.ids[$0] != padding } ?? rows.lowerBound
        })
    case .mean:
      return .concatenated(
        sequences.map { hidden.sliced(axis: 0, $0).mean(axis: 0, keepingAxis: true) }, axis: 0)
    }
  }
}
