import Foundation
import LoRAFiles
import LoRAFormats
import LoRANetworks
import LoRATensors

/// Token sequences for training or measuring a decoder, each with the tokens that count as targets.
public struct TokenWindows: Sendable {
  /// One sequence.
  public struct Window: Sendable {
    /// The tokens, in order.
    public var ids: [Int]
    /// By place: the token to predict there, or `LanguageModelTarget.ignored`. The first is never predicted.
    public var targets: [Int]
  }

  /// In the order of the texts.
  public private(set) var windows: [Window] = []
  /// How many tokens were cut off because a prompt and its completion were too long.
  public private(set) var removedCount = 0
  /// How many prompts and completions gave no window, since no token of the completion lies within the length.
  public private(set) var leftOutCount = 0
  /// How many prompts end within a token of the whole text, so that the completion's tokens are its own.
  public private(set) var spannedCount = 0

  /// How many sequences there are.
  public var count: Int { windows.count }
  /// How many tokens are predicted in all.
  public var predictions: Int { windows.indices.reduce(0) { $0 + predictions(of: $1) } }

  /// How many tokens of one window are predicted.
  public func predictions(of index: Int) -> Int {
    windows[index].targets.dropFirst().count { $0 != LanguageModelTarget.ignored }
  }

  /// A text packed into windows of `length` tokens, one after another; a last window of one token is left out.
  public init(_ text: String, tokenizer: Tokenizer, length: Int) {
    let ids = tokenizer.encode(text).ids.map(Int.init)
    for start in stride(from: 0, to: ids.count, by: length) {
      let part = Array(ids[start..<min(start + length, ids.count)])
      if part.count > 1 { windows.append(Window(ids: part, targets: part)) }
    }
  }

  /// Prompts with their completions, of which only the completion is predicted. An ending token follows each, where the
  /// tokenizer has one.
  ///
  /// The prompt's tokens are those that it has alone, as when a model is asked to go on with it. The completion's are
  /// those that the whole text has behind them; where a token of the whole text spans the seam, those of the completion
  /// alone.
  public init(_ pairs: [(prompt: String, completion: String)], tokenizer: Tokenizer, length: Int) {
    for pair in pairs {
      let prompt = tokenizer.opening(pair.prompt)
      let together = tokenizer.opening(pair.prompt + pair.completion)
      let spans = !together.starts(with: prompt)
      let completion =
        (spans
          ? tokenizer.encode(pair.completion, addingSpecialTokens: false).ids.map(Int.init)
          : Array(together.dropFirst(prompt.count)))
        + [tokenizer.special.end].compactMap { $0.map(Int.init) }
      let whole = prompt + completion
      let targets = Array(repeating: LanguageModelTarget.ignored, count: prompt.count) + completion
      spannedCount += spans ? 1 : 0
      removedCount += max(0, whole.count - length)
      // Where nothing is left to predict there is no window.
      guard prompt.count < min(whole.count, length), whole.count > 1 else {
        leftOutCount += 1
        continue
      }
      windows.append(Window(ids: Array(whole.prefix(length)), targets: Array(targets.prefix(length))))
    }
  }

  /// A file: jsonl with "prompt" and "completion", or "text", in each line; any other is one text.
  ///
  /// - Throws: `TextFileError` where the file can't be read, is not UTF-8, or a line is not as it should be.
  public init(contentsOf file: URL, tokenizer: Tokenizer, length: Int) throws {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: file.path, isDirectory: &isFolder) else {
      throw TextFileError(description: "\(file.path): does not exist")
    }
    guard !isFolder.boolValue, let data = FileManager.default.contents(atPath: file.path) else {
      throw TextFileError(
        description:
          "\(file.path): \(isFolder.boolValue ? "is a folder; name a text or a jsonl file" : "can't be read")")
    }
    guard let text = String(validating: data, as: UTF8.self) else {
      throw TextFileError(description: "\(file.path): is not UTF-8; convert it, for example with iconv")
    }
    guard text.contains(where: { !$0.isWhitespace }) else {
      throw TextFileError(description: "\(file.path): holds no text")
    }
    guard ["jsonl", "ndjson"].contains(file.pathExtension.lowercased()) else {
      self.init(text, tokenizer: tokenizer, length: length)
      return
    }
    var pairs: [(prompt: String, completion: String)] = []
    // JSON may hold U+2028 and its like within a line.
    for (index, line) in text.split(omittingEmptySubsequences: false, whereSeparator: { "\n\r\n".contains($0) })
      .enumerated()
    where line.contains(where: { !$0.isWhitespace }) {
      func wrong(_ what: String) -> TextFileError {
        TextFileError(description: "\(file.path): line \(index + 1) \(what)")
      }
      let json: JSON
      do { json = try JSON(parsing: String(line)) } catch { throw wrong("is no valid JSON: \(error)") }
      if let prompt = json["prompt"]?.string, let completion = json["completion"]?.string {
        pairs.append((prompt, completion))
      } else if let text = json["text"]?.string {
        pairs.append(("", text))
      } else {
        throw wrong("holds no “prompt” with its “completion”, and no “text”, as strings")
      }
    }
    self.init(pairs, tokenizer: tokenizer, length: length)
  }

  /// The rows and targets of a mini-batch.
  public func batch(_ indices: [Int]) -> (tokens: TokenRows, targets: [Int]) {
    (TokenRows(ids: indices.map { windows[$0].ids }), indices.flatMap { windows[$0].targets })
  }

  /// The mean loss over all predicted tokens, and the share of them that the model found likeliest.
  public func score(
    by model: some LanguageModel, progress: (_ done: Int) -> Void = { _ in }
  ) -> (loss: Double, accuracy: Double) {
    var (loss, right, count) = (0.0, 0, 0)
    let weight = model.outputWeight
    for window in windows {
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
  func opening(_ text: String) -> [Int] {
    let before = postProcessor.single.prefix { if case .token = $0 { true } else { false } }
    return before.compactMap { if case .token(let id, _) = $0 { Int(id) } else { nil } }
      + encode(text, addingSpecialTokens: false).ids.map(Int.init)
  }
}

/// Why a text can't be read.
public struct TextFileError: Error, CustomStringConvertible {
  public let description: String
}
