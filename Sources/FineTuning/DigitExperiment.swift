import Foundation
import LoRAAdapters
import LoRADatasets
import LoRAModels
import LoRANetworks
import LoRATensors
import LoRATraining

/// The experiment: train a digit classifier, find the digit that it reads worst, and teach it that digit in several
/// ways from the same base, on the same budget of steps.
public struct DigitExperiment {
  /// How large the model is, and how long and how fast it is trained.
  public struct Settings {
    /// Sizes of the two hidden layers.
    public var hidden = (1000, 2000)
    /// Passes over the training images for the base.
    public var epochs = 1
    /// Steps of each arm.
    public var steps = 100
    /// Images of a step.
    public var batchSize = 10
    /// Adam's rate for the base.
    public var baseLearningRate: Float = 1e-3
    /// Of everything random. The default is that of the story that the demo and the notebooks tell; docs/digits.md says how it was chosen.
    public var seed: UInt64 = 23
    /// Nil: the digit that the base reads worst.
    public var digit: Int?
    /// The arms to train, in their order.
    public var arms = Arm.allCases
    /// What the command line changes of an arm's recipe.
    public var adjust: (Arm, inout Recipe) -> Void = { _, _ in }

    /// The experiment on all of MNIST.
    public init() {}

    /// The base's recipe for these training images, the same wherever the story is told: a small set needs several
    /// passes, at a lower rate, before the base reads well. See docs/digits.md.
    public init(for images: LabelledImages) {
      if images.count < 20_000 { (epochs, baseLearningRate) = (4, 5e-4) }
    }
  }

  /// What an arm did.
  public struct Outcome {
    /// Which.
    public let arm: Arm
    /// How it trained.
    public let recipe: Recipe
    /// Numbers that were trained.
    public let trainableCount: Int
    /// How long the steps took.
    public let seconds: Double
    /// By step.
    public let losses: [Float]
    /// The answers on the test images.
    public let test: ClassificationResult
    /// What was added to each weight, by the path of its layer.
    public let updates: [(path: String, update: Update)]
    /// Whether the base's weights were the same, bit for bit, after the training.
    public let baseUnchanged: Bool
    /// Whether the base's outputs came back, bit for bit, with the adapter switched off; nil without an adapter.
    public let disabledEqualsBase: Bool?

    /// Steps taken.
    public var steps: Int { losses.count }
  }

  /// What an arm added to a weight.
  public enum Update {
    /// scale · B A
    case factors(a: Tensor, b: Tensor, scale: Float)
    /// The difference of the whole weight.
    case full(Tensor)

    /// The whole update, in the weight's shape.
    public var tensor: Tensor {
      switch self {
      case .factors(let a, let b, let scale): b.matmul(a) * scale
      case .full(let difference): difference
      }
    }
  }

  /// The base, and what each arm made of it.
  public struct Result {
    /// The base, without any adapter.
    public let base: DigitClassifier
    /// Its answers on the test images.
    public let baseTest: ClassificationResult
    /// By step of its training.
    public let baseLosses: [Float]
    /// How long that took.
    public let baseSeconds: Double
    /// The digit that was taught.
    public let digit: Int
    /// By arm, in their order.
    public let outcomes: [Outcome]

    /// Whether no arm has changed a bit of the base.
    public var baseUnchanged: Bool { outcomes.allSatisfy(\.baseUnchanged) }
    /// Whether every adapter, switched off, has left the base's outputs bit for bit.
    public var disabledEqualsBase: Bool { outcomes.allSatisfy { $0.disabledEqualsBase ?? true } }
  }

  /// What is trained on.
  public let train: LabelledImages
  /// What is tested on.
  public let test: LabelledImages
  /// Sizes and lengths.
  public let settings: Settings

  /// Told of each step: which phase, of how many steps, and what the step did.
  public typealias StepObserver = (_ phase: String, _ total: Int, _ report: StepReport) -> Void

  /// The experiment on given images.
  public init(train: LabelledImages, test: LabelledImages, settings: Settings = Settings()) {
    self.train = train
    self.test = test
    self.settings = settings
  }

  /// The whole of it. The base's state is kept and resumed as `keeping` and `resumeFrom` say; errors are those of
  /// `Trainer.run`.
  public func run(
    keeping: StateKeeping? = nil, resumeFrom: URL? = nil, shouldStop: () -> Bool = { false },
    onStep: StepObserver = { _, _, _ in }
  ) throws -> Result {
    let base = try trainBase(keeping: keeping, resumeFrom: resumeFrom, shouldStop: shouldStop, onStep: onStep)
    let baseTest = evaluate(base.model)
    let digit = settings.digit ?? baseTest.worstClass
    let outcomes = try settings.arms.map { arm in
      var recipe = Recipe.standard(for: arm)
      settings.adjust(arm, &recipe)
      return try teach(digit, to: base.model, arm, recipe, shouldStop: shouldStop, onStep: onStep)
    }
    return Result(
      base: base.model, baseTest: baseTest, baseLosses: base.losses, baseSeconds: base.seconds, digit: digit,
      outcomes: outcomes)
  }

  /// What the model answers on the test images.
  public func evaluate(_ model: DigitClassifier) -> ClassificationResult {
    let answers = logits(model).flatMap { $0.argmaxRows() }
    return ClassificationResult(labels: test.labels, predictions: answers, classCount: 10)
  }

  /// The model's logits on the test images, in batches that stay in the processor's cache.
  private func logits(_ model: DigitClassifier) -> [Tensor] {
    stride(from: 0, to: test.count, by: 500).map { model(test.batch($0..<min($0 + 500, test.count)).inputs) }
  }
}

// MARK: - The base

extension DigitExperiment {
  /// Trains the base on all digits.
  public func trainBase(
    keeping: StateKeeping? = nil, resumeFrom: URL? = nil, shouldStop: () -> Bool = { false },
    onStep: StepObserver = { _, _, _ in }
  ) throws -> (model: DigitClassifier, losses: [Float], seconds: Double) {
    var generator = SeededGenerator(seed: settings.seed)
    let model = DigitClassifier(inputs: train.pixelCount, hidden: settings.hidden, using: &generator)
    var sampler = ShuffledBatches(Array(0..<train.count), batchSize: settings.batchSize, seed: generator.next())
    var plan = TrainingPlan(steps: sampler.batchesPerEpoch * settings.epochs)
    (plan.keeping, plan.resumeFrom) = (keeping, resumeFrom)
    let outcome = try Trainer(Adam(model.trainableParameters, learningRate: settings.baseLearningRate)).run(
      DigitTask(model, images: train), plan, drawing: &sampler, shouldStop: shouldStop,
      onStep: { onStep("base", plan.steps, $0) })
    return (model, outcome.losses, outcome.seconds)
  }
}

// MARK: - Teaching the digit

extension DigitExperiment {
  /// Teaches a digit in one of the ways, from `base`, which stays as it is.
  ///
  /// LoRA trains on the very model that is given, and what it leaves of it is checked bit for bit; the adapter comes
  /// off at the end. Training every parameter needs a copy.
  public func teach(
    _ digit: Int, to base: DigitClassifier, _ arm: Arm, _ recipe: Recipe, shouldStop: () -> Bool = { false },
    onStep: StepObserver = { _, _, _ in }
  ) throws -> Outcome {
    let weightsBefore = base.parameters.map(\.parameter.original.scalars)
    let answersBefore = arm.usesLoRA ? logits(base) : []
    var generator = SeededGenerator(seed: settings.seed &+ 1)
    let model = arm.usesLoRA ? base : base.copy()
    if arm.usesLoRA {
      try model.attach(
        LoRAConfiguration(
          rank: recipe.rank, alpha: recipe.alpha, initialization: recipe.initialization, name: arm.rawValue),
        to: .allLinear, using: &generator)
    }
    defer {
      if arm.usesLoRA {
        try? model.removeAdapter(named: arm.rawValue)
        model.setTrainable(true)
      }
    }
    let trainer = Trainer(
      Adam(model.trainableParameters, learningRate: recipe.learningRate),
      schedule: Schedule(
        recipe.schedule, learningRate: recipe.learningRate, warmUpSteps: recipe.warmUpSteps, totalSteps: settings.steps)
    )
    var sampler = FocusedBatches(digit, of: train, share: recipe.focusShare, settings.batchSize, seed: generator.next())
    let training = try trainer.run(
      DigitTask(model, images: train), TrainingPlan(steps: settings.steps), drawing: &sampler, shouldStop: shouldStop,
      onStep: { onStep(arm.rawValue, settings.steps, $0) })

    let unchanged = zip(base.parameters, weightsBefore).allSatisfy { item, scalars in
      item.parameter.original.isIdentical(to: Tensor(shape: item.parameter.shape, scalars: scalars))
    }
    let restored =
      arm.usesLoRA
      ? zip(model.withAdaptersDisabled { logits(model) }, answersBefore).allSatisfy { $0.isIdentical(to: $1) } : nil
    return Outcome(
      arm: arm, recipe: recipe, trainableCount: model.trainableCount, seconds: training.seconds,
      losses: training.losses,
      test: evaluate(model), updates: updates(of: model, from: base), baseUnchanged: unchanged,
      disabledEqualsBase: restored)
  }

  private func updates(of model: DigitClassifier, from base: DigitClassifier) -> [(path: String, update: Update)] {
    if model === base {
      return model.attachedAdapters.compactMap { item in
        (item.adapter as? LoRA).map { (item.path, .factors(a: $0.a.original, b: $0.b.original, scale: $0.scale)) }
      }
    }
    return zip(model.adaptableWeights, base.adaptableWeights).map { tuned, original in
      (tuned.path, .full(tuned.parameter.original - original.parameter.original))
    }
  }
}

/// Batches with a share of one digit and the rest of the others.
private struct FocusedBatches: BatchSampler {
  private var alone: ShuffledBatches?
  private var mixed: ReplayBatches?

  init(_ digit: Int, of images: LabelledImages, share: Float, _ batchSize: Int, seed: UInt64) {
    let focus = images.indices(ofLabel: digit)
    let count = max(1, Int((share * Float(batchSize)).rounded()))
    if count >= batchSize {
      alone = ShuffledBatches(focus, batchSize: batchSize, seed: seed)
    } else {
      let others = (0..<images.count).filter { images.label(at: $0) != digit }
      mixed = ReplayBatches(
        focus: focus, replay: others, focusCount: count, replayCount: batchSize - count, seed: seed)
    }
  }

  func isLike(_ other: FocusedBatches) -> Bool {
    switch (alone, other.alone, mixed, other.mixed) {
    case (let a?, let b?, nil, nil): a.isLike(b)
    case (nil, nil, let a?, let b?): a.isLike(b)
    default: false
    }
  }

  mutating func next() -> [Int] { alone?.next() ?? mixed?.next() ?? [] }
}
