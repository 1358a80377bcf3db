import ArgumentParser
import Foundation
import LoRAKit

/// Where a run's state is kept.
struct StateOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Keep the run's state here, every few hundred steps and when stopped. (default: nowhere)", valueName: "path"))
  var checkpoint: Path?

  @Option(
    help: ArgumentHelp("Go on from a kept state, with the same options as before. (default: begin)", valueName: "path"))
  var resume: Path?

  var url: URL? { (checkpoint ?? resume)?.url }

  func validate() throws {
    if [checkpoint, resume].contains(where: { $0?.isStream == true }) {
      throw ValidationError("-: a run's state is no stream; name a file.")
    }
  }
}

/// What both kinds of training take: what is trained, how long, how fast, and where the run is kept.
struct TrainingOptions: ParsableArguments {
  @Option(
    name: [.short, .customLong("output")],
    help: ArgumentHelp(
      """
      The folder to write: an adapter as Python peft reads it, with its card and metrics.jsonl. (default: the model's name \
      and the method's, in the current folder)
      """, valueName: "folder"))
  var outputPath: Path?

  @Flag(help: "Replace what is there.")
  var force = false

  @Option(
    help: """
      lora, rslora (scale α/√r), dora (direction and magnitude apart), pissa or olora (starting from the weight's own \
      principal or orthogonal part).
      """)
  var method = FineTuningRecipe.Method.lora

  @Option(
    help: ArgumentHelp(
      """
      The model before it was quantised: the adapter begins with what quantising lost, as well as its rank can hold it \
      (LoftQ). (default: with no effect)
      """, valueName: "folder"))
  var quantizedFrom: Path?

  @Flag(help: "Train every parameter instead of an adapter, and write a whole model.")
  var full = false

  @Flag(
    help: """
      Choose modules, rank, batch size, epochs and learning rate by the data, the latter by short trials on a sample, and \
      cut the adapter to the rank that it needs. Prints what was chosen and why; what is given stays as given.
      """)
  var auto = false

  @Option(help: "Rank of the adapter. (default: 8)")
  var rank: Int?

  @Option(help: "α: B A is multiplied by α/rank. (default: twice the rank)")
  var alpha: Float?

  @Option(
    name: [.long, .customLong("target-modules")],
    help: """
      Modules to adapt: names separated by commas, a regular expression for the whole path, or all-linear. \
      (default: the queries and values of attention)
      """)
  var targets: String?

  @Option(help: "Probability with which an element of an adapter's input is dropped.")
  var dropout: Float = 0

  @Option(help: "Biases to train too: none, lora_only (those of adapted modules) or all.")
  var bias = PEFTConfiguration.Bias.none

  @Option(help: "What B's learning rate is multiplied by (LoRA+).")
  var rateRatio: Float = 1

  @Option(help: "Passes over the data. (default: 3)")
  var epochs: Double?

  @Option(name: [.long, .customLong("iters")], help: "Steps. (default: as many as --epochs take)")
  var steps: Int?

  @Option(help: "Examples a step. (default: 32 for a classifier, 8 for a decoder)")
  var batchSize: Int?

  @Option(
    name: [.long, .customLong("gradient-accumulation-steps")],
    help: "Parts in which a batch is worked on, to save memory, and for ranks to share. (default: one for each rank)")
  var accumulation: Int?

  @Option(
    help: ArgumentHelp(
      "Ranks train apart and meet every so many steps (DiLoCo), for slow networks. (default: they make every step together)",
      valueName: "steps"))
  var syncEvery: Int?

  @Option(help: "Learning rate of the step that is made at a meeting (Nesterov).")
  var outerRate: Float = 1

  @Option(help: "Momentum of that step.")
  var outerMomentum: Float = 0.5

  @Flag(help: "Compute each layer again for the gradient instead of keeping it: less memory, more time.")
  var recompute = false

  @Option(help: "Learning rate (AdamW) at its highest. (default: 1e-3 for adapters, 5e-5 with --full)")
  var learningRate: Float?

  @Option(help: "How the learning rate goes on after the warm-up: linear, cosine or constant.")
  var schedule = Schedule.Shape.linear

  @Option(
    name: [.long, .customLong("warmup-ratio")], help: "Share of the steps in which the learning rate rises from zero.")
  var warmUp = 0.06

  @Option(help: "Weight decay.")
  var weightDecay: Float = 0.01

  @Option(
    name: [.long, .customLong("max-grad-norm")], help: "The largest norm of the gradient; 0 for no bound.")
  var clipping: Float = 1

  @OptionGroup var precision: PrecisionOptions

  @Option(help: "Seed of everything random. The same seed gives the same adapter.")
  var seed: UInt64 = 0

  @Option(help: "Steps between evaluations. (default: an epoch)")
  var evaluateEvery: Int?

  @Option(help: "Stop after so many evaluations without a better one. (default: never)")
  var patience: Int?

  @OptionGroup var state: StateOptions

  func validate() throws {
    for (name, value) in [
      ("rank", rank), ("steps", steps), ("batch-size", batchSize), ("accumulation", accumulation),
      ("evaluate-every", evaluateEvery), ("patience", patience), ("sync-every", syncEvery),
    ] {
      try check(name, value, atLeast: 1)
    }
    if precision.precision == .int8 {
      throw ValidationError("--precision int8 is for reading and writing text; training takes f32 or bf16.")
    }
    if let epochs { try check("epochs", epochs, "a number up to 1,000,000") { !($0 > 1_000_000) } }
    for (name, value) in [
      ("alpha", alpha), ("learning-rate", learningRate), ("rate-ratio", rateRatio), ("epochs", epochs.map(Float.init)),
      ("outer-rate", outerRate),
    ] { try check(name, positive: value) }
    for (name, value) in [("weight-decay", weightDecay), ("clipping", clipping)] {
      try check(name, value, "a number of at least 0") { $0.isFinite && $0 >= 0 }
    }
    for (name, value) in [("dropout", Double(dropout)), ("warm-up", warmUp)] {
      try check(name, value, "a number from 0 to below 1") { (0..<1).contains($0) }
    }
    try check("outer-momentum", outerMomentum, "a number above 0 and below 1") { $0 > 0 && $0 < 1 }
    if full, method != .lora { throw ValidationError("--full trains no adapter; leave --method out.") }
    if method == .full { throw ValidationError("Every parameter is trained with --full.") }
    if quantizedFrom != nil, full || ![.lora, .rslora].contains(method) {
      throw ValidationError("--quantized-from is for lora and rslora; leave \(full ? "--full" : "--method") out.")
    }
    if full, auto { throw ValidationError("--auto chooses an adapter; leave --full out.") }
    if full, targets != nil { throw ValidationError("--full trains every parameter; leave --targets out.") }
    if outputPath?.isStream == true { throw ValidationError("-o -: a folder is written, which no stream can be.") }
  }

  /// Where to write: what was asked for, or "MODEL-lora" in the current folder.
  func output(for model: URL) -> URL {
    outputPath?.url ?? URL(fileURLWithPath: "\(model.lastPathComponent)-\(full ? "full" : method.rawValue)")
  }

  /// As `OutputOptions.prepare`, for everything that training writes.
  func prepare(_ options: OutputOptions, model: URL) throws {
    let output = output(for: model)
    let ranks = try Ranks.joined()
    if syncEvery != nil, ranks.count == 1 {
      throw ValidationError(
        "--sync-every: there is one process, which meets nobody; mpirun -np 4 lora train starts four.")
    }
    // Another machine need not have the folders that rank 0 writes.
    guard ranks.rank == 0 else { return try options.run.prepare(writing: []) }
    try options.prepare(alsoWriting: state.checkpoint)
    if full, output.resolvingSymlinksInPath() == model.resolvingSymlinksInPath() {
      throw InputError("\(output.path): is the model that is read; name another folder to write")
    }
    try checkFolder(output)
    try checkReplaceable(output, force: force)
  }

  /// The advice for data and model of these sizes, with --auto, and what is given instead.
  func choice(for sizes: @autoclosure () -> FineTuningAdvice.Sizes) -> RecipeChoice? {
    guard auto else { return nil }
    let given: [(FineTuningAdvice.Setting, Bool)] = [
      (.modules, targets != nil), (.rank, rank != nil), (.batchSize, batchSize != nil),
      (.epochs, epochs != nil || steps != nil), (.learningRate, learningRate != nil),
    ]
    return RecipeChoice(FineTuningAdvice(for: sizes()), given: Set(given.filter(\.1).map(\.0)))
  }

  func recipe(defaultTargets: [String], wholeModules: [String] = [], advice: FineTuningAdvice? = nil)
    -> FineTuningRecipe
  {
    var recipe = FineTuningRecipe()
    recipe.method = full ? .full : method
    recipe.rank = rank ?? advice?.rank ?? 8
    recipe.alpha = alpha ?? Float(2 * recipe.rank)
    recipe.dropout = dropout
    recipe.rateRatio = rateRatio
    recipe.bias = bias
    recipe.wholeModules = wholeModules
    switch targets {
    case nil: recipe.targets = advice == nil ? .names(defaultTargets) : .allLinear
    case "all-linear": recipe.targets = .allLinear
    // No module's path has other characters.
    case let text? where text.contains(where: { !($0.isLetter || $0.isNumber || "_-., ".contains($0)) }):
      recipe.targets = .pattern(text)
    case let names?:
      recipe.targets = .names(names.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) })
    }
    return recipe
  }

  /// Has the adapter begin with what quantising lost, where the original is named, and says how much that mends.
  func mend(_ model: some Module, isQuiet: Bool, loading original: (URL) throws -> any Module) throws {
    guard let quantizedFrom else { return }
    let share = try model.startAdapters(from: original(quantizedFrom.url))
    comment("The adapter begins with \(Report.Value.share(share).text) of what quantising lost.", isQuiet: isQuiet)
  }

  /// In how many parts a batch is worked on: as said, as in the run that is resumed, or one for each rank.
  private func parts() throws -> Int {
    let ranks = try Ranks.joined()
    let kept = try ranks.broadcast([UInt8]("\(state.resume.flatMap { TrainingState.parts(in: $0.url) } ?? 0)".utf8))
    let parts = accumulation ?? Int(String(decoding: kept, as: UTF8.self)).flatMap { $0 > 0 ? $0 : nil } ?? ranks.count
    guard parts >= ranks.count else {
      throw InputError(
        "--accumulation \(parts): \(ranks.count) ranks share the parts of a batch, and some would have none; start "
          + "\(parts) of them, or begin anew with more parts")
    }
    return parts
  }

  func plan(defaultBatchSize: Int, advice: FineTuningAdvice? = nil) throws -> FineTuningSchedule {
    var plan = FineTuningSchedule()
    (plan.epochs, plan.steps, plan.accumulation) = (epochs ?? advice?.epochs ?? 3, steps, try parts())
    if let syncEvery {
      var local = LocalTraining(everySteps: syncEvery)
      (local.outerRate, local.outerMomentum) = (outerRate, outerMomentum)
      plan.local = local
    }
    plan.batchSize = batchSize ?? advice?.batchSize ?? defaultBatchSize
    plan.learningRate = learningRate ?? advice?.learningRate ?? (full ? 5e-5 : 1e-3)
    (plan.shape, plan.warmUp, plan.weightDecay, plan.seed) = (schedule, warmUp, weightDecay, seed)
    plan.clipping = clipping > 0 ? clipping : nil
    (plan.evaluateEvery, plan.patience) = (evaluateEvery, patience)
    return plan
  }

  /// - Parameter data: is asked for what is trained on: sequences of tokens, then their labels.
  func keeping(
    model: String, length: Int, longTexts: LongTexts? = nil, data: (inout DataDigest) throws -> Void
  ) throws -> StateKeeping? {
    guard let url = state.url else { return nil }
    let apart = try syncEvery.map {
      ", \(try Ranks.joined().count) ranks apart for \($0) steps, outer rate \(outerRate), momentum \(outerMomentum)"
    }
    let rank = rank ?? 8
    let recipe =
      (auto ? "auto " : "")
      + (full ? "full" : "\(method.rawValue) r \(rank) α \(alpha ?? Float(2 * rank)) on \(targets ?? "default")")
    var digest = DataDigest()
    try data(&digest)
    return StateKeeping(
      // Apart, what all ranks' optimizers keep travels for it.
      url: url, everySteps: syncEvery.map { max(100, 5 * $0) } ?? 100,
      purpose:
        "train \(recipe), model \(model), data \(digest.text()), length \(length)\(longTexts.map { " in \($0.rawValue)" } ?? ""), batch \(batchSize ?? 0)/\(try parts()), "
        + "epochs \(epochs ?? 3), steps \(steps ?? 0), rate \(learningRate ?? 0), \(schedule.rawValue), warm-up \(warmUp), "
        + "decay \(weightDecay), clipping \(clipping), dropout \(dropout), bias \(bias.rawValue), ratio \(rateRatio), seed \(seed)"
        + (precision.precision.map { ", precision \($0.rawValue)" } ?? "") + (apart ?? "")
        + (quantizedFrom.map { ", quantised from \($0)" } ?? "")
    )
  }

  /// The adapter's configuration for Python peft.
  func configuration(model: String, task: String, modulesToSave: [String] = []) throws -> PEFTConfiguration {
    var configuration = try PEFTConfiguration(["peft_type": "LORA", "lora_dropout": JSON(dropout)])
    configuration.baseModel = model
    configuration.taskType = task
    configuration.selection.saved = modulesToSave
    return configuration
  }
}

extension FineTuningRecipe.Method: ExpressibleByArgument {
  /// "full" has an option of its own.
  public static var allValueStrings: [String] { allCases.filter { $0 != .full }.map(\.rawValue) }
}
extension Schedule.Shape: ExpressibleByArgument {}
extension PEFTConfiguration.Bias: ExpressibleByArgument {}
