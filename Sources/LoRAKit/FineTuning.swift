import Foundation
import LoRAAdapters
import LoRAFiles
import LoRAFormats
import LoRANetworks
import LoRATensors
import LoRATraining

/// What is trained on a base model: an adapter of some kind, or every parameter.
public struct FineTuningRecipe: Sendable {
  public enum Method: String, Sendable, CaseIterable {
    case lora, rslora, dora, pissa, olora, full
  }

  public var method = Method.lora
  public var rank = 8
  public var alpha: Float = 16
  /// The probability with which an element of an adapter's input is dropped in training.
  public var dropout: Float = 0
  public var targets: Targets = .allLinear
  /// Modules that are trained whole beside the adapter (a new classifier), by path.
  public var wholeModules: [String] = []
  /// Which biases are trained beside the adapter.
  public var bias = PEFTConfiguration.Bias.none
  /// What B's learning rate is multiplied by (LoRA+, Hayou et al. 2024).
  public var rateRatio: Float = 1

  public init() {}

  /// Puts the adapter on the model and leaves only what is to be trained trainable.
  public func prepare(_ model: some Module, using generator: inout some RandomNumberGenerator) throws {
    guard method != .full else { return model.setTrainable(true) }
    let wholePaths = Set(wholeModules)
    let configuration = LoRAConfiguration(
      rank: rank, alpha: alpha, scaling: method == .rslora ? .rankStabilized : .standard, dropout: dropout)
    // As in peft, all linear maps are those but the last one, which makes logits.
    let last = model.adaptableWeights.map(\.path).filter { wholeModules.contains($0) || $0 == "lm_head" }
    let attached = try model.attach(
      configuration, to: targets, excluding: targets == .allLinear && !last.isEmpty ? .names(last) : nil,
      using: &generator)
    for item in attached {
      guard let lora = item.adapter as? LoRA, let better = try refined(lora, item.weight) else { continue }
      try item.weight.remove(lora)
      try item.weight.parametrize(by: better)
    }
    let adapted = Set(attached.map(\.path))
    for item in model.parameters {
      let path = item.name.split(separator: ".").dropLast().joined(separator: ".")
      let isTrainedBias = item.name.hasSuffix(".bias") && (bias == .all || bias == .loraOnly && adapted.contains(path))
      if wholePaths.contains(path) || isTrainedBias {
        try item.parameter.parametrize(by: Replacement(of: item.parameter))
      }
    }
  }

  /// What the method puts in a plain LoRA's place.
  private func refined(_ lora: LoRA, _ weight: Parameter) throws -> (any Adapter)? {
    switch method {
    case .lora, .rslora, .full: nil
    case .dora: DoRA(lora, for: weight)
    case .pissa: try lora.starting(from: .pissa, of: weight)
    case .olora: try lora.starting(from: .olora, of: weight)
    }
  }

  /// By parameter, for the optimizer.
  func rateMultiplier(_ item: NamedParameter) -> Float {
    item.name.contains(".parametrizations.") && item.name.hasSuffix(".b") ? rateRatio : 1
  }
}

/// How long and how fast to train.
public struct FineTuningSchedule: Sendable {
  /// Passes over the examples, where no number of steps is given.
  public var epochs = 3.0
  public var steps: Int?
  public var batchSize = 32
  /// A batch is worked on in so many parts, which saves memory.
  public var accumulation = 1
  public var learningRate: Float = 1e-3
  public var shape = Schedule.Shape.linear
  /// The share of the steps in which the learning rate rises from zero.
  public var warmUp = 0.06
  public var weightDecay: Float = 0.01
  public var clipping: Float? = 1
  public var seed: UInt64 = 0
  /// Steps between two evaluations; by default once an epoch.
  public var evaluateEvery: Int?
  /// Stops after so many evaluations without a better one.
  public var patience: Int?

  public init() {}

  public func totalSteps(examples: Int) -> Int {
    steps ?? max(1, Int((epochs * Double(stepsPerEpoch(examples))).rounded()))
  }

  func stepsPerEpoch(_ examples: Int) -> Int { (examples + batchSize - 1) / batchSize }
}

/// A run of fine-tuning: batches, evaluations, the best parameters kept.
public struct FineTuning {
  public let schedule: FineTuningSchedule
  public let recipe: FineTuningRecipe

  public struct Outcome: Sendable {
    /// All steps and evaluations, those before an interruption too.
    public var history: FineTuningHistory
    /// The evaluation whose parameters the model has now; nil where nothing was evaluated.
    public var best: FineTuningEvaluation?
    public var stoppedEarly: Bool
    public var losses: [Float] { history.steps.map(\.loss) }
    public var evaluations: [FineTuningEvaluation] { history.evaluations }
    public var seconds: Double
  }

  public init(_ recipe: FineTuningRecipe, _ schedule: FineTuningSchedule) {
    self.recipe = recipe
    self.schedule = schedule
  }

  /// Trains what is trainable in `model`, on `examples` known by index.
  ///
  /// - Parameters:
  ///   - weight: by example, how much it counts for in the mean loss of a batch (its number of predicted tokens); 1 for
  ///     a classifier.
  ///   - keeping: where a state is kept every so many steps, at the end and when stopped; the best parameters so far lie
  ///     beside it.
  ///   - resumeFrom: a state to go on from: the outcome is then that of a run without interruption, bit for bit.
  ///   - evaluate: is asked for a score and a loss; without it the last parameters stay.
  ///   - loss: the mean loss of some examples.
  /// - Throws: `TrainingError` where the run diverges or is interrupted; the model is then left as it is.
  public func run(
    _ model: some Module, examples: Int, weight: (Int) -> Float = { _ in 1 }, keeping: StateKeeping? = nil,
    resumeFrom: URL? = nil, shouldStop: () -> Bool = { false }, onStep: (StepReport) -> Void = { _ in },
    onEvaluation: (FineTuningEvaluation) -> Void = { _ in },
    evaluate: (() throws -> (score: Double, loss: Double))? = nil, loss: ([Int]) throws -> Tensor
  ) throws -> Outcome {
    let start = Date()
    let parameters = model.trainableParameters
    let total = schedule.totalSteps(examples: examples)
    let trainer = Trainer(
      Adam(
        parameters, learningRate: schedule.learningRate, weightDecay: .decoupled(schedule.weightDecay),
        rateMultiplier: recipe.rateMultiplier),
      schedule: Schedule(
        schedule.shape, learningRate: schedule.learningRate, warmUpSteps: Int(schedule.warmUp * Double(total)),
        totalSteps: total),
      clipping: schedule.clipping)
    var sampler = ShuffledBatches(Array(0..<examples), batchSize: schedule.batchSize, seed: schedule.seed)
    var best = BestParameters(parameters, file: keeping.map { $0.url.appendingPathExtension("best") })
    var history = FineTuningHistory()
    if let resumeFrom, let keeping {
      let notes = try TrainingState.restore(
        trainer, of: model, sampler: &sampler, purpose: keeping.purpose, from: resumeFrom)
      guard let restored = FineTuningHistory(notes), restored.steps.count == trainer.losses.count else {
        throw CheckpointError(
          .malformed, file: resumeFrom.path, "holds no history of its \(trainer.losses.count) steps")
      }
      history = restored
      if history.best != nil { try best.restore(from: resumeFrom.appendingPathExtension("best")) }
    }
    let secondsBefore = history.seconds
    /// Where a step has spoilt the parameters, the run has diverged though its losses were finite.
    func checkParameters() throws {
      guard parameters.allSatisfy({ $0.parameter.original.isFinite }) else {
        throw TrainingError.diverged(
          "the parameters are", step: trainer.losses.count, learningRate: trainer.optimizer.learningRate)
      }
    }
    func keep() throws {
      guard let keeping else { return }
      try checkParameters()
      try TrainingState.save(
        trainer, of: model, sampler: sampler, purpose: keeping.purpose, notes: history.text(), to: keeping.url)
    }
    let interval = schedule.evaluateEvery ?? schedule.stepsPerEpoch(examples)
    var isPatienceSpent: Bool { schedule.patience.map { history.evaluationsSinceBest >= $0 } ?? false }
    while trainer.losses.count < total, !isPatienceSpent {
      let batch = sampler.next()
      let whole = batch.reduce(0) { $0 + weight($1) }
      let size = (batch.count + schedule.accumulation - 1) / schedule.accumulation
      let parts = stride(from: 0, to: batch.count, by: size).map { Array(batch[$0..<min($0 + size, batch.count)]) }
      let report = try trainer.step(shares: parts.map { $0.reduce(0) { $0 + weight($1) } / whole }) {
        try loss(parts[$0])
      }
      history.append(report, seconds: secondsBefore + Date().timeIntervalSince(start))
      onStep(report)
      if let evaluate, report.step % interval == 0 || report.step == total {
        try checkParameters()
        let (score, loss) = try evaluate()
        guard score.isFinite, loss.isFinite else {
          throw TrainingError.diverged(
            "the loss on the evaluation data is", step: report.step, learningRate: report.learningRate)
        }
        let evaluation = FineTuningEvaluation(step: report.step, score: score, loss: loss)
        history.evaluations.append(evaluation)
        onEvaluation(evaluation)
        if history.best == evaluation { try best.keep(evaluation) }
      }
      if shouldStop() {
        try keep()
        throw TrainingError.interrupted(step: report.step)
      }
      if let keeping, report.step % keeping.everySteps == 0 { try keep() }
    }
    try checkParameters()
    try keep()
    try best.putBack()
    return Outcome(
      history: history, best: best.evaluation, stoppedEarly: trainer.losses.count < total,
      seconds: secondsBefore + Date().timeIntervalSince(start))
  }
}

/// The parameters at the best evaluation so far, in memory and, where a state is kept, in a file beside it.
private struct BestParameters {
  let parameters: [NamedParameter]
  let file: URL?
  private(set) var evaluation: FineTuningEvaluation?
  private var values: [Tensor] = []

  init(_ parameters: [NamedParameter], file: URL?) {
    self.parameters = parameters
    self.file = file
  }

  /// Keeps the parameters as they are now.
  mutating func keep(_ new: FineTuningEvaluation) throws {
    evaluation = new
    values = parameters.map(\.parameter.original)
    try write()
  }

  private func write() throws {
    guard let file, let evaluation else { return }
    let tensors = try zip(parameters, values).map { try StoredTensor(name: $0.name, $1) }
    let record = JSON.object([
      .init("step", .integer(evaluation.step)), .init("score", .number(evaluation.score)),
      .init("loss", .number(evaluation.loss)),
    ])
    try SafetensorsWriter.write(tensors, to: file, metadata: [.init("evaluation", .string(record.compact))])
  }

  /// Takes up what lies beside a state. It may be of a later evaluation than the state's last, where the run ended
  /// without keeping its state; that evaluation will then come again.
  mutating func restore(from file: URL) throws {
    guard FileManager.default.fileExists(atPath: file.path) else {
      throw CheckpointError(
        .missing, file: file.path,
        "is not there; it holds the best parameters so far and belongs to the state beside it")
    }
    let stored = try SafetensorsFile(file)
    guard let text = stored.metadata.first(where: { $0.key == "evaluation" })?.value.string,
      let record = try? JSON(parsing: text), let step = record["step"]?.integer, let score = record["score"]?.number,
      let loss = record["loss"]?.number
    else { throw CheckpointError(.malformed, file: file.path, "holds no evaluation") }
    values = try parameters.map { item in
      guard let tensor = stored[item.name], tensor.shape == item.parameter.shape else {
        throw CheckpointError(.mismatch, file: file.path, "has no \(item.name) of shape \(item.parameter.shape)")
      }
      return try tensor.tensor()
    }
    evaluation = FineTuningEvaluation(step: step, score: score, loss: loss)
    if file.standardizedFileURL != self.file?.standardizedFileURL { try write() }
  }

  func putBack() throws {
    for (item, value) in zip(parameters, values) { try item.parameter.assignOriginal(value) }
  }
}
