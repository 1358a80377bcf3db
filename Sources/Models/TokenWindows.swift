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

  /// How many tokens were cut off because a prompt and its completion were too long.
  public private(set) var removedCount = 0
  /// How many prompts and completions gave no window, since no token of the completion lies within the length.
  public private(set) var leftOutCount = 0
  /// How many prompts end within a token of the whole text, so that the completion's tokens are its own.
  public private(set) var spannedCount = 0

  /// How many tokens are predicted in all.
  public private(set) var predictions = 0
  /// The most tokens of a window.
  public private(set) var longest = 0
  /// The largest id of a token.
  public private(set) var largestID = 0
  /// By window: how many tokens of its beginning are not predicted, and its tokens.
  private var lists = NumberLists()
  private let tokenizer: Tokenizer
  private let length: Int

  /// How many windows there are.
  public var count: Int { lists.count }

  private init(tokenizer: Tokenizer, length: Int) { (self.tokenizer, self.length) = (tokenizer, length) }

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

  /// A file: jsonl with "prompt" and "completion", or "text", in each line; any other is one text. What has no extension (a
  /// stream) is jsonl where it begins with an object.
  ///
  /// A text of more than a megabyte is cut up for the tokenizer where its tokens are the same on both sides.
  ///
  /// - Throws: `DatasetError` where the file can't be read, is not UTF-8, or a line is not as it should be.
  public init(contentsOf file: URL, tokenizer: Tokenizer, length: Int) throws {
    self.init(tokenizer: tokenizer, length: length)
    let content = try TextContent(file)
    let name = file.pathExtension.lowercased() == "gz" ? file.deletingPathExtension() : file
    let start = try content.start()
    let beginsAsObject = try content.read(start..<min(content.count, start + 1)) == [UInt8(ascii: "{")]
    let isEmpty =
      ["jsonl", "ndjson"].contains(name.pathExtension.lowercased()) || name.pathExtension.isEmpty && beginsAsObject
      ? try appendLines(of: content) : try appendText(of: content)
    guard !isEmpty else {
      throw DatasetError(
        .truncated, file: file, found: "no text", expected: "a text to read",
        advice: "Check that this is the right file")
    }
  }

  private mutating func append(_ ids: some Collection<Int32>, promptCount: Int) throws {
    guard ids.count > 1 else { return }
    try lists.append([Int32(promptCount)] + ids)
    predictions += ids.count - max(1, promptCount)
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
    removedCount += max(0, whole.count - length)
    // Where nothing is left to predict there is no window.
    guard prompt.count < min(whole.count, length), whole.count > 1 else {
      leftOutCount += 1
      return
    }
    try append(whole.prefix(length), promptCount: prompt.count)
  }

  /// - Returns: whether there are no lines.
  private mutating func appendLines(of content: TextContent) throws -> Bool {
    try TextRows(linesOf: content) { row in
      func wrong(_ found: String) -> DatasetError {
        DatasetError(
          .wrongFormat, file: content.file, found: "\(found) in line \(row.line.grouped)",
          expected: "a JSON object with “prompt” and “completion”, or with “text”, as strings",
          advice: "Correct that line")
      }
      let json: JSON
      do { json = try JSON(parsing: row.bytes, holdsTexts: true) } catch {
        guard String(validating: row.bytes, as: UTF8.self) != nil else {
          throw TextContent.notUTF8(content.file, line: row.line)
        }
        throw wrong("no valid JSON (\(error))")
      }
      if let prompt = json["prompt"]?.string, let completion = json["completion"]?.string {
        try append(prompt: prompt, completion: completion)
      } else if let text = json["text"]?.string {
        try append(prompt: "", completion: text)
      } else {
        throw wrong("other keys or values")
      }
    }.count == 0
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

  /// All windows in memory.
  public func windows() throws -> [Window] { try (0..<count).map(window) }

  /// How many tokens of one window are predicted.
  public func predictions(of index: Int) throws -> Int {
    let list = try lists.list(at: index)
    return list.count - 1 - max(1, Int(list[0]))
  }

  /// Calls `body` with all windows in order.
  public func forEachWindow(_ body: (Window) throws -> Void) throws {
    try lists.forEach(in: 0..<count) { try body(TokenWindows.window($1)) }
  }

  private static func window(_ list: [Int32]) -> Window {
    let ids = list.dropFirst().map(Int.init)
    let promptCount = Int(list[0])
    return Window(
      ids: ids,
      targets: Array(repeating: LanguageModelTarget.ignored, count: promptCount) + ids.dropFirst(promptCount))
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
