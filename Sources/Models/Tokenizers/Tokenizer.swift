import Foundation
import LoRATensors

/// Text to token ids and back, as a Hugging Face `tokenizer.json` describes it.
///
///     let tokenizer = try Tokenizer(contentsOf: folder)
///     let encoding = tokenizer.encode("Hello, World!")
///     tokenizer.decode(encoding.ids)
///
/// The stages are those of the file: added tokens are cut out; a `Normalizer` rewrites the text, a `PreTokenizer` cuts
/// it into words, a `TokenModel` (WordPiece or byte-pair encoding) turns each word into ids, a `PostProcessor` adds
/// special tokens; a `TokenDecoder` leads back. Truncation and padding are for the caller to choose: those that some
/// files ask for (all-MiniLM-L6-v2: 128 tokens) are not applied.
public struct Tokenizer: Sendable {
  let vocabulary: TokenTable
  let addedContent: [Int32: [UInt8]]
  let specialIDs: Set<Int32>
  let addedIDs: [[UInt8]: Int32]
  let rawAddedTokens: AddedTokens
  let normalizedAddedTokens: AddedTokens
  let normalizer: Normalizer?
  let preTokenizer: PreTokenizer?
  let model: any TokenModel
  var postProcessor: PostProcessor
  let decoder: TokenDecoder

  /// The file that it was read from, for messages.
  public internal(set) var file = "tokenizer.json"
  /// The tokens with a role of their own.
  public var special: SpecialTokens

  /// One more than the largest id.
  public let idBound: Int

  // MARK: Encoding

  /// The ids of `text`, or of a pair of texts.
  ///
  /// - Parameters:
  ///   - text: what is read.
  ///   - second: the other text of a pair.
  ///   - addingSpecialTokens: whether the template's special tokens (`[CLS]`, `<s>`, …) are put around it.
  ///   - maximumLength: the most ids, the special ones included. What is too long loses its end; of a pair, the longer
  ///     text does.
  public func encode(
    _ text: String, and second: String? = nil, addingSpecialTokens: Bool = true, maximumLength: Int? = nil
  ) -> Encoding {
    var cache: WordCache?
    return encoding(text, second, addingSpecialTokens, maximumLength, &cache)
  }

  /// The ids of each of `texts`. Quicker than one by one: the work is shared out among the processors, and the words
  /// met are remembered.
  public func encode(
    _ texts: [String], addingSpecialTokens: Bool = true, maximumLength: Int? = nil
  ) -> [Encoding] {
    each(of: texts) { encoding($0, nil, addingSpecialTokens, maximumLength, &$1) }
  }

  /// The ids of each of `texts` in windows that overlap: one window for a text that fits, more for one that is too long.
  /// They are those of Python `tokenizers` under `enable_truncation(length, stride: overlap)`, with the overflowing ones.
  ///
  /// - Parameters:
  ///   - texts: what is read.
  ///   - length: the most ids of a window, the special ones included, which every window has.
  ///   - overlap: how many of the text's own ids a window shares with the one before.
  /// - Precondition: `length` leaves room for more than `overlap` ids beside the special ones.
  public func encode(_ texts: [String], inWindowsOf length: Int, overlap: Int) -> [[Encoding]] {
    let room = length - specialCount
    expect(
      overlap >= 0 && room > overlap,
      "encode: windows of \(length) ids, \(specialCount) of them special, can't overlap by \(overlap)")
    return each(of: texts) { text, cache in
      let ids = self.ids(of: text, &cache)
      var windows: [Encoding] = []
      var start = 0
      while true {
        let end = min(start + room, ids.count)
        let (window, segments) = postProcessor.apply(Array(ids[start..<end]), nil)
        windows.append(Encoding(ids: window, segments: segments))
        if end == ids.count { return windows }
        start += room - overlap
      }
    }
  }

  /// How many special tokens stand before a text's own, and how many there are in all.
  var specialsBefore: Int { postProcessor.single.prefix { if case .token = $0 { true } else { false } }.count }
  /// How many special tokens a single text gets.
  public var specialCount: Int { postProcessor.addedCount(isPair: false) }

  /// What `body` makes of each text.
  private func each<Result: Sendable>(
    of texts: [String], _ body: @Sendable (String, inout WordCache?) -> Result
  ) -> [Result] {
    let chunk = 1024
    let chunks = (texts.count + chunk - 1) / chunk
    guard chunks > 1 else {
      var cache: WordCache? = model.usesWords ? WordCache() : nil
      return texts.map { body($0, &cache) }
    }
    // Each part of the texts is worked on by one thread with its own memory of words.
    let parts = min(chunks, ProcessInfo.processInfo.activeProcessorCount)
    return [Result](unsafeUninitializedCapacity: texts.count) { buffer, count in
      nonisolated(unsafe) let output = buffer.baseAddress!
      DispatchQueue.concurrentPerform(iterations: parts) { part in
        var cache: WordCache? = model.usesWords ? WordCache() : nil
        for index in (texts.count * part / parts)..<(texts.count * (part + 1) / parts) {
          (output + index).initialize(to: body(texts[index], &cache))
        }
      }
      count = texts.count
    }
  }

  private func encoding(
    _ text: String, _ second: String?, _ addingSpecialTokens: Bool, _ maximumLength: Int?,
    _ cache: inout WordCache?
  ) -> Encoding {
    var first = self.ids(of: text, &cache)
    var other: [Int32]?
    if let second { other = self.ids(of: second, &cache) }
    let template = addingSpecialTokens ? postProcessor : PostProcessor.none
    var removed = 0
    if let maximumLength {
      let room = max(0, maximumLength - template.addedCount(isPair: other != nil))
      removed = max(0, first.count + (other?.count ?? 0) - room)
      let (kept, keptOther) = Tokenizer.kept(first.count, other?.count ?? 0, room: room)
      first.removeLast(first.count - kept)
      other = other.map { Array($0.prefix(keptOther)) }
    }
    let (ids, segments) = template.apply(first, other)
    return Encoding(ids: ids, segments: segments, removedCount: removed)
  }

  /// How many tokens of each of two texts are left in a room for both: the longer one loses first. Of two that lose, the
  /// one that was longer keeps the odd one, as Python's `tokenizers` has it ("longest_first").
  package static func kept(_ first: Int, _ second: Int, room: Int) -> (Int, Int) {
    guard first + second > room else { return (first, second) }
    let shorter = min(first, second, room / 2)
    return first > second ? (room - shorter, shorter) : (shorter, room - shorter)
  }

  /// Long texts a piece at a time, for the places of all words take several times the text's memory.
  private func ids(of text: String, _ cache: inout WordCache?) -> [Int32] {
    var ids: [Int32] = []
    ids.reserveCapacity(text.utf8.count / 4 + 8)
    var (rest, wanted) = (text.utf8[...], TextSeam.pieceBytes)
    while rest.count > 2 * wanted {
      let piece = Array(rest.prefix(wanted))
      guard let seam = TextSeam.last(in: piece, tokenizer: self) else {
        wanted *= 2
        continue
      }
      append(piece[..<seam.end], &cache, &ids)
      rest = rest.dropFirst(seam.next)
      wanted = TextSeam.pieceBytes
    }
    append(rest, &cache, &ids)
    return ids
  }

  private func append(_ text: some Sequence<UInt8>, _ cache: inout WordCache?, _ ids: inout [Int32]) {
    let bytes = Array(text)
    for part in rawAddedTokens.parts(of: bytes) {
      switch part {
      case .token(let id): ids.append(id)
      case .text(let range):
        var segment = range.count == bytes.count ? bytes : Array(bytes[range])
        normalizer?.apply(to: &segment)
        for part in normalizedAddedTokens.parts(of: segment) {
          switch part {
          case .token(let id): ids.append(id)
          case .text(let inner):
            let startsText = range.lowerBound == 0 && inner.lowerBound == 0
            appendWords(of: inner.count == segment.count ? segment : Array(segment[inner]), startsText, &cache, &ids)
          }
        }
      }
    }
  }

  private func appendWords(of bytes: [UInt8], _ startsText: Bool, _ cache: inout WordCache?, _ ids: inout [Int32]) {
    var pieces = TextPieces(bytes, startsText: startsText)
    preTokenizer?.apply(to: &pieces)
    pieces.bytes.withUnsafeBufferPointer { bytes in
      for range in pieces.ranges where !range.isEmpty {
        let word = UnsafeBufferPointer(rebasing: bytes[range])
        if cache == nil { model.encode(word, into: &ids) } else { cache!.encode(word, with: model, into: &ids) }
      }
    }
  }

  // MARK: Decoding

  /// The text of `ids`. Ids that no token has are left out.
  ///
  /// - Parameters:
  ///   - ids: the tokens.
  ///   - skippingSpecialTokens: whether special tokens (`</s>`, `[PAD]`, …) are left out.
  public func decode(_ ids: some Sequence<Int32>, skippingSpecialTokens: Bool = true) -> String {
    decoder.text(
      of: ids.compactMap { id in
        skippingSpecialTokens && specialIDs.contains(id) ? nil : content(of: id)
      })
  }

  /// The token with this id, as the file spells it.
  public func token(_ id: Int32) -> String? { content(of: id).map { String(decoding: $0, as: UTF8.self) } }

  /// The id of a token, as the file spells it.
  public func id(of token: String) -> Int32? {
    let content = Array(token.utf8)
    return addedIDs[content] ?? vocabulary.id(of: content)
  }

  /// Whether `id` is a special token, such as `</s>`.
  public func isSpecial(_ id: Int32) -> Bool { specialIDs.contains(id) }

  func content(of id: Int32) -> [UInt8]? { addedContent[id] ?? vocabulary[Int(id)].map { Array($0) } }
}

/// The ids of a text.
public struct Encoding: Sendable, Equatable {
  /// The ids, special tokens included.
  public var ids: [Int32]
  /// The segment of each id (BERT's token types): 0 for the first text, 1 for the second where the template says so.
  public var segments: [Int32]
  /// How many ids were cut off to keep to the maximum length.
  public var removedCount: Int

  /// Ids with a segment each.
  public init(ids: [Int32], segments: [Int32], removedCount: Int = 0) {
    (self.ids, self.segments, self.removedCount) = (ids, segments, removedCount)
  }
}

/// The ids of the tokens with a role, where the tokenizer has them.
public struct SpecialTokens: Sendable, Equatable {
  /// Begins a text: `<s>`.
  public var beginning: Int32?
  /// Ends a text: `</s>`.
  public var end: Int32?
  /// Fills a row up: `[PAD]`.
  public var padding: Int32?
  /// Stands for what the vocabulary does not have: `[UNK]`.
  public var unknown: Int32?
  /// Begins what is to be classified: `[CLS]`.
  public var classification: Int32?
  /// Ends each of two texts: `[SEP]`.
  public var separator: Int32?
  /// Stands for what is to be guessed: `[MASK]`.
  public var mask: Int32?

  /// Ids by role; nil for a role that no token has.
  public init(
    beginning: Int32? = nil, end: Int32? = nil, padding: Int32? = nil, unknown: Int32? = nil,
    classification: Int32? = nil, separator: Int32? = nil, mask: Int32? = nil
  ) {
    (self.beginning, self.end, self.padding, self.unknown) = (beginning, end, padding, unknown)
    (self.classification, self.separator, self.mask) = (classification, separator, mask)
  }
}
