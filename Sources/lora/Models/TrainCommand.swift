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
struct TrainLMCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lm",
    abstract: "Train a decoder on a text, or on prompts with their completions.",
    discussion: """
      A text is packed into windows of --length tokens. A jsonl file has "prompt" and "completion" in each line, of which \
      only the completion is learnt, or "text".

      EXAMPLES
        lora train lm --model stories260K --data shakespeare.txt --length 128 --targets all-linear --steps 400 -o shakespeare
        lora generate --model stories260K --adapter shakespeare --prompt "ROMEO:"
      """)

  @OptionGroup var model: ModelOptions

  @Option(help: ArgumentHelp("A text, or a jsonl file; - for standard input.", valueName: "path"))
  var data: Path

  @Option(
    help: ArgumentHelp("The same kind of file, to choose the best adapter by. (default: none)", valueName: "path"))
  var eval: Path?

  @Option(
    name: [.long, .customLong("max-seq-length")],
    help: "Tokens in a window. (default: 256, or as many as the model reads)")
  var length: Int?

  @OptionGroup var training: TrainingOptions
  @OptionGroup var output: OutputOptions

  func validate() throws { try check("length", length, "at least 2") { $0 >= 2 } }

  func run() throws {
    try training.prepare(output, model: model.folder)
    let generator = try TextGenerator(model: model.folder)
    let decoder = generator.model
    decoder.recomputes = training.recompute
    let length = self.length ?? min(256, decoder.positions)
    guard length <= decoder.positions else {
      throw InputError("--length \(length): the model reads \(decoder.positions) tokens at most")
    }
    func windows(_ path: Path) throws -> TokenWindows {
      let windows = try TokenWindows(
        contentsOf: path.input(), tokenizer: generator.tokenizer, length: length)
      try decoder.requireKnown([windows.largestID], of: generator.tokenizer)
      guard windows.predictions > 0 else {
        throw InputError(
          "\(path.name): holds no token to predict"
            + (windows.leftOutCount > 0 ? " within --length \(length): the prompts alone are as long" : ""))
      }
      func count(_ count: Int, _ what: String) {
        if count > 0 { comment("\(path.name): \(grouped(count)) \(what)", isQuiet: output.quiet) }
      }
      let pairs = grouped(windows.count + windows.leftOutCount)
      count(windows.removedCount, "tokens lie beyond --length \(length) and were cut.")
      count(windows.leftOutCount, "of \(pairs) left out: no token of the completion lies within --length \(length).")
      count(
        windows.spannedCount,
        "of \(pairs) prompts end within a token, often with a space; their completions' tokens are their own.")
      return windows
    }
    let examples = try windows(data)
    let evaluation = try eval.map(windows)
    let base = try evaluation.map { try $0.score(by: decoder).loss }
    if let base {
      comment("The base's loss on \(eval!.name): \(Report.Value.decimal(base, 4).text)", isQuiet: output.quiet)
    }
    let recipe = training.recipe(
      defaultTargets: (decoder as? TransformerDecoder)?.body.attentionTargets ?? ["q_proj", "v_proj"])
    var random = SeededGenerator(seed: training.seed &+ 1)
    try recipe.prepare(decoder, using: &random)
    if training.bias != .none, !training.full, !decoder.attachedAdapters.contains(where: { $0.adapter is Replacement })
    {
      throw InputError(
        "--bias \(training.bias.rawValue): "
          + (training.bias == .all ? "the model has no bias" : "no adapted module has a bias") + "; leave --bias out")
    }
    let run = TrainingRun(
      model: decoder, base: model.folder, options: training, recipe: recipe, plan: training.plan(defaultBatchSize: 8),
      precision: training.precision.apply(to: decoder, trains: true, isQuiet: output.quiet), isQuiet: output.quiet)
    let longest = examples.longest * run.plan.batchSize / run.plan.accumulation
    try run.announce(
      rows: longest, layers: decoder.cacheShape.layers, hidden: decoder.outputWeight.shape[1],
      intermediate: 3 * decoder.outputWeight.shape[1], outputs: decoder.vocabulary)
    let trained = decoder.trainableCount
    let (outcome, metrics) = try run.train(
      LanguageModelingTask(decoder, windows: examples, evaluation: evaluation),
      keeping: try training.keeping(model: "\(model.model)", length: length) { digest in
        try examples.forEachWindow { window in
          for numbers in [window.ids, window.targets] {
            digest.add(numbers.map(Int32.init))
            digest.endSequence()
          }
        }
      })
    var fields: [Report.Field] = []
    if let best = outcome.best, let base {
      fields = [
        .init("loss of the base", key: "base_loss", .decimal(base, 4)),
        .init("loss", key: "loss", .decimal(best.loss, 4)),
      ]
    }
    let report = run.report(
      outcome, trained: trained, on: "\(grouped(examples.count)) windows of text", fields: fields,
      curves: outcome.curves(unit: "nats a token", accuracy: false), sections: [],
      data: data, eval: eval)
    try run.write(
      report, configuration: try training.configuration(model: "\(model.model)", task: "CAUSAL_LM"), labels: nil,
      metrics: metrics)
    try output.show(report)
  }
}
