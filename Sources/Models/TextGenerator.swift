import Foundation
import LoRAFiles
import LoRAFormats
import LoRANetworks
import LoRATensors

/// A decoder ready to use: model, tokenizer, and any number of adapters, of which one is on at a time.
public final class TextGenerator {
  /// The decoder, with all adapters.
  public let model: any LanguageModel
  /// What makes tokens of texts and texts of tokens.
  public let tokenizer: Tokenizer
  /// The adapters' names, in order.
  public let adapterNames: [String]
  /// Tokens that end a text.
  public let ends: Set<Int>
  /// The model's folder.
  public let folder: URL

  /// - Parameters:
  ///   - folder: a Hugging Face folder (config.json, weights, tokenizer.json), or a GGUF file.
  ///   - adapters: PEFT folders; each is known by its folder's name, with as many of the folders above it as tell it
  ///     from the others. The first is on.
  public init(model folder: URL, adapters: [URL] = []) throws {
    self.folder = folder
    var tokenizer = try Tokenizer(contentsOf: folder)
    model = try languageModel(contentsOf: folder)
    adapterNames = try namesOfAdapters(adapters)
    for (url, name) in zip(adapters, adapterNames) { try StoredAdapter(peft: url).attach(to: model, named: name) }
    // What the tokenizer's files leave open, the model's may say.
    let known = 0..<model.vocabulary
    let ends = try TextGenerator.ids("eos_token_id", in: folder).filter(known.contains)
    let beginnings = try TextGenerator.ids("bos_token_id", in: folder).filter(known.contains)
    tokenizer.special.end = tokenizer.special.end ?? ends.first.map(Int32.init)
    tokenizer.special.beginning = tokenizer.special.beginning ?? beginnings.first.map(Int32.init)
    self.ends = Set(ends + [tokenizer.special.end].compactMap { $0.map(Int.init) })
    self.tokenizer = tokenizer
    if let first = adapterNames.first { try use(adapter: first) }
  }

  /// The token ids in a field of generation_config.json and config.json: a number or a list.
  private static func ids(_ field: String, in folder: URL) throws -> [Int] {
    guard isDirectory(folder) else { return [try Checkpoint(folder).configuration?[field]?.integer].compactMap { $0 } }
    return try ["generation_config.json", "config.json"].flatMap { name -> [Int] in
      let file = try LoRAFiles.file(name, in: folder)
      guard FileManager.default.fileExists(atPath: file.path) else { return [] }
      let value = try readJSON(file)[field]
      return (value?.array ?? value.map { [$0] } ?? []).compactMap(\.integer)
    }
  }

  /// Switches one adapter on and the others off; nil gives the base model.
  public func use(adapter name: String?) throws { try model.enableAdapters(name.map { [$0] } ?? []) }

  /// The ids of a prompt; an empty one is the token that begins texts.
  ///
  /// - Throws: `CheckpointError` where the prompt leaves no room.
  public func encode(prompt: String) throws -> [Int] {
    let ids = tokenizer.opening(prompt).map(Int.init)
    let start =
      ids.isEmpty ? [tokenizer.special.beginning ?? tokenizer.special.end].compactMap { $0.map(Int.init) } : ids
    guard !start.isEmpty else {
      throw CheckpointError(
        .missing, file: "", "the prompt is empty, and the model has no token that begins a text",
        advice: "Give a prompt")
    }
    try requireRoom(after: start, what: "prompt", advice: "Shorten it")
    return start
  }

  /// Insists that the model knows what it is to go on from, and has a position left to write at.
  ///
  /// - Throws: `CheckpointError`.
  func requireRoom(after ids: [Int], what: String, advice: Advice) throws {
    try model.requireKnown(ids, of: tokenizer)
    guard ids.count < model.positions else {
      throw CheckpointError(
        .mismatch, file: "", "the \(what) has \(ids.count) tokens",
        expected: "fewer than the \(model.positions) that the model reads, so that it can write after them",
        advice: advice)
    }
  }

  /// The text after `prompt`, to be asked for piece by piece.
  ///
  /// - Parameters:
  ///   - prompt: the text to go on from.
  ///   - limit: the most tokens to write.
  ///   - options: how each token is drawn.
  ///   - stops: texts at which to stop; they are not given out.
  ///   - seed: the same seed gives the same result.
  /// - Throws: `CheckpointError` where the prompt leaves no room.
  public func text(
    after prompt: String, limit: Int, options: SamplingOptions = SamplingOptions(), stops: [String] = [],
    seed: UInt64 = 0
  ) throws -> WrittenText {
    WrittenText(
      Continuation(
        of: try encode(prompt: prompt), by: model, limit: limit, options: options, ends: ends,
        using: SeededGenerator(seed: seed)),
      tokenizer: tokenizer, stops: stops)
  }

  /// Goes on with `prompt` and gives out the text as it comes.
  ///
  /// - Parameters:
  ///   - prompt: the text to go on from.
  ///   - limit: the most tokens to write.
  ///   - options: how each token is drawn.
  ///   - stops: texts at which to stop; they are not given out.
  ///   - seed: the same seed gives the same result.
  ///   - onText: is given what each token adds, which is empty while a character is incomplete; where it returns false,
  ///     writing stops.
  /// - Returns: the whole continuation and how many tokens were drawn.
  @discardableResult
  public func write(
    after prompt: String, limit: Int, options: SamplingOptions = SamplingOptions(), stops: [String] = [],
    seed: UInt64 = 0, onText: (String) -> Bool = { _ in true }
  ) throws -> (text: String, tokens: Int) {
    var text = try text(after: prompt, limit: limit, options: options, stops: stops, seed: seed)
    while let piece = text.next(), onText(piece) {}
    return (text.text, text.tokens)
  }
}

/// Text from tokens as they come: a piece is given out once its bytes are whole characters, or can no longer become one.
public struct TextStream {
  private let tokenizer: Tokenizer
  private var ids: [Int32]
  /// The tokens before `shown` have been given out; those from `start` on are decoded together, since how a token reads
  /// can depend on the one before.
  private var start: Int
  private var shown: Int
  /// Of a character in UTF-8.
  private static let mostBytes = 4

  /// A text that goes on after tokens that are known already.
  public init(_ tokenizer: Tokenizer, after ids: [Int] = []) {
    self.tokenizer = tokenizer
    self.ids = ids.map(Int32.init)
    shown = ids.count
    start = max(0, shown - 4)
  }

  /// What the token adds to the text; empty while a character is incomplete.
  public mutating func append(_ id: Int) -> String {
    ids.append(Int32(id))
    return piece(isLast: false)
  }

  /// What is left of a character that was never completed.
  public mutating func finish() -> String { piece(isLast: true) }

  private mutating func piece(isLast: Bool) -> String {
    let before = tokenizer.decode(ids[start..<shown])
    var end = ids.count
    var text = tokenizer.decode(ids[start...])
    if !isLast, text.hasSuffix("\u{FFFD}") {
      // A character has at most four bytes, and a token at least one: what began before the last three has come to nothing.
      end -= Self.mostBytes - 1
      guard end > shown else { return "" }
      text = tokenizer.decode(ids[start..<end])
    }
    guard text.utf8.count > before.utf8.count else { return "" }
    start = shown
    shown = end
    return String(decoding: text.utf8.dropFirst(before.utf8.count), as: UTF8.self)
  }
}

/// Holds back text that may be the beginning of a stop.
struct StopFilter {
  let stops: [String]
  private(set) var hasStopped = false
  private var held = ""

  init(stops: [String]) { self.stops = stops.filter { !$0.isEmpty } }

  mutating func pass(_ text: String) -> String {
    guard !stops.isEmpty else { return text }
    held += text
    let found = stops.compactMap { held.range(of: $0)?.lowerBound }.min()
    if let found {
      hasStopped = true
      defer { held = "" }
      return String(held[..<found])
    }
    let kept = held.indices.first { start in stops.contains { $0.hasPrefix(held[start...]) } } ?? held.endIndex
    defer { held = String(held[kept...]) }
    return String(held[..<kept])
  }

  mutating func finish(_ text: String) -> String { pass(text) + (hasStopped ? "" : held) }
}
