// What to train, how long and how fast, by sizes alone; docs/transformers.md has the sources.

import Foundation
import LoRAAdapters
import LoRADatasets
import LoRAModels
import LoRANetworks
import LoRATensors
import LoRATraining

/// What is a good beginning for a fine-tuning, and why: a function of the sizes of data and model alone.
///
/// ```swift
/// let advice = FineTuningAdvice(for: task.sizes)
/// (recipe.rank, recipe.alpha) = (advice.rank, Float(2 * advice.rank))
/// (schedule.batchSize, schedule.epochs, schedule.learningRate) = (advice.batchSize, advice.epochs, advice.learningRate)
/// try recipe.prepare(task.model, using: &generator)
/// if let search = FineTuningAdvice.search(examples: task.count, schedule) {
///   schedule.learningRate = try search.run(task, recipe, schedule).learningRate
/// }
/// let outcome = try FineTuning(recipe, schedule).run(task)
/// let narrowing = try Narrowing(of: task, from: recipe.rank)
/// ```
public struct FineTuningAdvice: Sendable, Equatable {
  /// What is known before the first step.
  public struct Sizes: Sendable, Equatable {
    /// What learns.
    public enum Kind: Sendable {
      /// Short texts, each with a label.
      case classifier
      /// Long windows of tokens.
      case decoder
    }

    /// What learns.
    public var kind: Kind
    /// Examples to learn from.
    public var examples: Int
    /// How much there is to be learnt of them, at most: of a classifier, the logarithm of its classes for each example.
    public var bits: Double
    /// The width of the model's token vectors.
    public var hidden: Int
    /// What an adapter of rank 1 on all linear layers has: Σ (inputs + outputs).
    public var numbersPerRank: Int
    /// The smaller side of the smallest linear layer.
    public var largestRank: Int

    /// - Parameters:
    ///   - kind: what learns.
    ///   - examples: how many there are to learn from.
    ///   - bits: how much there is to be learnt of them, at most.
    ///   - hidden: the width of the model's token vectors.
    ///   - model: what learns, before any adapter is on it.
    ///   - wholeModules: what gets no adapter, by path.
    public init(
      _ kind: Kind, examples: Int, bits: Double, hidden: Int, model: some Module, excluding wholeModules: [String]
    ) {
      let layers = model.adaptableWeights.filter { $0.isLinear && !wholeModules.contains($0.path) }.map(\.parameter)
      (self.kind, self.examples, self.bits, self.hidden) = (kind, examples, bits, hidden)
      numbersPerRank = layers.reduce(0) { $0 + $1.inputs + $1.outputs }
      largestRank = layers.map { min($0.inputs, $0.outputs) }.min() ?? 1
    }
  }

  /// What is chosen.
  public enum Setting: String, Sendable, CaseIterable {
    /// Which modules are adapted.
    case modules
    /// The rank to train at.
    case rank
    /// How many examples make a step.
    case batchSize = "batch size"
    /// How often all examples are seen.
    case epochs
    /// The largest learning rate.
    case learningRate = "learning rate"
  }

  /// r: room for what the examples can tell, and at least 16.
  public let rank: Int
  /// Examples of a step.
  public let batchSize: Int
  /// Passes over the examples.
  public let epochs: Double
  /// Ten times what suits the training of every parameter; a search begins here.
  public let learningRate: Float
  /// Why.
  public let reasons: [Setting: String]

  /// A trained number holds about two bits (Allen-Zhu and Li, 2024).
  private static let bitsPerNumber = 2.0
  /// Less saves little; more costs time in each step.
  private static let ranks = (least: 16, most: 64)
  /// Fewer steps leave an adapter half trained, whatever the rate.
  private static let (stepsOfAnEpoch, steps) = (20, 300.0)

  /// What a trial may cost of its run's work, and the steps below which it tells nothing.
  private static let (trialShare, leastTrial) = (0.07, 12)

  /// - `sizes`: of data and model.
  public init(for sizes: Sizes) {
    let held = Self.bitsPerNumber * Double(max(1, sizes.numbersPerRank))
    var rank = Self.ranks.least
    while rank < Self.ranks.most, Double(rank) * held < sizes.bits { rank *= 2 }
    self.rank = min(rank, sizes.largestRank)
    let (mostExamples, mostEpochs) = sizes.kind == .classifier ? (16, 3.0...10.0) : (8, 1.0...3.0)
    var batch = 4
    while batch < mostExamples, sizes.examples >= 2 * batch * Self.stepsOfAnEpoch { batch *= 2 }
    batchSize = batch
    let perEpoch = Double(max(1, (sizes.examples - 1) / batch + 1))
    epochs = min(max((Self.steps / perEpoch).rounded(), mostEpochs.lowerBound), mostEpochs.upperBound)
    learningRate = FineTuningAdvice.learningRate(hidden: sizes.hidden)
    reasons = [
      .modules: "on all linear layers an adapter learns what training every parameter does, on attention alone less",
      .rank:
        "the examples can tell \(Self.text(sizes.bits)) bits at most, and rank 1 holds about \(Self.text(held)); from "
        + "\(Self.ranks.least), since wide adapters train better, to \(Self.ranks.most)",
      .batchSize: "small batches suit adapters: \(Self.text(perEpoch)) steps an epoch",
      .epochs: "\(Self.text(epochs * perEpoch)) steps in all, where about \(Self.text(Self.steps)) are wanted",
      .learningRate: "ten times the rate for all parameters of a model \(sizes.hidden) wide",
    ]
  }

  private static func text(_ number: Double) -> String {
    Int(number.rounded(.toNearestOrEven)).grouped
  }

  /// 10 · 5e-5 · (2000 / width)^0.781: ten times what suits the training of all parameters of Llamas of several widths
  /// (Schulman et al., LoRA Without Regret, 2025, and the hyperparam_utils of their cookbook), to two digits.
  public static func learningRate(hidden: Int) -> Float {
    let rate = 10 * 5e-5 * pow(2000 / Double(max(1, hidden)), 0.781)
    let unit = pow(10, (log10(rate)).rounded(.down) - 1)
    return Float((rate / unit).rounded() * unit)
  }

  /// The search for a rate that a run can afford: two trials, or three where the second is worse, of a fourteenth of its work
  /// each; nil where they would be too short to tell anything.
  ///
  /// - Parameters:
  ///   - examples: how many there are to learn from.
  ///   - schedule: of the run; its rate is tried first.
  public static func search(examples: Int, _ schedule: FineTuningSchedule) -> RateSearch? {
    let heldOut = min(96, examples / 5)
    let work = trialShare * Double(schedule.totalSteps(examples: examples) * schedule.batchSize)
    // To read an example costs a third of what it costs to learn it.
    let steps = min(Int((work - Double(heldOut) / 3) / Double(schedule.batchSize)), 100)
    guard steps >= leastTrial, heldOut >= 16 else { return nil }
    return RateSearch(from: schedule.learningRate, steps: steps, heldOut: heldOut)
  }
}

extension TextClassificationTask {
  /// What its recipe can be chosen by; before an adapter is on the model.
  public var sizes: FineTuningAdvice.Sizes {
    let bits: Double =
      switch examples.targets {
      case .classes: log2(Double(max(2, classifier.labels.count)))
      case .sets: Double(classifier.labels.count)
      // As exact as people give scores.
      case .scores: 8
      }
    return .init(
      .classifier, examples: count, bits: Double(count) * bits, hidden: classifier.model.body.description.hidden,
      model: classifier.model, excluding: classifier.model.headModules)
  }
}

extension LanguageModelingTask {
  /// What its recipe can be chosen by; before an adapter is on the model. A token that is learnt wants a number (Schulman et
  /// al., 2025), which is two bits.
  public var sizes: FineTuningAdvice.Sizes {
    .init(
      .decoder, examples: count, bits: 2 * Double(windows.predictions), hidden: decoder.outputWeight.shape[1],
      model: decoder, excluding: ["lm_head"])
  }
}
