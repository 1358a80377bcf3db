import ArgumentParser
import Foundation
import LoRAKit

/// `lora chat`: a conversation with a decoder, in the terminal or through a pipe.
struct ChatCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "chat",
    abstract: "Talk with a decoder that was taught conversations.",
    discussion: """
      Each line is what you say; what was said before is remembered. Lines that begin with / are commands: /help lists \
      them. Ctrl-C stops an answer, the end of input (Ctrl-D) ends the conversation.

      EXAMPLES
        lora chat SmolLM2-135M-Instruct
        lora chat SmolLM2-135M-Instruct --adapter polite --adapter rude --system "You are a clerk."
        printf 'Hi\\nWho are you?\\n' | lora chat SmolLM2-135M-Instruct --quiet
      """)

  @Argument(help: "A Hugging Face folder (config.json, weights in safetensors, tokenizer.json), or a GGUF file.")
  var model: Path?

  @Option(name: .customLong("model"), help: .hidden)
  var named: Path?

  @Option(
    name: [.long, .customLong("adapter-path")],
    help: ArgumentHelp(
      "A PEFT folder; may be given several times. The first answers. (default: none)", valueName: "folder"))
  var adapter: [Path] = []

  @Option(help: "What the model is told before you speak.")
  var system: String?

  @OptionGroup var template: TemplateOptions

  @Option(name: [.customLong("tokens"), .customLong("max-tokens")], help: "The most tokens of an answer.")
  var tokens = 1000

  @OptionGroup var writing: SamplingArguments

  @OptionGroup var precision: PrecisionOptions
  @OptionGroup var running: RunOptions

  func validate() throws {
    if (model == nil) == (named == nil) { throw ValidationError("Name one model: lora chat FOLDER") }
    try check("tokens", tokens, atLeast: 1)
  }

  func run() throws {
    try running.prepare(writing: [])
    let quiet = running.quiet
    let folder = try (model ?? named)!.place(of: "a model")
    let generator = try TextGenerator(model: folder, adapters: adapter.adapters())
    precision.apply(to: generator.model, writes: true, isQuiet: quiet)
    let template = try generator.chatTemplate(named: template.chatTemplate)
    // Said before the first question: a model whose template refuses everything is no partner.
    comment("The chat template: \(template.origin). /help lists the commands.", isQuiet: quiet)
    var conversation = Conversation(
      session: ChatSession(generator, template: template, system: system), limit: tokens, writing: writing,
      isQuiet: quiet)
    try conversation.run()
  }
}

/// What goes on between the lines that are read and the answers that are printed.
private struct Conversation {
  let session: ChatSession
  let limit: Int
  let writing: SamplingArguments
  let isQuiet: Bool
  private let interrupt = AnswerInterrupt()
  private let isTerminal = isatty(STDIN_FILENO) == 1
  private let style = Terminal.style()

  init(session: ChatSession, limit: Int, writing: SamplingArguments, isQuiet: Bool) {
    (self.session, self.limit, self.writing, self.isQuiet) = (session, limit, writing, isQuiet)
  }

  /// - Throws: exit status 1 where a question of a pipe's, at which nobody looks, was not answered.
  mutating func run() throws {
    var isRefused = false
    while true {
      if isTerminal { Swift.print(style.painted("> ", .green), terminator: "") }
      fflush(nil)
      guard let line = readLine() else { break }
      let text = line.trimmingCharacters(in: .whitespacesAndNewlines)
      guard !text.isEmpty else { continue }
      do {
        if text.hasPrefix("//") {
          try answer(String(text.dropFirst()))
        } else if text.hasPrefix("/") {
          guard try obey(text) else { break }
        } else {
          try answer(line)
        }
      } catch let error as InputError where error.description.hasPrefix("standard output") {
        throw error
      } catch {
        // What the template or the model refuses ends no conversation.
        StandardError.write("\(error)".visible + "\n")
        isRefused = true
      }
    }
    if isTerminal { try show("\n") } else if isRefused { throw ExitCode.failure }
  }

  private func answer(_ question: String) throws {
    try write { onText in
      try session.answer(question, limit: limit, options: writing.sampling, seed: writing.seed, onText: onText)
    }
  }

  /// Shows an answer as it comes, up to Ctrl-C.
  private func write(_ body: ((String) throws -> Bool) throws -> (text: String, tokens: Int)) throws {
    interrupt.begin()
    defer { interrupt.end() }
    let start = Date()
    let (_, count) = try body { piece in
      try show(piece)
      return !interrupt.isRequested
    }
    try show("\n")
    let seconds = max(Date().timeIntervalSince(start), 1e-9)
    comment(
      interrupt.isRequested
        ? "(stopped)" : "\(count.counted("token")), \(Int((Double(count) / seconds).rounded()).grouped) a second",
      isQuiet: isQuiet)
  }

  /// - Returns: whether the conversation goes on.
  private func obey(_ command: String) throws -> Bool {
    let parts = command.split(separator: " ", maxSplits: 1).map(String.init)
    let argument = parts.count > 1 ? parts[1].trimmingCharacters(in: .whitespaces) : nil
    let names = session.generator.adapterNames
    switch (parts[0], argument) {
    case ("/help", nil):
      comment(
        """
        /adapter        which adapters there are, and which one answers
        /adapter NAME   let that one answer; base is the model without any
        /base           what the base says to the last question
        /reset          forget what was said
        /quit           end, as the end of input does
        //TEXT          say TEXT with one / before it
        """, isQuiet: false)
    case ("/adapter", nil):
      for name in ["base"] + names {
        comment((name == (session.adapter ?? "base") ? "* " : "  ") + name, isQuiet: false)
      }
    case ("/adapter", let name?):
      guard name == "base" || names.contains(where: name.isExactly) else {
        comment(
          "There is no adapter \(name); there \(names.isEmpty ? "is base" : "are base, " + names.joined(separator: ", ")).",
          isQuiet: false)
        break
      }
      try session.use(adapter: name == "base" && !names.contains("base") ? nil : name)
      comment("\(name) answers from now on.", isQuiet: isQuiet)
    case ("/base", nil):
      let asked = session.messages.contains { $0["role"]?.string == "user" }
      guard asked else {
        comment("Nothing was asked yet.", isQuiet: false)
        break
      }
      comment("base:", isQuiet: isQuiet)
      try write { onText in
        try session.compare(with: nil, limit: limit, options: writing.sampling, seed: writing.seed, onText: onText)
          ?? ("", 0)
      }
    case ("/reset", nil):
      session.reset()
      comment("Forgotten.", isQuiet: isQuiet)
    case ("/quit", nil), ("/exit", nil): return false
    default: comment("\(parts[0]) is no command, or takes no such argument; /help lists them.", isQuiet: false)
    }
    return true
  }

  /// - Throws: where standard output takes no more.
  private func show(_ text: String) throws {
    print(text, terminator: "")
    guard fflush(nil) == 0 else {
      throw InputError("standard output: can't be written: \(String(cString: strerror(errno)))")
    }
  }
}

/// Ctrl-C while an answer is written ends the answer; at other times it ends nothing.
private final class AnswerInterrupt: @unchecked Sendable {
  private let lock = NSLock()
  private var isWriting = false
  private var wasPressed = false
  private let source: any DispatchSourceSignal

  init() {
    signal(SIGINT, SIG_IGN)
    source = DispatchSource.makeSignalSource(signal: SIGINT, queue: .global())
    source.setEventHandler { [weak self] in self?.pressed() }
    source.resume()
  }

  private func pressed() {
    let isWriting = lock.withLock {
      wasPressed = true
      return self.isWriting
    }
    if !isWriting { StandardError.write("\n(Ctrl-D or /quit ends)\n") }
  }

  func begin() { lock.withLock { (isWriting, wasPressed) = (true, false) } }
  func end() { lock.withLock { isWriting = false } }
  var isRequested: Bool { lock.withLock { wasPressed } }
}
