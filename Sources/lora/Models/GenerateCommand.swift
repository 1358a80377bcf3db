import ArgumentParser
import Foundation
import LoRAKit

/// `lora generate`: a decoder goes on with a text.
struct GenerateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate",
    abstract: "Let a decoder go on with a text, as it comes.",
    discussion: """
      With several adapters each writes in turn, from one model in memory. With --compare the base writes too, on a \
      terminal side by side.

      EXAMPLES
        lora generate --model stories260K --prompt "Once upon a time"
        lora generate --model stories260K --adapter shakespeare --prompt "ROMEO:" --temperature 0.8 --top-p 0.9 --compare
      """)

  @OptionGroup var model: ModelOptions

  @Option(
    name: [.long, .customLong("adapter-path")],
    help: ArgumentHelp("A PEFT folder; may be given several times. (default: none)", valueName: "folder"))
  var adapter: [Path] = []

  @Option(help: "The text to go on with. (default: the token that begins texts)")
  var prompt: String?

  @Option(
    help: ArgumentHelp(
      "A file with the text to go on with, less a line end at its end; - for standard input.", valueName: "path"))
  var promptFile: Path?

  @Option(name: [.long, .customLong("max-tokens")], help: "The most tokens to write.")
  var tokens = 200

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

  @Option(help: "Stop where this text would come; may be given several times.")
  var stop: [String] = []

  @Flag(help: "Let the base model write too.")
  var compare = false

  @OptionGroup var precision: PrecisionOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    if prompt != nil, promptFile != nil { throw ValidationError("Give --prompt or --prompt-file, not both.") }
    try check("tokens", tokens, atLeast: 1)
    try check("temperature", temperature, "a number of at least 0") { $0 >= 0 && $0.isFinite }
    try check("top-k", topK, atLeast: 1)
    try check("top-p", share: topP)
    try check("min-p", share: minP)
    try check("repetition-penalty", positive: repetitionPenalty)
  }

  func run() throws {
    try output.prepare()
    let prompt = try readPrompt()
    let generator = try TextGenerator(model: model.folder, adapters: adapter.adapters())
    let chosen = precision.apply(to: generator.model, isQuiet: output.quiet)
    var options = SamplingOptions()
    (options.temperature, options.topK, options.topP, options.minP) = (temperature, topK, topP, minP)
    options.repetitionPenalty = repetitionPenalty
    let names: [String?] = (compare || adapter.isEmpty ? [nil] : []) + generator.adapterNames.map { $0 }
    var writers = try names.map {
      Writer(
        adapter: $0,
        text: try generator.text(after: prompt, limit: tokens, options: options, stops: stop, seed: seed))
    }
    let shown = output.quiet ? "" : prompt
    if compare, let width = Terminal.width(), let columns = TextColumns(count: writers.count, within: width) {
      try write(&writers, in: columns, from: generator, after: shown)
    } else {
      try write(&writers, from: generator, after: shown)
    }
    let table = Table(
      key: "texts", of: writers,
      [
        .init("adapter") { .text($0.name) }, .init(key: "adapter") { .text($0.adapter) },
        .init("text", key: "text") { .text($0.text.text) },
        .init("tokens", key: "tokens") { .count($0.text.tokens) },
        .init("time", key: "seconds") { .seconds($0.seconds) },
      ])
    try output.show(
      Report(
        title: "Texts by \(([model.model] + adapter).map(\.lastComponent).joined(separator: ", "))",
        summary: prompt.isEmpty ? "" : "After “\(prompt)”.",
        sections: [.init("Texts", [.table(table)])],
        settings: [
          .init("model", .text("\(model.model)")), .init("adapters", .texts(adapter.map(\.description))),
          .init("seed", .text("\(seed)")),
          chosen,
        ]),
      printsText: false)
  }

  private func readPrompt() throws -> String {
    guard let promptFile else { return prompt ?? "" }
    guard let text = String(validating: try promptFile.content(), as: UTF8.self) else {
      throw InputError("\(promptFile.name): is not UTF-8; convert it, for example with iconv")
    }
    return text.last?.isNewline == true ? String(text.dropLast()) : text
  }

  // MARK: Writing

  /// The base or an adapter, and what it writes.
  private struct Writer {
    let adapter: String?
    var text: WrittenText
    var seconds = 0.0

    var name: String { adapter ?? "base" }

    mutating func next(from generator: TextGenerator) throws -> String? {
      try generator.use(adapter: adapter)
      let start = Date()
      defer { seconds += Date().timeIntervalSince(start) }
      return text.next()
    }

    var speed: String {
      "\(grouped(text.tokens)) tokens, \(grouped(Int((Double(text.tokens) / max(seconds, 1e-9)).rounded()))) a second"
    }
  }

  /// One after another, as they come.
  private func write(_ writers: inout [Writer], from generator: TextGenerator, after prompt: String) throws {
    for index in writers.indices {
      if writers.count > 1 { print("\(index == 0 ? "" : "\n")--- \(writers[index].name) ---") }
      try show(prompt)
      while let piece = try writers[index].next(from: generator) { try show(piece) }
      try show("\n")
      comment(writers[index].speed, isQuiet: output.quiet)
    }
  }

  /// Side by side, a token each in turn, row by row.
  private func write(
    _ writers: inout [Writer], in columns: TextColumns, from generator: TextGenerator, after prompt: String
  ) throws {
    var columns = columns
    print(columns.header(writers.map(\.name)).joined(separator: "\n"))
    for index in writers.indices { columns.append(prompt, to: index) }
    var unfinished = Array(writers.indices)
    while !unfinished.isEmpty {
      for index in unfinished {
        if let piece = try writers[index].next(from: generator) {
          columns.append(piece, to: index)
        } else {
          columns.end(index)
          unfinished.removeAll { $0 == index }
        }
      }
      for row in columns.completeRows() { try show(row + "\n") }
    }
    for writer in writers { comment("\(writer.name): \(writer.speed)", isQuiet: output.quiet) }
  }

  /// Gives the text out at once.
  ///
  /// - Throws: where standard output takes no more (a full disk).
  private func show(_ text: String) throws {
    print(text, terminator: "")
    guard fflush(nil) == 0 else {
      throw InputError("standard output: can't be written: \(String(cString: strerror(errno)))")
    }
  }
}
