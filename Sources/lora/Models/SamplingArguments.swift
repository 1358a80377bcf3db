import ArgumentParser
import LoRAKit

/// How a decoder draws what it writes.
struct SamplingArguments: ParsableArguments {
  @Option(help: "0 takes the likeliest token each time; 1 draws by the model's probabilities.")
  var temperature: Float = 0

  @Option(help: "Draw among the likeliest so many tokens only.")
  var topK: Int?

  @Option(help: "Draw among the likeliest tokens that together reach this probability only.")
  var topP: Float?

  @Option(help: "Draw among tokens with at least this share of the likeliest one's probability only.")
  var minP: Float?

  @Option(help: "Above 1, tokens that occurred become less likely.")
  var repetitionPenalty: Float = 1

  @Option(help: "Seed of what is drawn.")
  var seed: UInt64 = 0

  func validate() throws {
    if !(temperature.isFinite && temperature >= 0) {
      throw ValidationError("--temperature \(temperature): a number of at least 0 is needed.")
    }
    if let topK, topK < 1 { throw ValidationError("--top-k \(topK): a number of at least 1 is needed.") }
    for (name, value) in [("top-p", topP), ("min-p", minP)] {
      if let value, !(value > 0 && value <= 1) {
        throw ValidationError("--\(name) \(value): a number above 0 and up to 1 is needed.")
      }
    }
    if !(repetitionPenalty.isFinite && repetitionPenalty > 0) {
      throw ValidationError("--repetition-penalty \(repetitionPenalty): a number above 0 is needed.")
    }
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
