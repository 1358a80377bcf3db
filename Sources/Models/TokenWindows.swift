import Foundation
import LoRADatasets
import LoRAFiles
import LoRANetworks
import LoRATensors

/// Token sequences for training or measuring a decoder, each with the tokens that count as targets.
///
/// The tokens are made once and kept in one to three bytes each: in memory up to 16 MB, else in a temporary file. So the
/// memory does not grow with the text.
public struct TokenWindows: Sendable {
  /// One sequence.
  public struct Window: Sendable {
    /// The tokens, in order.
    public var ids: [Int]
    /// By place: the token to predict there, or `LanguageModelTarget.ignored`. The first is never predicted.
    public var targets: [Int]
  }

  /// Files of which windows were made, and what was found in them.
  public struct Source: Sendable {
    /// The file.
    public let file: URL
    /// Which columns were taken; none where it is a text that is learnt as it stands.
    public internal(set) var columns: [ExampleColumns] = []
    /// How many of its examples a chat template wrote.
    public internal(set) var chatCount = 0
    /// How many examples it has; 0 of a text.
    public internal(set) var count = 0
  }

  /// The files, in order.
  public private(set) var sources: [Source] = []
  /// How many tokens were cut off because a prompt and its completion, or a conversation, were too long.
  public private(set) var removedCount = 0
  /// How many of these were cut.
  public private(set) var cutCount = 0
  /// How many gave no window, since no token that is learnt lies within the length.
  public private(set) var leftOutCount = 0
  /// How many prompts end within a token of the whole text, so that the completion's tokens are its own.
  public private(set) var spannedCount = 0

  /// How many tokens are predicted in all.
  public private(set) var predictions = 0
  /// The most tokens of a window.
  public private(set) var longest = 0
  /// The largest id of a token.
  public private(set) var largestID = 0
  /// By window: how many runs are counted, and how many tokens each of them has, of which every other is predicted,
  /// beginning with one that is not; then all tokens. The last run goes on to the end.
  private var lists = NumberLists()
  private let tokenizer: Tokenizer
  private let length: Int
  private let chatLength: Int
  /// How many tokens all windows have.
  public private(set) var tokenCount = 0
  private let template: ChatTemplate?
  private let turns: LearntTurns
  private let endings: [String]

  /// How many windows there are.
  public var count: Int { lists.count }

  private init(
    tokenizer: Tokenizer, length: Int, chatLength: Int? = nil, template: ChatTemplate? = nil,
    turns: LearntTurns = .assistant
  ) {
    (self.tokenizer, self.length, self.chatLength) = (tokenizer, length, chatLength ?? length)
    (self.template, self.turns) = (template, turns)
    endings = tokenizer.specialTexts
  }

  /// A text packed into windows of `length` tokens, one after another; a last window of one token is left out.
  public init(_ text: String, tokenizer: Tokenizer, length: Int) throws {
    self.init(tokenizer: tokenizer, length: length)
    let ids = tokenizer.encode(text).ids
    for start in stride(from: 0, to: ids.count, by: length) {
      try append(ids[start..<min(start + length, ids.count)], promptCount: 0)
    }
  }

  /// Prompts with their completions, of which only the completion is predicted. An ending token follows each, where the
  /// tokenizer has one.
  ///
  /// The prompt's tokens are those that it has alone, as when a model is asked to go on with it. The completion's are
  /// those that the whole text has behind them; where a token of the whole text spans the seam, those of the completion
  /// alone.
  public init(_ pairs: [(prompt: String, completion: String)], tokenizer: Tokenizer, length: Int) throws {
    self.init(tokenizer: tokenizer, length: length)
    for pair in pairs { try append(prompt: pair.prompt, completion: pair.completion) }
  }

  /// Conversations as a chat template writes them, one a window, of which the assistant's turns are predicted.
  ///
  /// - Throws: `ChatTemplateError` where the template refuses one.
  public init(
    _ chats: [LanguageChat], template: ChatTemplate, turns: LearntTurns = .assistant, tokenizer: Tokenizer, length: Int
  ) throws {
    self.init(tokenizer: tokenizer, length: length, template: template, turns: turns)
    for chat in chats { _ = try append(chat) }
  }

  /// A file, or all in a folder: JSON lines, a JSON array or a table whose columns have known names (`ExampleColumns`);
  /// any other is one text.
  ///
  /// A text of more than a megabyte is cut up for the tokenizer where its tokens are the same on both sides.
  ///
  /// - Parameters:
  ///   - url: the file or the folder.
  ///   - tokenizer: the model's.
  ///   - length: the most tokens of a window.
  ///   - chatLength: the most tokens of a conversation's window; by default the same.
  ///   - template: what writes conversations.
  ///   - turns: what of them, and of prompts with completions, is predicted.
  /// - Throws: `DatasetError` where a file can't be read, is not UTF-8, or a row is not as it should be;
  ///   `ChatTemplateError` where there is no template for conversations, or it refuses one.
  public init(
    contentsOf url: URL, tokenizer: Tokenizer, length: Int, chatLength: Int? = nil, template: ChatTemplate? = nil,
    turns: LearntTurns = .assistant
  ) throws {
    self.init(tokenizer: tokenizer, length: length, chatLength: chatLength, template: template, turns: turns)
    var isEmpty = true
    for file in try LanguageExamples.files(at: url) {
      let examples = try LanguageExamples(file)
      sources.append(Source(file: file))
      let last = sources.count - 1
      if examples.format == .plain {
        if try !appendText(of: examples.content) { isEmpty = false }
        continue
      }
      var (count, chats) = (0, 0)
      let columns = try examples.forEachExample { example, line in
        count += 1
        switch example {
        case .text(let text): try append(prompt: "", completion: text)
        case .completion(let prompt, let completion): try append(prompt: prompt, completion: completion)
        case .chat(let chat):
          do { if try append(chat) { chats += 1 } } catch let error as ChatTemplateError {
            guard template != nil else {
              throw DatasetError(
                .wrongFormat, file: file, found: "a conversation in line \(line.grouped)",
                expected: "texts or pairs, since the model has no chat template that would write it",
                advice: error.advice)
            }
            throw DatasetError(
              .wrongFormat, file: file,
              found: "a conversation in line \(line.grouped) that can't be written: \(error.found)",
              expected: "one that \(error.subject) takes", advice: error.advice)
          }
        }
      }
      (sources[last].columns, sources[last].count, sources[last].chatCount) = (columns, count, chats)
      isEmpty = isEmpty && count == 0
    }
    guard !isEmpty else {
      throw DatasetError(
        .truncated, file: url, found: "no text", expected: "a text to read",
        advice: "Check that this is the right file")
    }
  }

  private mutating func append(_ ids: some Collection<Int32>, promptCount: Int) throws {
    try append(ids, runs: [promptCount])
  }

  private mutating func append(_ ids: some Collection<Int32>, runs: [Int]) throws {
    guard ids.count > 1 else { return }
    let list = [Int32(runs.count)] + runs.map(Int32.init) + ids
    try lists.append(list)
    predictions += TokenWindows.predictions(of: list)
    tokenCount += ids.count
    longest = max(longest, ids.count)
    largestID = max(largestID, Int(ids.max()!))
  }

  private mutating func append(prompt text: String, completion: String) throws {
    let prompt = tokenizer.opening(text)
    let together = tokenizer.opening(text + completion)
    let spans = !together.starts(with: prompt)
    let whole =
      prompt
      + (spans
        ? tokenizer.encode(completion, addingSpecialTokens: false).ids : Array(together.dropFirst(prompt.count)))
      + [tokenizer.special.end].compactMap { $0 }
    spannedCount += spans ? 1 : 0
    count(removed: whole.count - length)
    // Where nothing is left to predict there is no window.
    guard prompt.count < min(whole.count, length), whole.count > 1 else {
      leftOutCount += 1
      return
    }
    try append(whole.prefix(length), promptCount: turns == .all ? 0 : prompt.count)
  }

  private mutating func count(removed: Int) {
    guard removed > 0 else { return }
    removedCount += removed
    cutCount += 1
  }

  /// - Returns: whether a template wrote it.
  private mutating func append(_ chat: LanguageChat) throws -> Bool {
    guard let template else {
      guard chat.isPair, let question = chat.messages.first?["content"]?.string,
        let answer = chat.messages.last?["content"]?.string
      else {
        throw ChatTemplateError(
          line: 0, "the model has none, which would write conversations", expected: "one",
          advice: Advice("Name one", .nameChatTemplate))
      }
      try append(prompt: question + "\n", completion: answer)
      return false
    }
    let (text, parts) = try template.learntParts(of: chat, turns, endings: endings)
    let (ids, isLearnt) = tokenizer.ids(of: text, parts: parts)
    count(removed: ids.count - chatLength)
    guard isLearnt.prefix(chatLength).dropFirst().contains(true) else {
      leftOutCount += 1
      return true
    }
    var runs: [Int] = []
    var (isRunLearnt, start) = (false, 0)
    for (index, isLearnt) in isLearnt.prefix(chatLength).enumerated() where isLearnt != isRunLearnt {
      runs.append(index - start)
      (isRunLearnt, start) = (isLearnt, index)
    }
    try append(ids.prefix(chatLength), runs: runs)
    return true
  }

  /// - Returns: whether there is nothing but white space.
  private mutating func appendText(of content: TextContent) throws -> Bool {
    let special = tokenizer.postProcessor.apply([], nil).ids
    var ids = Array(special.prefix(tokenizer.specialsBefore))
    var isEmpty = true
    var (place, line) = (try content.start(), 1)
    while place < content.count {
      let end = min(place + TextSeam.pieceBytes, content.count)
      let bytes = try content.read(place..<end)
      let seam = end == content.count ? TextSeam(before: bytes.count) : TextSeam(in: bytes, tokenizer: tokenizer)
      guard let text = String(validating: bytes[..<seam.end], as: UTF8.self) else {
        let lines = bytes[..<seam.end].split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        let invalid = lines.firstIndex { String(validating: $0, as: UTF8.self) == nil } ?? 0
        throw TextContent.notUTF8(content.file, line: line + invalid)
      }
      isEmpty = isEmpty && text.allSatisfy(\.isWhitespace)
      ids += tokenizer.encode([text], addingSpecialTokens: false)[0].ids
      var start = 0
      while ids.count - start >= length {
        try append(ids[start..<start + length], promptCount: 0)
        start += length
      }
      ids.removeFirst(start)
      line += bytes[..<seam.next].count { $0 == UInt8(ascii: "\n") }
      place += seam.next
    }
    ids += special.dropFirst(tokenizer.specialsBefore)
    for start in stride(from: 0, to: ids.count, by: length) {
      try append(ids[start..<min(start + length, ids.count)], promptCount: 0)
    }
    return isEmpty
  }

  // MARK: Reading

  /// The window at a place.
  ///
  /// - Throws: `CheckpointError` where the temporary file can't be read.
  public func window(at index: Int) throws -> Window { TokenWindows.window(try lists.list(at: index)) }

  /// "512 tokens", or "512 tokens (256 where it is no conversation)": what is cut to.
  public var lengthName: String {
    let hasChats = sources.contains { $0.chatCount > 0 } || sources.isEmpty && template != nil
    return "\((hasChats ? chatLength : length).grouped) tokens"
  }

  /// A window's text, with what is predicted of it in brackets: "… ⟦Hello⟧".
  ///
  /// - `most`: about how many bytes; what is longer is cut.
  public func shown(_ index: Int, most: Int = 1000) throws -> String {
    let list = try lists.list(at: index)
    let text = TokenWindows.runs(of: list).reduce(into: "") { text, run in
      guard !run.range.isEmpty else { return }
      let part = tokenizer.decode(list[run.range], skippingSpecialTokens: false)
      text += run.isLearnt ? "⟦\(part)⟧" : part
    }
    guard text.utf8.count > most else { return text }
    return String(text.prefix(most)) + "…"
  }

  /// All windows in memory.
  public func windows() throws -> [Window] { try (0..<count).map(window) }

  /// How many tokens of one window are predicted.
  public func predictions(of index: Int) throws -> Int {
    TokenWindows.predictions(of: try lists.list(at: index))
  }

  /// Calls `body` with all windows in order.
  public func forEachWindow(_ body: (Window) throws -> Void) throws {
    try lists.forEach(in: 0..<count) { try body(TokenWindows.window($1)) }
  }

  /// The parts of a list: whether they are predicted, and where their tokens stand in it.
  private static func runs(of list: [Int32]) -> [(isLearnt: Bool, range: Range<Int>)] {
    var start = 1 + Int(list[0])
    var runs: [(isLearnt: Bool, range: Range<Int>)] = []
    for index in 0...Int(list[0]) {
      let end = index < Int(list[0]) ? start + Int(list[1 + index]) : list.count
      runs.append((index % 2 == 1, start..<end))
      start = end
    }
    return runs
  }

  private static func predictions(of list: [Int32]) -> Int {
    let runs = runs(of: list)
    let isFirstLearnt = runs.first { !$0.range.isEmpty }?.isLearnt ?? false
    return runs.reduce(0) { $0 + ($1.isLearnt ? $1.range.count : 0) } - (isFirstLearnt ? 1 : 0)
  }

  private static func window(_ list: [Int32]) -> Window {
    let runs = runs(of: list)
    return Window(
      ids: list.dropFirst(1 + Int(list[0])).map(Int.init),
      targets: runs.flatMap { run in
        run.isLearnt
          ? list[run.range].map(Int.init) : Array(repeating: LanguageModelTarget.ignored, count: run.range.count)
      })
  }

  /// The rows and targets of a mini-batch.
  public func batch(_ indices: [Int]) throws -> (tokens: TokenRows, targets: [Int]) {
    let windows = try indices.map(window)
    return (TokenRows(ids: windows.map(\.ids)), windows.flatMap(\.targets))
  }

  /// The mean loss over all predicted tokens, and the share of them that the model found likeliest.
  public func score(
    by model: some LanguageModel, progress: (_ done: Int) -> Void = { _ in }
  ) throws -> (loss: Double, accuracy: Double) {
    var (loss, right, count) = (0.0, 0, 0)
    let weight = model.outputWeight
    try forEachWindow { window in
      let hidden = model.hiddenStates(TokenRows(ids: [window.ids]), cache: nil)
      let rows = (0..<(window.ids.count - 1)).filter { window.targets[$0 + 1] != LanguageModelTarget.ignored }
      for start in stride(from: 0, to: rows.count, by: 64) {
        let block = Array(rows[start..<min(start + 64, rows.count)])
        let targets = block.map { window.targets[$0 + 1] }
        let logits = hidden.rows(at: block).linear(weight)
        loss += Double(logits.crossEntropy(targets).item) * Double(block.count)
        right += zip(logits.argmaxRows(), targets).count { $0 == $1 }
      }
      count += rows.count
      progress(rows.count)
    }
    return count == 0 ? (0, 0) : (loss / Double(count), Double(right) / Double(count))
  }
}

extension Tokenizer {
  /// The ids of a text that is to go on: with the special tokens that the template puts before it, without those behind.
  func opening(_ text: String) -> [Int32] {
    postProcessor.apply([], nil).ids.prefix(specialsBefore) + encode(text, addingSpecialTokens: false).ids
  }
}
