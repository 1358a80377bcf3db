import ArgumentParser
import Foundation
import LoRAKit

/// `lora generate`: a decoder goes on with a text.
struct GenerateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate",
    abstract: "Let a decoder go on with a text, as it comes.",
    discussion: """
      With several adapters each writes in turn, from one model in memory; --compare lets the base write first.

      EXAMPLES
        lora generate --model stories260K --prompt "Once upon a time"
        lora generate --model stories260K --adapter shakespeare --prompt "ROMEO:" --temperature 0.8 --top-p 0.9 --compare
      """)

  @OptionGroup var model: ModelOptions

  @Option(help: ArgumentHelp("A PEFT folder; may be given several times.", valueName: "folder"))
  var adapter: [String] = []

  @Option(help: "The text to go on with. Default: the token that begins texts.")
  var prompt = ""

  @Option(help: "The most tokens to write.")
  var tokens = 200

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

  @Option(help: "Stop where this text would come; may be given several times.")
  var stop: [String] = []

  @Flag(help: "Let the base model write too.")
  var compare = false

  @OptionGroup var output: OutputOptions

  struct Result: Encodable {
    var adapter: String?
    var text: String
    var tokens: Int
    var seconds: Double
  }

  func validate() throws {
    if tokens < 1 { throw ValidationError("--tokens \(tokens): a number of at least 1 is needed.") }
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

  func run() throws {
    try output.prepare()
    let generator = try TextGenerator(model: model.folder, adapters: adapter.map { URL(fileURLWithPath: $0) })
    var options = SamplingOptions()
    (options.temperature, options.topK, options.topP, options.minP) = (temperature, topK, topP, minP)
    options.repetitionPenalty = repetitionPenalty
    let writers: [String?] = (compare || adapter.isEmpty ? [nil] : []) + generator.adapterNames.map { $0 }
    var results: [Result] = []
    for writer in writers {
      try generator.use(adapter: writer)
      if writers.count > 1 { print("\(results.isEmpty ? "" : "\n")--- \(writer ?? "base") ---") }
      if !output.quiet { GenerateCommand.show(prompt) }
      let start = Date()
      let (text, count) = try generator.write(
        after: prompt, limit: tokens, options: options, stops: stop, seed: seed
      ) { piece in
        GenerateCommand.show(piece)
        return true
      }
      print()
      let seconds = Date().timeIntervalSince(start)
      comment("\(count) tokens, \((Double(count) / max(seconds, 1e-9)).text(0)) a second", isQuiet: output.quiet)
      results.append(Result(adapter: writer, text: text, tokens: count, seconds: seconds))
    }
    try output.write(json: results)
  }

  private static func show(_ text: String) {
    print(text, terminator: "")
    fflush(nil)
  }
}
