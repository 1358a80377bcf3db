import LoRAFiles
import LoRATensors

/// A conversation with a decoder: what was said, and what of it the model has read.
///
/// The keys and values of what was read are kept, so that of each question only what is new is read. Another adapter reads
/// all anew, since it reads it differently.
///
/// ```swift
/// let session = ChatSession(generator, template: try generator.chatTemplate())
/// try session.answer("Hi", limit: 100) { piece in print(piece, terminator: ""); return true }
/// ```
public final class ChatSession {
  /// What answers.
  public let generator: TextGenerator
  /// What writes the conversation.
  public let template: ChatTemplate
  /// What was said, with the system prompt.
  public private(set) var messages: [JSON]
  /// The adapter that answers; nil is the base.
  public private(set) var adapter: String?
  /// How many tokens of the last question's prompt were read anew.
  public private(set) var readCount = 0
  private let system: [JSON]
  private let ends: Set<Int>
  private var cache: KeyValueCache?
  /// The tokens in the cache, and the adapter that read them.
  private var read: (ids: [Int], adapter: String?) = ([], nil)

  /// A conversation that begins.
  ///
  /// - Parameters:
  ///   - generator: the decoder with its adapters, of which the first answers.
  ///   - template: what writes the conversation.
  ///   - system: what the model is told first; nil for nothing.
  public init(_ generator: TextGenerator, template: ChatTemplate, system: String? = nil) {
    (self.generator, self.template) = (generator, template)
    self.system = system.map { [ChatSession.message("system", $0)] } ?? []
    messages = self.system
    adapter = generator.adapterNames.first
    ends = generator.ends(by: template)
  }

  private static func message(_ role: String, _ content: String) -> JSON {
    .object([.init("role", .string(role)), .init("content", .string(content))])
  }

  /// Forgets what was said.
  public func reset() { messages = system }

  /// Lets another adapter answer from now on; nil is the base.
  ///
  /// - Throws: where no adapter has that name.
  public func use(adapter name: String?) throws {
    try generator.use(adapter: name)
    adapter = name
  }

  /// Asks, and remembers the answer. An answer that was stopped counts as far as it came; where nothing came, the question
  /// is forgotten too.
  ///
  /// - Parameters:
  ///   - question: what the user says.
  ///   - limit: the most tokens of the answer.
  ///   - options: how each token is drawn.
  ///   - seed: the same seed gives the same answer.
  ///   - onText: is given what each token adds, which is empty while a character is incomplete; where it returns false, the
  ///     answer ends.
  /// - Throws: `ChatTemplateError` where the template refuses it, `CheckpointError` where there is no room left; what was
  ///   said stays as it was.
  @discardableResult
  public func answer(
    _ question: String, limit: Int, options: SamplingOptions = SamplingOptions(), seed: UInt64 = 0,
    onText: (String) throws -> Bool
  ) throws -> (text: String, tokens: Int) {
    let asked = messages + [ChatSession.message("user", question)]
    let answer = try write(after: asked, limit: limit, options: options, seed: seed, onText: onText)
    if !answer.text.isEmpty { messages = asked + [ChatSession.message("assistant", answer.text)] }
    return answer
  }

  /// What another adapter, or the base, would have said to the last question; what was said stays as it was.
  ///
  /// - Returns: nil where nothing was asked yet.
  public func compare(
    with name: String?, limit: Int, options: SamplingOptions = SamplingOptions(), seed: UInt64 = 0,
    onText: (String) throws -> Bool
  ) throws -> (text: String, tokens: Int)? {
    guard let last = messages.lastIndex(where: { $0["role"]?.string == "user" }) else { return nil }
    let own = adapter
    try use(adapter: name)
    defer { try? use(adapter: own) }
    return try write(after: Array(messages[...last]), limit: limit, options: options, seed: seed, onText: onText)
  }

  private func write(
    after messages: [JSON], limit: Int, options: SamplingOptions, seed: UInt64, onText: (String) throws -> Bool
  ) throws -> (text: String, tokens: Int) {
    let ids = try generator.encode(messages, template: template).ids
    let room = min(ids.count + limit, generator.model.positions)
    var known = read.adapter == adapter ? zip(read.ids, ids.dropLast()).prefix { $0 == $1 }.count : 0
    if let cache, cache.capacity >= room {
      cache.truncate(to: min(known, cache.count))
      known = cache.count
    } else {
      // Room for more turns like this one.
      cache = KeyValueCache(for: generator.model, capacity: min(max(2 * room, 512), generator.model.positions))
      known = 0
    }
    readCount = ids.count - known
    var text = generator.text(
      afterIDs: ids, limit: limit, options: options, ends: ends, cache: cache, seed: seed)
    defer { read = (Array(text.ids.prefix(cache?.count ?? 0)), adapter) }
    while let piece = text.next(), try onText(piece) {}
    return (text.text, text.tokens)
  }
}
