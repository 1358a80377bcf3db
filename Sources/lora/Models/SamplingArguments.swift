import ArgumentParser
import LoRAKit

/// How a decoder draws what it writes.
struct SamplingArguments: ParsableArguments {
  @Option(
    name: [.long, .customLong("temp")],
    help: "0 takes the likeliest token each time; 1 draws by the model's probabilities.")
  var temperature: Float = 0

  @Option(help: "Draw among the likeliest so many tokens only. (default: all)")
  var topK: Int?

  @Option(help: "Draw among the likeliest tokens that together reach this probability only. (default: 1)")
  var topP: Float?

  @Option(help: "Draw among tokens with at least this share of the likeliest one's probability only. (default: 0)")
  var minP: Float?

  @Option(help: "Above 1, tokens that occurred become less likely.")
  var repetitionPenalty: Float = 1

  @Option(help: "Seed of what is drawn.")
  var seed: UInt64 = 0

  func validate() throws {
    try check("temperature", temperature, "a number of at least 0") { $0 >= 0 && $0.isFinite }
    try check("top-k", topK, atLeast: 1)
    try check("top-p", share: topP)
    try check("min-p", share: minP)
    try check("repetition-penalty", positive: repetitionPenalty)
  }

  var sampling: SamplingOptions {
    var options = SamplingOptions()
    (options.temperature, options.topK, options.topP, options.minP) = (temperature, topK, topP, minP)
    options.repetitionPenalty = repetitionPenalty
    return options
  }
}

/// Which template writes conversations.
struct TemplateOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "A file with a chat template, the name of one of the model's, or chatml. (default: the model's own)",
      valueName: "template"), completion: .file())
  var chatTemplate: String?
}
