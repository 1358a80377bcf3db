import ArgumentParser
import Foundation
import LoRAKit

/// `lora digits`: the experiment from end to end, in numbers and pictures.
struct DigitsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "digits",
    abstract: "Teach a digit classifier the digit that it reads worst: LoRA against full-parameter training.",
    discussion: """
      Trains the base model (784-1000-2000-10), finds the digit with the most errors on the test images, and trains \
      from the same base, on the same budget of steps: LoRA on that digit alone (lora), every parameter on that digit \
      alone (full), LoRA with replay of the other digits (lora-replay), every parameter with the same replay \
      (full-replay).

      EXAMPLES
        lora digits
        lora digits --data mnist/ --digit 9 --report report.html
        lora digits --arms lora-replay --rank 4 --alpha 8 --json result.json
      """)

  enum Dataset: String, CaseIterable, ExpressibleByArgument {
    case sample, mnist
  }

  @Option(help: "The embedded sample of 5,000 digits, or all of MNIST, downloaded once to your cache folder.")
  var dataset = Dataset.sample

  @Option(
    help: ArgumentHelp(
      "A folder with MNIST's four IDX files, gzipped or not. (default: that of --dataset)", valueName: "folder"))
  var data: Path?

  @Option(help: "The digit to teach, 0 to 9. (default: the one that the base reads worst)")
  var digit: Int?

  @Option(help: "Rank of both LoRA arms. (default: 1)")
  var rank: Int?

  @Option(help: "α of both LoRA arms: B A is multiplied by α/rank. (default: 1)")
  var alpha: Float?

  @Option(help: "Learning rate of every arm (Adam). (default: by arm)")
  var learningRate: Float?

  @Option(help: "Steps of every arm.")
  var steps = 100

  @Option(help: "Passes over the training images for the base. (default: 1 on MNIST, 4 on the sample)")
  var epochs: Int?

  @Option(help: "Images a step.")
  var batchSize = 10

  @Option(help: "Seed of everything random. The same seed gives the same bits, at any number of threads.")
  var seed = DigitExperiment.Settings().seed

  @Option(help: "Sizes of the two hidden layers.")
  var hidden = "1000,2000"

  @Option(help: "Which arms to train: lora, full, lora-replay, full-replay, separated by commas.")
  var arms = DigitExperiment.Arm.allCases.map(\.rawValue).joined(separator: ",")

  @Option(
    name: [.customShort("o"), .customLong("save"), .customLong("output")],
    help: ArgumentHelp(
      """
      Write base.safetensors, config.json and the adapter (a PEFT folder, of lora-replay where it was trained). \
      (default: nothing is written)
      """, valueName: "folder"))
  var save: Path?

  @OptionGroup var state: StateOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    try check("digit", digit, "a digit from 0 to 9") { (0...9).contains($0) }
    for (name, value) in [("steps", steps), ("batch-size", batchSize), ("epochs", epochs)] {
      try check(name, value, atLeast: 1)
    }
    try check("alpha", positive: alpha)
    try check("learning-rate", positive: learningRate)
    let hidden = try HiddenSizes(self.hidden).sizes
    let most = min(hidden.0, hidden.1, 10)
    try check(
      "rank", rank,
      "a number from 1 to \(most), the smaller side of the output layer's weight [10, \(hidden.1)] or of a hidden one,"
    ) { (1...most).contains($0) }
    let arms = try armList()
    if save != nil && !arms.contains(where: \.usesLoRA) {
      throw ValidationError("--save: there is no adapter to save among the arms \(self.arms).")
    }
  }

  func run() async throws {
    try output.prepare(alsoWriting: state.checkpoint)
    let folder = try save?.place(of: "a folder that is written")
    if let folder { try OutputDirectory.probe(folder) }
    let (name, digits) = try await loadDigits()
    guard batchSize <= digits.train.count else {
      throw InputError(
        "--batch-size \(batchSize): \(name) has \(digits.train.count.grouped) training images; take no more for a step"
      )
    }
    let experiment = DigitExperiment(train: digits.train, test: digits.test, settings: try settings(for: digits))
    let progress = DigitProgress(isQuiet: output.quiet)
    let keeping = try stateKeeping(name)
    let result = try Interruption.training(
      keptAt: state.checkpoint?.description, abandon: progress.abandon
    ) { shouldStop in
      try experiment.run(
        keeping: keeping, resumeFrom: state.resume?.url, shouldStop: shouldStop, onStep: progress.advance)
    }
    var report = try experiment.report(of: result, dataset: name, isIllustrated: output.report != nil)
    if let folder, let save, let outcome = result.savable {
      let sizes = try result.save(outcome, to: folder)
      report.summary +=
        " Saved in \(save): the base, \(Report.Value.bytes(sizes.base).text), and the adapter, "
        + "\(Report.Value.bytes(sizes.adapter).text)."
    }
    try output.show(report)
  }
}

extension DigitsCommand {
  private func armList() throws -> [DigitExperiment.Arm] {
    let names = arms.split(separator: ",").map(String.init)
    let found = try names.map { name in
      guard let arm = DigitExperiment.Arm(rawValue: name) else {
        let known = DigitExperiment.Arm.allCases.map(\.rawValue).joined(separator: ", ")
        throw ValidationError("--arms \(arms): there is no arm '\(name)'; there are \(known).")
      }
      return arm
    }
    guard !found.isEmpty, Set(found).count == found.count else {
      throw ValidationError("--arms \(arms): at least one arm is needed, each once.")
    }
    return found
  }

  private func loadDigits() async throws -> (name: String, digits: MNIST) {
    if let data {
      let url = try data.place(of: "a folder of MNIST")
      return (url.lastPathComponent, try MNIST(directory: url))
    }
    switch dataset {
    case .sample: return ("sample", try MNIST.sample())
    case .mnist:
      let isQuiet = output.quiet
      return (
        "mnist",
        try await MNIST.downloaded(into: MNIST.cacheDirectory) { progress in
          comment(
            "\(progress.fileName): \(progress.receivedBytes.grouped) of \(progress.totalBytes.counted("byte"))",
            isQuiet: isQuiet)
        }
      )
    }
  }

  private func settings(for digits: MNIST) throws -> DigitExperiment.Settings {
    var settings = DigitExperiment.Settings(for: digits.train)
    settings.hidden = try HiddenSizes(hidden).sizes
    if let epochs { settings.epochs = epochs }
    settings.steps = steps
    settings.batchSize = batchSize
    settings.seed = seed
    settings.digit = digit
    settings.arms = try armList()
    settings.adjust = { [rank, alpha, learningRate] arm, recipe in
      if arm.usesLoRA {
        if let rank { recipe.rank = rank }
        if let alpha { recipe.alpha = alpha }
      }
      if let learningRate { recipe.learningRate = learningRate }
    }
    return settings
  }

  private func stateKeeping(_ dataset: String) throws -> StateKeeping? {
    guard let url = state.url else { return nil }
    return StateKeeping(
      url: url, everySteps: 500,
      purpose: "digits, data \(dataset), hidden \(hidden), batch \(batchSize), "
        + "epochs \(epochs.map(String.init) ?? "default"), seed \(seed)")
  }
}

/// `--hidden 1000,2000`
struct HiddenSizes {
  let sizes: (Int, Int)

  init(_ text: String) throws {
    let sizes = text.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) ?? 0 }
    guard sizes.count == 2, sizes.allSatisfy({ (1...100_000).contains($0) }) else {
      throw ValidationError("--hidden \(text): two sizes separated by a comma are needed, as in 1000,2000.")
    }
    self.sizes = (sizes[0], sizes[1])
  }
}

/// One progress bar per phase of the experiment.
private final class DigitProgress {
  private let isQuiet: Bool
  private var phase = ""
  private var bar: ProgressBar?

  init(isQuiet: Bool) { self.isQuiet = isQuiet }

  func advance(_ phase: String, _ total: Int, _ report: StepReport) {
    if phase != self.phase {
      self.phase = phase
      bar = ProgressBar(phase, total: total, isQuiet: isQuiet)
      // A resumed run starts in the middle.
      if report.step > 1 { bar?.advance(by: report.step - 1) }
    }
    bar?.advance(note: "loss \(Report.Value.decimal(Double(report.loss), 4).text)")
    if report.step == total {
      bar?.finish(note: "loss \(Report.Value.decimal(Double(report.loss), 4).text)")
      bar = nil
    }
  }

  func abandon() { bar?.abandon() }
}
