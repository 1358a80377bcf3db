/// Unigram (Kudo 2018): of all ways to cut a text into tokens the likeliest one, by the sum of the tokens' log
/// probabilities. A character that begins no token is unknown, ten below the least likely token.
struct Unigram: TokenModel {
  let table: TokenTable
  let scores: [Double]  // by id
  let tokens: SortedTokens
  let unknown: Int32?
  /// What is unknown becomes its bytes' tokens `<0x…>`.
  let fallsBackToBytes: Bool
  let byteTokens: [Int32]  // by byte; -1 where there is none
  let usesWords: Bool
  /// Sums are of 32 bits, as SentencePiece's own: they say which of two ways that are equally good is taken.
  let isSingle: Bool
  private let unknownScore: Double

  init(
    table: TokenTable, scores: [Double], unknown: Int32?, fallsBackToBytes: Bool, byteTokens: [Int32], usesWords: Bool,
    isSingle: Bool = false
  ) {
    self.isSingle = isSingle
    (self.table, self.scores, self.unknown) = (table, scores, unknown)
    (self.fallsBackToBytes, self.byteTokens, self.usesWords) = (fallsBackToBytes, byteTokens, usesWords)
    tokens = SortedTokens(table)
    unknownScore = (scores.min() ?? 0) - 10
  }

  func encode(_ word: UnsafeBufferPointer<UInt8>, into ids: inout [Int32]) {
    guard !word.isEmpty else { return }
    // By the place where a token may end: where the best one begins, which it is, and how good the way to here is.
    var starts = [Int32](repeating: -1, count: word.count + 1)
    var best = [Int32](repeating: -1, count: word.count + 1)
    var sums = [Double](repeating: 0, count: word.count + 1)
    var place = 0
    while place < word.count {
      let length = decodeScalar(word, place).length
      var isKnown = false
      func offer(_ id: Int32, _ end: Int, _ score: Double) {
        let score = isSingle ? Double(Float(score)) : score
        guard starts[end] < 0 || score > sums[end] else { return }
        (starts[end], best[end], sums[end]) = (Int32(place), id, score)
      }
      tokens.forEachPrefix(of: word, from: place) { id, end in
        offer(id, end, sums[place] + scores[Int(id)])
        if end == place + length { isKnown = true }
      }
      if !isKnown { offer(-1, min(word.count, place + length), sums[place] + unknownScore) }
      place += length
    }
    // From the end back; neighbours that are unknown are one.
    var pieces: [(id: Int32, range: Range<Int>)] = []
    var end = word.count
    while end > 0 {
      let start = Int(starts[end])
      let isUnknown = best[end] < 0 || best[end] == unknown
      if isUnknown, let last = pieces.last, last.id < 0 {
        pieces[pieces.count - 1].range = start..<last.range.upperBound
      } else {
        pieces.append((isUnknown ? -1 : best[end], start..<end))
      }
      end = start
    }
    for piece in pieces.reversed() {
      let bytes = UnsafeBufferPointer(rebasing: word[piece.range])
      if piece.id >= 0 {
        ids.append(piece.id)
      } else if let id = table.id(of: bytes) {
        ids.append(id)
      } else if fallsBackToBytes, bytes.allSatisfy({ byteTokens[Int($0)] >= 0 }) {
        ids += bytes.map { byteTokens[Int($0)] }
      } else if let unknown {
        ids.append(unknown)
      }
    }
  }
}

/// Tokens in the order of their bytes, among which those that a text begins with are found byte by byte.
struct SortedTokens: Sendable {
  private let content: [UInt8]
  private let ends: [Int32]  // the place behind each token in `content`
  private let ids: [Int32]
  /// By first byte: where its tokens begin; 257 places.
  private let first: [Int]

  init(_ table: TokenTable) {
    let sorted = (0..<table.idBound).compactMap { id in table[id].map { (id: Int32(id), bytes: $0) } }
      .sorted { $0.bytes.lexicographicallyPrecedes($1.bytes) }
    content = sorted.flatMap(\.bytes)
    var (end, ends, counts) = (0, [Int32](), [Int](repeating: 0, count: 257))
    for token in sorted {
      end += token.bytes.count
      ends.append(Int32(end))
      counts[Int(token.bytes.first!) + 1] += 1
    }
    self.ends = ends
    ids = sorted.map(\.id)
    for byte in 1...256 { counts[byte] += counts[byte - 1] }
    first = counts
  }

  /// Calls `body` with each token that the text begins with from `start` on, shortest first, and where it ends.
  func forEachPrefix(of text: UnsafeBufferPointer<UInt8>, from start: Int, _ body: (Int32, _ end: Int) -> Void) {
    var (low, high) = (first[Int(text[start])], first[Int(text[start]) + 1])
    var depth = 1
    content.withUnsafeBufferPointer { content in
      ends.withUnsafeBufferPointer { ends in
        func begin(_ index: Int) -> Int { index == 0 ? 0 : Int(ends[index - 1]) }
        /// The byte of a token at the depth; -1 where it has ended.
        func byte(_ index: Int) -> Int {
          let place = begin(index) + depth
          return place < Int(ends[index]) ? Int(content[place]) : -1
        }
        while low < high {
          if byte(low) < 0 {
            body(ids[low], start + depth)
            low += 1
          }
          guard low < high, start + depth < text.count else { return }
          let wanted = Int(text[start + depth])
          // Those with the wanted byte lie together.
          var (from, to) = (low, high)
          while from < to {
            let middle = (from + to) / 2
            if byte(middle) < wanted { from = middle + 1 } else { to = middle }
          }
          low = from
          to = high
          while from < to {
            let middle = (from + to) / 2
            if byte(middle) <= wanted { from = middle + 1 } else { to = middle }
          }
          high = from
          depth += 1
        }
      }
    }
  }
}
