import ArgumentParser
import Foundation
import LoRAKit

/// `lora train`: an adapter, or a whole model, from data.
struct TrainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "train",
    abstract: "Train an adapter for a pretrained model: a classifier of texts, or a decoder.",
    subcommands: [TrainClassifyCommand.self, TrainLMCommand.self])
}

/// `lora train lm`: a decoder learns a text, or answers to prompts.
struct TrainLMCommand: RankedCommand {
  static let configuration = CommandConfiguration(
    commandName: "lm",
    abstract: "Train a decoder on a text, or on prompts with their completions.",
    discussion: """
      A text is packed into windows of --length tokens. Files of rows (jsonl, json, csv, tsv, also gzipped, or a folder of \
      them) are known by the names of their columns: "messages" (or "conversations", as ShareGPT has them), of which the \
      assistant's turns are learnt; "prompt" and "completion", of which only the completion is; "instruction" and "output", \
      "question" and "answer" and the like, which become conversations where the model has a chat template; or "text".

      EXAMPLES
        lora train lm --model stories260K --data shakespeare.txt --length 128 --targets all-linear --steps 400 -o shakespeare
        lora generate --model stories260K --adapter shakespeare --prompt "ROMEO:"
        lora train lm --model SmolLM2-135M-Instruct --data chats.jsonl -o polite
        lora chat SmolLM2-135M-Instruct --adapter polite
      """)

  @OptionGroup var model: ModelOptions

  @Option(
    help: ArgumentHelp(
      "A text, a file of rows (jsonl, json, csv, tsv), or a folder of such; - for standard input.", valueName: "path"))
  var data: Path

  @Option(
    help: ArgumentHelp("The same kind of file, to choose the best adapter by. (default: none)", valueName: "path"))
  var eval: Path?

  @Option(
    name: [.long, .customLong("max-seq-length")],
    help: """
      Tokens in a window. (default: 256, or as many as the model reads; of conversations as many as the model reads)
      """)
  var length: Int?

  @Option(
    help: """
      What is learnt of conversations, and of prompts with completions: assistant (its turns, the completion), last (the \
      assistant's last turn) or all.
      """)
  var learn = LearntTurns.assistant

  @OptionGroup var template: TemplateOptions

  @OptionGroup var training: TrainingOptions
  @OptionGroup var output: OutputOptions

  func validate() throws { try check("length", length, "at least 2") { $0 >= 2 } }

  func run() throws {
    try training.prepare(output, model: model.folder)
    let generator = try TextGenerator(model: model.folder)
    let decoder = generator.model
    decoder.recomputes = training.recompute
    let positions = decoder.positions
    if let length, length > positions {
      throw InputError("--length \(length): the model reads \(positions) tokens at most")
    }
    let template = try ChatTemplate(named: template.chatTemplate, of: model.folder)
    func windows(_ path: Path) throws -> TokenWindows {
      let windows = try TokenWindows(
        contentsOf: path.input(), tokenizer: generator.tokenizer, length: length ?? min(256, positions),
        chatLength: length ?? positions, template: template, turns: learn)
      try decoder.requireKnown([windows.largestID], of: generator.tokenizer)
      try announce(windows, of: path.name, template: template)
      return windows
    }
    let examples = try windows(data)
    let evaluation = try eval.map(windows)
    let base = try Ranks.joined().rank > 0 ? nil : evaluation.map { try $0.score(by: decoder).loss }
    if let base {
      comment("The base's loss on \(eval!.name): \(Report.Value.decimal(base, 4).text)", isQuiet: output.quiet)
    }
    let task = LanguageModelingTask(decoder, windows: examples, evaluation: evaluation)
    let choice = training.choice(for: task.sizes)
    let recipe = training.recipe(
      defaultTargets: (decoder as? TransformerDecoder)?.body.attentionTargets ?? ["q_proj", "v_proj"],
      advice: choice?.advice)
    var random = SeededGenerator(seed: training.seed &+ 1)
    try recipe.prepare(decoder, using: &random)
    try training.mend(decoder, isQuiet: output.quiet) { try TextGenerator(model: $0).model }
    if training.bias != .none, !training.full, !decoder.attachedAdapters.contains(where: { $0.adapter is Replacement })
    {
      throw InputError(
        "--bias \(training.bias.rawValue): "
          + (training.bias == .all ? "the model has no bias" : "no adapted module has a bias") + "; leave --bias out")
    }
    var run = try TrainingRun(
      model: decoder, base: model.folder, options: training, recipe: recipe,
      plan: training.plan(defaultBatchSize: 8, advice: choice?.advice),
      precision: training.precision.apply(to: decoder, trains: true, isQuiet: output.quiet), isQuiet: output.quiet,
      ranks: Ranks.joined(), choice: choice)
    let longest = examples.longest * run.plan.batchSize / run.plan.accumulation
    try run.announce(
      rows: longest, layers: decoder.cacheShape.layers, hidden: decoder.outputWeight.shape[1],
      intermediate: 3 * decoder.outputWeight.shape[1], outputs: decoder.vocabulary)
    let trained = decoder.trainableCount
    let (outcome, metrics) = try run.train(
      task,
      keeping: try training.keeping(model: "\(model.model)", length: length ?? min(256, positions)) { digest in
        try examples.forEachWindow { window in
          for numbers in [window.ids, window.targets] {
            digest.add(numbers.map(Int32.init))
            digest.endSequence()
          }
        }
      })
    guard run.ranks.rank == 0 else { return }
    var fields: [Report.Field] = []
    if let best = outcome.best, let base {
      fields = [
        .init("loss of the base", key: "base_loss", .decimal(base, 4)),
        .init("loss", key: "loss", .decimal(best.loss, 4)),
      ]
    }
    let report = run.report(
      outcome, trained: trained, on: "\(examples.count.counted("window")) of text", fields: fields,
      curves: outcome.curves(unit: "nats a token"), sections: [],
      data: data, eval: eval)
    try run.write(
      report, configuration: try training.configuration(model: "\(model.model)", task: "CAUSAL_LM"), labels: nil,
      metrics: metrics)
    try output.show(report)
  }

  /// Says what was found: which columns were taken, what writes conversations, what is learnt, what was cut, and shows one.
  private func announce(_ windows: TokenWindows, of path: String, template: ChatTemplate?) throws {
    let isQuiet = output.quiet
    for source in windows.sources {
      guard !source.columns.isEmpty else {
        comment("\(source.file.relativePath): a text, learnt as it stands.", isQuiet: isQuiet)
        continue
      }
      let columns = source.columns.map(\.description).joined(separator: ", and ")
      let writes =
        source.chatCount > 0
        ? ", written by the chat template of \(template!.origin)"
        : source.columns.contains(where: \.isPairs) ? ", as they stand" : ""
      comment("\(source.file.relativePath): \(source.count.counted("row")), \(columns)\(writes).", isQuiet: isQuiet)
    }
    guard windows.predictions > 0 else {
      throw InputError(
        "\(path): holds no token to predict"
          + (windows.leftOutCount > 0
            ? " within \(windows.lengthName): nothing there is the assistant's, or what comes before it is as long; "
              + "raise --length, or learn everything with --learn all"
            : ""))
    }
    func count(_ count: Int, _ what: String) {
      if count > 0 { comment("\(path): \(count.grouped) \(what)", isQuiet: isQuiet) }
    }
    let examples = (windows.count + windows.leftOutCount).grouped
    count(
      windows.removedCount,
      "tokens of \(windows.cutCount.counted("example")) lie beyond \(windows.lengthName) and were cut.")
    count(windows.leftOutCount, "of \(examples) left out: no token that is learnt lies within \(windows.lengthName).")
    count(
      windows.spannedCount,
      "of \(examples) prompts end within a token, often with a space; their completions' tokens are their own.")
    guard windows.sources.contains(where: { !$0.columns.isEmpty }) else { return }
    comment(
      "\(windows.predictions.grouped) of \(windows.tokenCount.counted("token")) are learnt. The first example, with what is learnt "
        + "between ⟦ and ⟧:\n\(try windows.shown(0))", isQuiet: isQuiet)
  }
}

extension LearntTurns: ExpressibleByArgument {}
