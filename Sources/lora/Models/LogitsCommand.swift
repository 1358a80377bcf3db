import ArgumentParser
import Foundation
import LoRAKit

/// `lora logits`: the bare output of a model, for checking against another implementation.
struct LogitsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "logits",
    abstract: "Print a model's logits: of the next token for a decoder, of the classes for a classifier.",
    discussion: """
      EXAMPLES
        lora logits --model stories260K --ids 1,403,407
        lora logits --model all-MiniLM-L6-v2 --adapter my-adapter --text "a moving film" --json logits.json
      """)

  @Option(
    name: .customLong("model"),
    help: ArgumentHelp("A Hugging Face folder; it may also stand alone.", valueName: "folder"))
  var named: Path?

  @Argument(help: .hidden)
  var alone: Path?

  private var model: Path { named ?? alone! }

  @Option(
    name: [.long, .customLong("adapter-path")],
    help: ArgumentHelp("A PEFT folder, as `lora train` writes it. (default: none)", valueName: "folder"))
  var adapter: Path?

  @Option(help: "Token ids separated by commas, special ones included.")
  var ids: String?

  @Option(help: "A text, which the model's tokenizer turns into ids.")
  var text: String?

  @OptionGroup var output: OutputOptions

  func validate() throws {
    if (named == nil) == (alone == nil) {
      throw ValidationError("Name one model: lora logits --model FOLDER --ids 1,2")
    }
    if (ids == nil) == (text == nil) { throw ValidationError("Give either --ids or --text.") }
    if let ids { _ = try LogitsCommand.numbers(ids) }
  }

  private static func numbers(_ ids: String) throws -> [Int] {
    try ids.split(separator: ",", omittingEmptySubsequences: false).map {
      guard let id = Int($0.trimmingCharacters(in: .whitespaces)), id >= 0 else {
        throw ValidationError("--ids \(ids): “\($0)” is no token id; numbers separated by commas are needed.")
      }
      return id
    }
  }

  func run() throws {
    try output.prepare()
    let folder = try model.place(of: "a model's folder")
    let adapter = try adapter?.place(of: "an adapter's folder")
    let result: (ids: [Int], logits: [Float])
    if try isClassifier(folder, adapter: adapter) {
      let model: SequenceClassifier
      let ids: [Int]
      if let given = self.ids, adapter == nil {
        // No tokenizer is needed.
        var generator = SeededGenerator(seed: 0)
        model = try SequenceClassifier(contentsOf: folder, using: &generator)
        ids = try LogitsCommand.numbers(given)
      } else {
        let classifier = try TextClassifier(model: folder, adapter: adapter)
        model = classifier.model
        ids = try self.ids.map(LogitsCommand.numbers) ?? classifier.tokenizer.encode(text!).ids.map(Int.init)
      }
      let shape = model.body.description
      try LogitsCommand.check(ids, vocabulary: shape.vocabulary, positions: shape.positions)
      result = (ids: ids, logits: model(TokenRows(ids: [ids])).scalars)
    } else {
      let model: any LanguageModel
      let ids: [Int]
      if let given = self.ids {
        // No tokenizer is needed.
        model = try languageModel(contentsOf: folder)
        if let adapter { try StoredAdapter(peft: adapter).attach(to: model) }
        ids = try LogitsCommand.numbers(given)
      } else {
        let generator = try TextGenerator(model: folder, adapters: adapter.map { [$0] } ?? [])
        model = generator.model
        ids = generator.tokenizer.encode(text!).ids.map(Int.init)
      }
      try LogitsCommand.check(ids, vocabulary: model.vocabulary, positions: model.positions)
      let cache = KeyValueCache(for: model, capacity: ids.count)
      result = (ids: ids, logits: model.nextLogits(ids, cache: cache).scalars)
    }
    guard result.logits.allSatisfy(\.isFinite) else {
      throw InputError("\(folder.path): the logits are no numbers: the model's weights, or the adapter's, are broken")
    }
    let best = result.logits.indices.sorted { result.logits[$0] > result.logits[$1] }.prefix(10)
    let more = result.logits.count - best.count
    try output.show(
      Report(
        title: "Logits of \(folder.lastPathComponent)",
        summary: "\(result.logits.count == best.count ? "All" : "The largest \(best.count)") of "
          + "\(result.logits.count.counted("logit")) after \(result.ids.count.counted("token"))"
          + (more > 0 ? "; --json writes all." : "."),
        sections: [
          .init(
            "The largest",
            [
              .fields([.init("ids", .text(result.ids.map(String.init).joined(separator: ", ")))]),
              .table(
                Table(
                  of: Array(best),
                  [.init("index") { .count($0) }, .init("logit") { .decimal(Double(result.logits[$0]), 6) }])),
            ])
        ],
        settings: [.init("model", .text("\(self.model)")), .adapter(self.adapter)],
        members: [
          .init("ids", .array(result.ids.map(JSON.integer))), .init("logits", .array(result.logits.map { JSON($0) })),
        ]))
  }

  private static func check(_ ids: [Int], vocabulary: Int, positions: Int) throws {
    guard !ids.isEmpty, ids.count <= positions else {
      throw InputError("\(ids.count.counted("id")); the model reads 1 to \(positions)")
    }
    if let wrong = ids.first(where: { $0 >= vocabulary }) {
      throw InputError("the id \(wrong) lies outside the model's \(vocabulary) tokens")
    }
  }
}
