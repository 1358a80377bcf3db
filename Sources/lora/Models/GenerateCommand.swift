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
        lora generate --model SmolLM2-135M-Instruct --chat --prompt "What is a low rank?"
        lora generate --model SmolLM2-135M-Instruct --messages chat.json --show-prompt
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

  @OptionGroup var writing: SamplingArguments

  @Option(help: "Stop where this text would come; may be given several times.")
  var stop: [String] = []

  @Flag(help: "Let the base model write too.")
  var compare = false

  @Flag(help: "The prompt is what a user says: the model's chat template writes it, and the answer ends with the turn.")
  var chat = false

  @Option(help: "What the model is told before the user speaks, with --chat.")
  var system: String?

  @Option(
    help: ArgumentHelp(
      """
      A conversation to answer, as JSON: a list of messages with "role" and "content", or an object with "messages" and, \
      where they are wanted, "tools".
      """, valueName: "path"))
  var messages: Path?

  @OptionGroup var template: TemplateOptions

  @Flag(help: "Print the prompt as the model reads it, and its ids, and stop.")
  var showPrompt = false

  @OptionGroup var precision: PrecisionOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    if prompt != nil, promptFile != nil { throw ValidationError("Give --prompt or --prompt-file, not both.") }
    try check("tokens", tokens, atLeast: 1)
    if messages != nil, prompt != nil || promptFile != nil {
      throw ValidationError("Give --messages or a prompt, not both.")
    }
    if system != nil || template.chatTemplate != nil, !chat, messages == nil {
      throw ValidationError("--system and --chat-template are about conversations: give --chat or --messages too.")
    }
    if chat, messages == nil, prompt == nil, promptFile == nil {
      throw ValidationError("--chat needs what the user says: give --prompt or --prompt-file.")
    }
  }

  func run() throws {
    try output.prepare()
    let prompt = try readPrompt()
    let generator = try TextGenerator(model: model.folder, adapters: adapter.adapters())
    let chosen = precision.apply(to: generator.model, writes: true, isQuiet: output.quiet)
    let opening = try self.opening(prompt, generator)
    if showPrompt { return try show(opening, generator) }
    let names: [String?] = (compare || adapter.isEmpty ? [nil] : []) + generator.adapterNames.map { $0 }
    var writers = names.map {
      Writer(
        adapter: $0,
        text: generator.text(
          afterIDs: opening.ids, limit: tokens, options: writing.sampling, stops: stop, ends: opening.ends,
          seed: writing.seed))
    }
    let shown = output.quiet || opening.template != nil ? "" : prompt
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
          .init("seed", .text("\(writing.seed)")),
          chosen,
        ]),
      printsText: false)
  }

  /// What the model reads first.
  private struct Opening {
    var ids: [Int]
    var text: String
    /// Where a template wrote it: its origin, and the tokens that end an answer.
    var template: String?
    var ends: Set<Int>?
  }

  private func opening(_ prompt: String, _ generator: TextGenerator) throws -> Opening {
    guard chat || messages != nil else { return Opening(ids: try generator.encode(prompt: prompt), text: prompt) }
    var (said, tools): ([JSON], [JSON]?) = ([], nil)
    if let messages {
      (said, tools) = try GenerateCommand.conversation(messages)
    } else {
      said = [.object([.init("role", "user"), .init("content", .string(prompt))])]
    }
    if let system { said.insert(.object([.init("role", "system"), .init("content", .string(system))]), at: 0) }
    let template = try generator.chatTemplate(named: template.chatTemplate, hasTools: tools != nil)
    comment("The chat template: \(template.origin)", isQuiet: output.quiet)
    let (ids, text) = try generator.encode(said, tools: tools, template: template)
    return Opening(ids: ids, text: text, template: template.origin, ends: generator.ends(by: template))
  }

  /// The messages and tools of a file.
  private static func conversation(_ path: Path) throws -> ([JSON], tools: [JSON]?) {
    let (data, name) = (try path.content(), path.name)
    let json: JSON
    do { json = try data.withUnsafeBytes { try JSON(parsing: $0, holdsTexts: true) } } catch {
      throw InputError("\(name): is no valid JSON: \(error)")
    }
    let messages = json.array ?? json["messages"]?.array
    guard let messages, !messages.isEmpty, messages.allSatisfy({ $0["role"]?.string != nil }) else {
      throw InputError(
        "\(name): holds no conversation; a list of messages is needed, each with \"role\" and \"content\", or an object "
          + "that has one under \"messages\"")
    }
    return (messages, json["tools"]?.array)
  }

  private func show(_ opening: Opening, _ generator: TextGenerator) throws {
    let ids = opening.ids.map(String.init).joined(separator: ",")
    if output.json?.isStream != true { print(opening.text + "\n\nids: " + ids) }
    try output.show(
      Report(
        title: "The prompt for \(model.folder.lastPathComponent)", summary: "",
        sections: [
          .init(
            "Prompt",
            [
              .fields([
                .init("template", key: "template", .text(opening.template)),
                .init("text", key: "text", .text(opening.text)),
                .init("tokens", key: "tokens", .count(opening.ids.count)),
              ])
            ])
        ], settings: [.init("model", .text("\(model.model)"))],
        members: [.init("ids", .array(opening.ids.map(JSON.integer)))]), printsText: false)
  }

  private func readPrompt() throws -> String {
    if messages != nil { return "" }
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

    mutating func next() -> String? {
      let start = Date()
      defer { seconds += Date().timeIntervalSince(start) }
      return text.next()
    }

    var speed: String {
      "\(text.tokens.counted("token")), \(Int((Double(text.tokens) / max(seconds, 1e-9)).rounded()).grouped) a second"
    }
  }

  /// One after another, as they come.
  private func write(_ writers: inout [Writer], from generator: TextGenerator, after prompt: String) throws {
    for index in writers.indices {
      if writers.count > 1 { print("\(index == 0 ? "" : "\n")--- \(writers[index].name) ---") }
      try show(prompt)
      try generator.use(adapter: writers[index].adapter)
      while let piece = writers[index].next() { try show(piece) }
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
        try generator.use(adapter: writers[index].adapter)
        if let piece = writers[index].next() {
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
