import Foundation
import LoRAKit

/// The experiment: train a digit classifier, find the digit that it reads worst, and teach it that digit in several
/// ways from the same base, on the same budget of steps.
struct DigitExperiment {
  /// A way to teach the digit.
  enum Arm: String, CaseIterable, Codable {
    /// LoRA on that digit only: the naive recipe of "LoRA from scratch".
    case lora
    /// Every parameter, on that digit only.
    case full
    /// LoRA, the digit mixed with the others.
    case loraReplay = "lora-replay"
    /// Every parameter, with the same replay.
    case fullReplay = "full-replay"

    var usesLoRA: Bool { self == .lora || self == .loraReplay }
    var usesReplay: Bool { self == .loraReplay || self == .fullReplay }
  }

  /// How an arm trains.
  struct Recipe: Codable, Equatable {
    var rank = 1
    var alpha: Float = 1
    var initialization = LoRA.Initialization.standardNormal
    var learningRate: Float = 1e-3
    var schedule = Schedule.Shape.constant
    var warmUpSteps = 0
    /// The share of the digit in each batch; the rest is replay.
    var focusShare: Float = 1

    /// The naive recipe: rank 1, α 1, Adam at 1e-3, the digit alone.
    static let naive = Recipe()
    /// The measured recipe: see docs/digits.md for what was tried.
    static let replay = Recipe(
      rank: 8, alpha: 8, initialization: .kaimingUniform, learningRate: 1e-3, schedule: .linear, focusShare: 0.3)
    /// The same mixture for full-parameter training.
    static let fullReplay = Recipe(learningRate: 1e-3, schedule: .linear, focusShare: 0.3)

    static func standard(for arm: Arm) -> Recipe {
      switch arm {
      case .lora, .full: .naive
      case .loraReplay: .replay
      case .fullReplay: .fullReplay
      }
    }
  }

  struct Settings {
    var hidden = (1000, 2000)
    var epochs = 1
    var steps = 100
    var batchSize = 10
    var baseLearningRate: Float = 1e-3
    var seed: UInt64 = 0
    /// Nil: the digit that the base reads worst.
    var digit: Int?
    var arms = Arm.allCases
    /// What the command line changes of an arm's recipe.
    var adjust: (Arm, inout Recipe) -> Void = { _, _ in }
  }

  /// What an arm did.
  struct Outcome {
    let arm: Arm
    let recipe: Recipe
    let trainableCount: Int
    let seconds: Double
    let losses: [Float]
    let test: ClassificationResult
    /// What was added to each weight, by the path of its layer.
    let updates: [(path: String, update: Update)]

    var steps: Int { losses.count }
  }

  /// What an arm added to a weight.
  enum Update {
    /// scale · B A
    case factors(a: Tensor, b: Tensor, scale: Float)
    /// The difference of the whole weight.
    case full(Tensor)

    var tensor: Tensor {
      switch self {
      case .factors(let a, let b, let scale): b.matmul(a) * scale
      case .full(let difference): difference
      }
    }
  }

  struct Result {
    let base: DigitClassifier
    let baseTest: ClassificationResult
    let baseLosses: [Float]
    let baseSeconds: Double
    let digit: Int
    let outcomes: [Outcome]
    /// Whether the base's weights were the same, bit for bit, after each LoRA training.
    let baseUnchanged: Bool
    /// Whether the base's outputs came back, bit for bit, with the adapter switched off.
    let disabledEqualsBase: Bool
  }

  let train: LabelledImages
  let test: LabelledImages
  let settings: Settings

  /// Told of each step: which phase, of how many steps, and what the step did.
  typealias StepObserver = (_ phase: String, _ total: Int, _ report: StepReport) -> Void

  func run(
    keeping: StateKeeping?, resumeFrom: URL?, shouldStop: () -> Bool, onStep: StepObserver
  ) throws -> Result {
    let (base, trainer, seconds) = try trainBase(
      keeping: keeping, resumeFrom: resumeFrom, shouldStop: shouldStop, onStep: onStep)
    let baseTest = evaluate(base)
    let digit = settings.digit ?? baseTest.worstClass
    var unchanged = true
    var restored = true
    let outcomes = try settings.arms.map { arm in
      try teach(
        digit, base, arm: arm, shouldStop: shouldStop, onStep: onStep, unchanged: &unchanged, restored: &restored)
    }
    return Result(
      base: base, baseTest: baseTest, baseLosses: trainer.losses, baseSeconds: seconds, digit: digit,
      outcomes: outcomes, baseUnchanged: unchanged, disabledEqualsBase: restored)
  }

  /// What the model answers on the test images.
  func evaluate(_ model: DigitClassifier) -> ClassificationResult {
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
  private func trainBase(
    keeping: StateKeeping?, resumeFrom: URL?, shouldStop: () -> Bool, onStep: StepObserver
  ) throws -> (DigitClassifier, Trainer, seconds: Double) {
    var generator = SeededGenerator(seed: settings.seed)
    let model = DigitClassifier(inputs: train.pixelCount, hidden: settings.hidden, using: &generator)
    let trainer = Trainer(Adam(model.trainableParameters, learningRate: settings.baseLearningRate))
    var sampler = ShuffledBatches(Array(0..<train.count), batchSize: settings.batchSize, seed: generator.next())
    if let resumeFrom {
      try TrainingState.restore(
        trainer, of: model, sampler: &sampler, purpose: keeping?.purpose ?? "", from: resumeFrom)
    }
    let total = sampler.batchesPerEpoch * settings.epochs
    let start = Date()
    try trainer.run(
      model, steps: total, drawing: &sampler, keeping: keeping, shouldStop: shouldStop,
      onStep: { onStep("base", total, $0) }
    ) { indices in
      let batch = train.batch(indices)
      return model(batch.inputs).crossEntropy(batch.labels)
    }
    return (model, trainer, Date().timeIntervalSince(start))
  }
}

// MARK: - Teaching the digit

extension DigitExperiment {
  private func teach(
    _ digit: Int, _ base: DigitClassifier, arm: Arm, shouldStop: () -> Bool, onStep: StepObserver,
    unchanged: inout Bool, restored: inout Bool
  ) throws -> Outcome {
    var recipe = Recipe.standard(for: arm)
    settings.adjust(arm, &recipe)
    var generator = SeededGenerator(seed: settings.seed &+ 1)
    // LoRA trains on the very base that others use: what it leaves of it is checked. Full training needs a copy.
    let model = arm.usesLoRA ? base : base.copy()
    let before = arm.usesLoRA ? base.parameters.map(\.parameter.original.scalars) : []
    let answersBefore = arm.usesLoRA ? logits(base) : []
    if arm.usesLoRA {
      let configuration = LoRAConfiguration(
        rank: recipe.rank, alpha: recipe.alpha, initialization: recipe.initialization, name: arm.rawValue)
      try model.attach(configuration, to: .allLinear, using: &generator)
    }
    let trainer = Trainer(
      Adam(model.trainableParameters, learningRate: recipe.learningRate),
      schedule: Schedule(
        recipe.schedule, learningRate: recipe.learningRate, warmUpSteps: recipe.warmUpSteps, totalSteps: settings.steps)
    )
    let start = Date()
    func run(_ sampler: some BatchSampler) throws {
      var sampler = sampler
      try trainer.run(
        model, steps: settings.steps, drawing: &sampler, shouldStop: shouldStop,
        onStep: { onStep(arm.rawValue, settings.steps, $0) }
      ) { indices in
        let batch = train.batch(indices)
        return model(batch.inputs).crossEntropy(batch.labels)
      }
    }
    let focus = train.indices(ofLabel: digit)
    let focusCount = Int((recipe.focusShare * Float(settings.batchSize)).rounded())
    if arm.usesReplay && focusCount < settings.batchSize {
      try run(
        ReplayBatches(
          focus: focus, replay: (0..<train.count).filter { train.label(at: $0) != digit },
          focusCount: max(1, focusCount),
          replayCount: settings.batchSize - max(1, focusCount), seed: generator.next()))
    } else {
      try run(ShuffledBatches(focus, batchSize: settings.batchSize, seed: generator.next()))
    }
    let seconds = Date().timeIntervalSince(start)
    let trainableCount = model.trainableCount
    let result = evaluate(model)
    let updates: [(String, Update)]
    if arm.usesLoRA {
      updates = model.attachedAdapters.map { item in
        let lora = item.adapter as! LoRA
        return (item.path, .factors(a: lora.a.original, b: lora.b.original, scale: lora.scale))
      }
      unchanged =
        unchanged
        && zip(base.parameters, before).allSatisfy { item, scalars in
          item.parameter.original.isIdentical(to: Tensor(shape: item.parameter.shape, scalars: scalars))
        }
      let disabled = model.withAdaptersDisabled { logits(model) }
      restored = restored && zip(disabled, answersBefore).allSatisfy { $0.isIdentical(to: $1) }
      try model.removeAdapter(named: arm.rawValue)
      model.setTrainable(true)
    } else {
      updates = zip(model.adaptableWeights, base.adaptableWeights).map { tuned, original in
        (tuned.path, .full(tuned.parameter.original - original.parameter.original))
      }
    }
    return Outcome(
      arm: arm, recipe: recipe, trainableCount: trainableCount, seconds: seconds, losses: trainer.losses, test: result,
      updates: updates)
  }
}
