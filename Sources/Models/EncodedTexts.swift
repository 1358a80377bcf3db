// Texts as a model reads them: each as one sequence of tokens or, where it is too long for that, cut or in windows.

import LoRAFiles

/// What is done with a text that has more tokens than are read at once.
public enum LongTexts: String, Sendable, CaseIterable {
  /// Its end is cut off.
  case cut
  /// It is read in windows, each with the special tokens, of which each shares a quarter of its own tokens with the one
  /// before, so that any passage of that length lies whole in one of them.
  case windows
}

/// Texts as sequences of tokens that a model can read, and which of the sequences belong to which text.
///
/// ```swift
/// let texts = try EncodedTexts(["a moving film", review], tokenizer: tokenizer, length: 128, longTexts: .windows)
/// texts.windows[1]         // 1..<4: the review is read in three sequences
/// ```
public struct EncodedTexts: Sendable {
  /// The sequences of the first text, then those of the second, …
  public let sequences: [Encoding]
  /// By text: the places of its sequences; more than one only where a long text is read in windows.
  public let windows: [Range<Int>]
  /// Texts in which nothing but special tokens is left to read: empty, or of white space or characters that the
  /// tokenizer drops.
  public let blankTexts: [Int]
  /// How many texts were longer than is read at once.
  public let longCount: Int
  /// How many sequences these were read in; 0 where they were cut.
  public let longWindowCount: Int
  private let specialCount: Int
  private let specialsBefore: Int
  /// From the beginning of a window to that of the next.
  private let step: Int

  /// How many texts there are.
  public var count: Int { windows.count }

  /// - Parameters:
  ///   - texts: what is read.
  ///   - tokenizer: what makes tokens of texts.
  ///   - length: the most tokens of a sequence, the special ones included.
  ///   - longTexts: what is done with longer texts.
  /// - Throws: `NoTokensError` where a text has no token at all, `TokenizerError` where the special tokens leave no room.
  public init(_ texts: [String], tokenizer: Tokenizer, length: Int, longTexts: LongTexts = .cut) throws {
    specialCount = tokenizer.specialCount
    specialsBefore = tokenizer.specialsBefore
    let room = length - specialCount
    guard room > 0 else {
      throw TokenizerError(
        place: "post_processor", "adds \(specialCount) special tokens to a text, which leaves no room in \(length)")
    }
    let overlap = room / 4
    step = room - overlap
    let encodings: [[Encoding]]
    switch longTexts {
    case .cut:
      encodings = tokenizer.encode(texts, maximumLength: length).map { [$0] }
      longCount = encodings.count { $0[0].removedCount > 0 }
      longWindowCount = 0
    case .windows:
      encodings = tokenizer.encode(texts, inWindowsOf: length, overlap: overlap)
      longCount = encodings.count { $0.count > 1 }
      longWindowCount = encodings.reduce(0) { $0 + ($1.count > 1 ? $1.count : 0) }
    }
    let empty = encodings.indices.filter { encodings[$0][0].ids.isEmpty }
    guard empty.isEmpty else { throw NoTokensError(texts: empty) }
    let special = specialCount
    blankTexts = encodings.indices.filter { encodings[$0][0].ids.count == special }
    sequences = encodings.flatMap { $0 }
    var start = 0
    windows = encodings.map { windows in
      defer { start += windows.count }
      return start..<(start + windows.count)
    }
  }

  /// Insists that a model's answer for a sequence is one: an index of NaN would be an answer like another.
  ///
  /// - Throws: `CheckpointError` that names the text.
  func requireNumbers(_ answer: some Sequence<Float>, ofSequence index: Int) throws {
    guard !answer.allSatisfy(\.isFinite) else { return }
    let text = windows.firstIndex { $0.contains(index) } ?? 0
    throw CheckpointError(
      .number, file: "",
      "the model's answer for text \(text + 1) is no number (NaN or infinity): its weights, or the adapter's, are broken"
    )
  }

  /// Insists that a model knows all tokens and segments.
  ///
  /// - Throws: `TokenizerError` that names the first that it does not.
  func requireKnown(vocabulary: Int, segments: Int) throws {
    for sequence in sequences {
      if let id = sequence.ids.first(where: { $0 >= vocabulary }) {
        throw TokenizerError("makes the token \(id) of a text, and the model has only \(vocabulary) tokens")
      }
      if let segment = sequence.segments.first(where: { $0 >= segments }) {
        throw TokenizerError("makes the segment \(segment) (type_id) of a text, and the model has only \(segments)")
      }
    }
  }

  /// The tokens of a text in all its sequences.
  public func tokenCount(of text: Int) -> Int { windows[text].reduce(0) { $0 + sequences[$1].ids.count } }

  /// The sequences of some texts, one text after another.
  public func rows(of texts: [Int]) -> TokenRows { TokenRows(texts.flatMap { windows[$0].map { sequences[$0] } }) }

  /// By sequence of a text, how much each of its tokens counts in a mean over the text, in which every token counts
  /// once: one that n windows hold counts 1/n in each, and so do the special tokens, which all windows have.
  func tokenWeights(of text: Int) -> [[Float]] {
    let windows = windows[text].map { sequences[$0].ids.count - specialCount }
    var coverage = [Float](repeating: 0, count: step * (windows.count - 1) + windows.last!)
    for (index, own) in windows.enumerated() {
      for place in 0..<own { coverage[step * index + place] += 1 }
    }
    return windows.enumerated().map { index, own in
      var weights = [Float](repeating: 1 / Float(windows.count), count: own + specialCount)
      for place in 0..<own { weights[specialsBefore + place] = 1 / coverage[step * index + place] }
      return weights
    }
  }

  /// Places of the sequences in batches of at most about `rows` tokens, longest first, so that those of similar length
  /// share a batch.
  func batches(rows: Int) -> [[Int]] {
    var batches: [[Int]] = []
    var filled = 0
    for index in sequences.indices.sorted(by: { sequences[$0].ids.count > sequences[$1].ids.count }) {
      let length = sequences[index].ids.count
      if filled + length > rows || batches.isEmpty {
        batches.append([])
        filled = 0
      }
      batches[batches.count - 1].append(index)
      filled += length
    }
    return batches
  }

  /// Calls `body` with batches of sequences, and `progress` with how many texts each has brought to their end.
  func forEachBatch(rows: Int, progress: (_ done: Int) -> Void, _ body: ([Int]) -> Void) {
    var texts = [Int](repeating: 0, count: sequences.count)
    for (text, range) in windows.enumerated() { for index in range { texts[index] = text } }
    var missing = windows.map(\.count)
    for batch in batches(rows: rows) {
      body(batch)
      var done = 0
      for index in batch {
        missing[texts[index]] -= 1
        if missing[texts[index]] == 0 { done += 1 }
      }
      progress(done)
    }
  }
}

/// Texts that a tokenizer leaves nothing of, so that a model has nothing to read.
public struct NoTokensError: Error, CustomStringConvertible {
  /// Their places, counted from 0.
  public let texts: [Int]

  public var description: String {
    let shown = texts.prefix(5).map { "\($0 + 1)" }.joined(separator: ", ")
    return "text \(shown)\(texts.count > 5 ? " and \(texts.count - 5) more" : ""): the tokenizer finds no token in it"
  }
}
