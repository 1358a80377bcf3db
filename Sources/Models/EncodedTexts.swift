// Texts as a model reads them: each as one sequence of tokens or, where it is too long for that, cut or in windows.

import LoRAFiles
import LoRATensors

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
/// The tokens are made once and kept in one to three bytes each: in memory up to 16 MB, else in a temporary file. So the
/// memory does not grow with the texts, which may come part by part.
///
/// ```swift
/// var texts = try EncodedTexts(tokenizer: tokenizer, length: 128, longTexts: .windows)
/// try labelled.forEachPart { try texts.append($0) }
/// try texts.sequences(of: 1).count        // 3: the second text is read in three windows
/// ```
public struct EncodedTexts: Sendable {
  /// What makes the tokens.
  public let tokenizer: Tokenizer
  /// The most tokens of a sequence, the special ones included.
  public let length: Int
  /// What is done with texts of more tokens.
  public let longTexts: LongTexts
  /// How many texts there are.
  public private(set) var count = 0
  /// The first hundred of the texts in which nothing but special tokens is left to read: empty, or of white space or
  /// characters that the tokenizer drops.
  public private(set) var blankTexts: [Int] = []
  /// How many such texts there are.
  public private(set) var blankCount = 0
  /// How many texts were longer than is read at once.
  public private(set) var longCount = 0
  /// How many sequences these were read in; 0 where they were cut.
  public private(set) var longWindowCount = 0
  /// By text: the number of sequences; of each the number of its tokens, their ids, and their segments in runs.
  private var lists = NumberLists()
  private var largestID: Int32 = 0
  private var largestSegment: Int32 = 0
  /// How many texts have how many tokens.
  private var tokenCounts: [Int: Int] = [:]
  private let step: Int

  /// No texts yet.
  ///
  /// - Throws: `TokenizerError` where the special tokens leave no room.
  public init(tokenizer: Tokenizer, length: Int, longTexts: LongTexts = .cut) throws {
    (self.tokenizer, self.length, self.longTexts) = (tokenizer, length, longTexts)
    let room = length - tokenizer.specialCount
    guard room > 0 else {
      throw TokenizerError(
        file: tokenizer.file, place: "post_processor",
        "adds \(tokenizer.specialCount) special tokens to a text, which leaves no room",
        expected: "fewer than \(length)",
        advice: "Read more tokens at once, or take another tokenizer")
    }
    step = room - room / 4
  }

  /// - Throws: `NoTokensError` where a text has no token at all, `TokenizerError` where the special tokens leave no room.
  public init(_ texts: [String], tokenizer: Tokenizer, length: Int, longTexts: LongTexts = .cut) throws {
    try self.init(tokenizer: tokenizer, length: length, longTexts: longTexts)
    try append(texts)
  }

  /// Pairs of texts, each read as one (two sentences that are compared, a question and what may answer it). What is too
  /// long is cut, also where single texts are read in windows.
  ///
  /// - Throws: `NoTokensError` where a pair has no token at all, `CheckpointError` where the temporary file can't grow.
  public mutating func append(pairs: [(first: String, second: String)]) throws {
    try append(pairs.map { [tokenizer.encode($0.first, and: $0.second, maximumLength: length)] })
  }

  /// - Throws: `NoTokensError` where a text has no token at all, `CheckpointError` where the temporary file can't grow.
  public mutating func append(_ texts: [String]) throws {
    let special = tokenizer.specialCount
    let encodings =
      switch longTexts {
      case .cut: tokenizer.encode(texts, maximumLength: length).map { [$0] }
      case .windows:
        tokenizer.encode(texts, inWindowsOf: length, overlap: (length - special) / 4)
      }
    try append(encodings)
  }

  private mutating func append(_ encodings: [[Encoding]]) throws {
    let special = tokenizer.specialCount
    let empty = encodings.indices.filter { encodings[$0][0].ids.isEmpty }
    guard empty.isEmpty else { throw NoTokensError(texts: empty.map { count + $0 }) }
    for windows in encodings {
      if windows[0].ids.count == special {
        if blankCount < 100 { blankTexts.append(count) }
        blankCount += 1
      }
      if windows.count > 1 || windows[0].removedCount > 0 { longCount += 1 }
      if windows.count > 1 { longWindowCount += windows.count }
      for sequence in windows {
        largestID = max(largestID, sequence.ids.max() ?? 0)
        largestSegment = max(largestSegment, sequence.segments.max() ?? 0)
      }
      tokenCounts[windows.reduce(0) { $0 + $1.ids.count }, default: 0] += 1
      try lists.append(EncodedTexts.numbers(of: windows))
      count += 1
    }
  }

  /// The sequences of one text: more than one only where a long text is read in windows.
  public func sequences(of text: Int) throws -> [Encoding] { EncodedTexts.sequences(from: try lists.list(at: text)) }

  /// The sequences of some texts, one text after another.
  public func rows(of texts: [Int]) throws -> TokenRows { TokenRows(try texts.flatMap(sequences)) }

  /// The most tokens that so many of the texts can have together.
  public func mostTokens(of texts: Int) -> Int {
    var (left, sum) = (texts, 0)
    for (length, count) in tokenCounts.sorted(by: { $0.key > $1.key }) {
      sum += length * min(left, count)
      left -= min(left, count)
    }
    return sum
  }

  /// Calls `body` with all sequences in order, the first text's first.
  public func forEachSequence(_ body: (Encoding) throws -> Void) throws {
    try lists.forEach(in: 0..<count) { _, numbers in
      for sequence in EncodedTexts.sequences(from: numbers) { try body(sequence) }
    }
  }

  /// Insists that a model knows all tokens and segments.
  ///
  /// - Throws: `TokenizerError` that names the largest, where it is not known.
  func requireKnown(vocabulary: Int, segments: Int) throws {
    if largestID >= vocabulary {
      throw TokenizerError(
        file: tokenizer.file, "makes the token \(largestID) of a text",
        expected: "one of the model's \(vocabulary), counted from 0")
    }
    if largestSegment >= segments {
      throw TokenizerError(
        file: tokenizer.file,
        "makes the segment \(largestSegment) (type_id) of a text",
        expected: "one of the model's \(segments), counted from 0")
    }
  }

  // MARK: As numbers

  private static func numbers(of windows: [Encoding]) -> [Int32] {
    var numbers = [Int32(windows.count)]
    for sequence in windows {
      numbers.append(Int32(sequence.ids.count))
      numbers += sequence.ids
      var start = 0
      while start < sequence.segments.count {
        let segment = sequence.segments[start]
        let end = sequence.segments[start...].firstIndex { $0 != segment } ?? sequence.segments.count
        numbers += [segment, Int32(end - start)]
        start = end
      }
    }
    return numbers
  }

  private static func sequences(from numbers: [Int32]) -> [Encoding] {
    var place = 1
    return (0..<numbers[0]).map { _ in
      let count = Int(numbers[place])
      let ids = Array(numbers[place + 1..<place + 1 + count])
      place += 1 + count
      var segments: [Int32] = []
      segments.reserveCapacity(count)
      while segments.count < count {
        segments += repeatElement(numbers[place], count: Int(numbers[place + 1]))
        place += 2
      }
      return Encoding(ids: ids, segments: segments)
    }
  }

  // MARK: Parts

  /// Some texts that follow each other, in memory.
  struct Part {
    /// The first text's place among all.
    let start: Int
    var sequences: [Encoding] = []
    /// By text, the places of its sequences.
    var windows: [Range<Int>] = []
    let specialCount: Int
    let specialsBefore: Int
    let step: Int
  }

  /// About as many tokens as a part has, and sequences: what is found of each is held until the part is done.
  private static let (partTokens, partSequences) = (1 << 20, 1 << 14)

  /// Calls `body` with all texts in order, as many at a time as have about a million tokens, or 16,384 sequences.
  func forEachPart(_ body: (Part) throws -> Void) throws {
    func part(at start: Int) -> Part {
      Part(
        start: start, specialCount: tokenizer.specialCount, specialsBefore: tokenizer.specialsBefore, step: step)
    }
    var next = part(at: 0)
    var tokens = 0
    try lists.forEach(in: 0..<count) { index, numbers in
      let sequences = EncodedTexts.sequences(from: numbers)
      next.windows.append(next.sequences.count..<next.sequences.count + sequences.count)
      next.sequences += sequences
      tokens += sequences.reduce(0) { $0 + $1.ids.count }
      if tokens >= EncodedTexts.partTokens || next.sequences.count >= EncodedTexts.partSequences {
        try body(next)
        next = part(at: index + 1)
        tokens = 0
      }
    }
    if !next.windows.isEmpty { try body(next) }
  }

  /// Works on all texts in batches of sequences, and gives out what was found, text by text in their order.
  ///
  /// - Parameters:
  ///   - rows: about how many tokens are worked on at once.
  ///   - progress: is told how many texts each batch has brought to their end.
  ///   - compute: for each sequence of a batch, given by their places in the part, some numbers.
  ///   - body: is given a text and the numbers of its sequences.
  /// - Throws: `CheckpointError` that names the text, where a number is none: an index of NaN would be an answer like
  ///   another.
  func forEachText(
    rows: Int, progress: (_ done: Int) -> Void, compute: (Part, [Int]) -> [[Float]],
    _ body: (_ text: Int, [[Float]]) throws -> Void
  ) throws {
    try forEachPart { part in
      var found = [[Float]](repeating: [], count: part.sequences.count)
      part.forEachBatch(rows: rows, progress: progress) { batch in
        for (index, numbers) in zip(batch, compute(part, batch)) { found[index] = numbers }
      }
      for (place, range) in part.windows.enumerated() {
        guard found[range].allSatisfy({ $0.allSatisfy(\.isFinite) }) else {
          throw CheckpointError(
            .number, file: "",
            "the model's answer for text \(part.start + place + 1) is NaN or infinity: its weights, or the adapter's, are broken",
            expected: "finite numbers", advice: "Fetch them again, or train anew")
        }
        try body(part.start + place, Array(found[range]))
      }
    }
  }
}

extension EncodedTexts.Part {
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
public struct NoTokensError: DescribedError {
  /// Their places, counted from 0.
  public let texts: [Int]

  public var subject: String { "" }
  public var advice: Advice { "Remove what has nothing to read" }
  public var problem: String {
    let shown = texts.prefix(5).map { "\($0 + 1)" }.joined(separator: ", ")
    return "text \(shown)\(texts.count > 5 ? " and \(texts.count - 5) more" : ""): the tokenizer finds no token in it"
  }
}
