import ArgumentParser
import Foundation
import LoRAKit

/// `lora page`: a web page in which LoRA trains.
struct PageCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "page",
    abstract: "Write a web page in which LoRA trains before your eyes: one file, offline.",
    discussion: """
      Trains a small digit classifier as lora digits does, on images that hardly show one digit, and writes a page that \
      holds it, some digits and an engine: draw that digit, teach the network, switch the adapter off, merge it. Nothing \
      is loaded from anywhere.

      --numbers writes what the library itself computes for the page's first lesson, which the page must compute too.

      EXAMPLES
        lora page
        lora page --hidden 100,50 --digit 4 -o four.html
      """)

  @Option(
    name: [.customShort("o"), .customLong("output")],
    help: ArgumentHelp("Where the page goes; - for standard output.", valueName: "path"))
  var page = Path(argument: "lora.html")

  @Option(help: "Sizes of the two hidden layers. Larger ones make a larger file.")
  var hidden = "64,32"

  @Option(help: "The digit that the base hardly sees and the page offers to teach, 0 to 9.")
  var digit = 9

  @Option(help: "Seed of everything random.")
  var seed: UInt32 = 0

  @Option(
    help: ArgumentHelp(
      "Write losses, errors and singular values of the first lesson as JSON. (default: nothing)", valueName: "path"))
  var numbers: Path?

  @OptionGroup var options: RunOptions

  /// Of about 400: the base misreads many, and what teaching does is plain to see.
  private static let seenOfTheDigit = 40

  func validate() throws {
    try check("digit", digit, "a digit from 0 to 9") { (0...9).contains($0) }
    _ = try HiddenSizes(hidden)
  }

  func run() async throws {
    try options.prepare(writing: [page, numbers])
    let digits = try MNIST.sample()
    var settings = DigitExperiment.Settings(for: digits.train)
    settings.hidden = try HiddenSizes(hidden).sizes
    settings.seed = UInt64(seed)
    let hardlySeen = digits.train.indices(ofLabel: digit).dropFirst(Self.seenOfTheDigit)
    let shown = digits.train.selecting(Set(0..<digits.train.count).subtracting(hardlySeen).sorted())
    let base = try DigitExperiment(train: shown, test: digits.test, settings: settings).trainBase().model
    // Every fifth of the images to learn from: what the page learns in a few hundred steps, and a fifth of the bytes.
    let live = LivePage(
      base: base, train: digits.train.selecting(stride(from: 0, to: digits.train.count, by: 5)), test: digits.test,
      digit: digit, seed: seed)
    let html = live.html
    try page.write(html)
    comment("\(page): \(Report.Value.bytes(html.utf8.count).text). Open it in a browser.", isQuiet: options.quiet)
    if let numbers {
      try numbers.write(
        String(decoding: JSONEncoder().encode(FirstLesson(of: live, settings: settings)), as: UTF8.self))
    }
  }
}

/// What the library computes when it is taught as the page's first lesson teaches.
private struct FirstLesson: Encodable {
  struct Arm: Encodable {
    let trained: Int
    let losses: [Float]
    let errors: [Int]
    /// Of what was added to the first layer, the largest first.
    let singularValues: [Float]
  }

  let steps: Int
  let base: [Int]
  let lora: Arm
  let full: Arm

  init(of page: LivePage, settings: DigitExperiment.Settings) throws {
    var settings = settings
    settings.steps = 200
    let experiment = DigitExperiment(train: page.train, test: page.test, settings: settings)
    func arm(_ arm: DigitExperiment.Arm) throws -> Arm {
      let outcome = try experiment.teach(page.digit, to: page.base, arm, .standard(for: arm))
      let values: [Float] =
        switch outcome.updates[0].update {
        case .factors(let a, let b, let scale): try svd(ofProduct: b, a).singularValues.map { $0 * scale }
        case .full(let difference): try difference.singularValues()
        }
      return Arm(
        trained: outcome.trainableCount, losses: outcome.losses, errors: outcome.test.errors, singularValues: values)
    }
    steps = settings.steps
    base = experiment.evaluate(page.base).errors
    lora = try arm(.loraReplay)
    full = try arm(.fullReplay)
  }
}
