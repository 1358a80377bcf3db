import Foundation
import LoRAFiles

extension Tokenizer {
  /// The names under which folders keep a SentencePiece model.
  static let sentencePieceNames = ["tokenizer.model", "spiece.model", "sentencepiece.bpe.model"]

  /// Classes whose ids are not the places of the pieces, or that put around a text what the model does not say.
  private static let unknownOrders = [
    "MBart", "Nllb", "M2M100", "Barthez", "Bartpho", "Pegasus", "XGLM", "Speech2Text", "SeamlessM4T", "LayoutXLM",
    "Udop",
    "PLBart", "Marian", "XLMProphetNet", "Albert", "XLNet", "BigBird", "DebertaV2", "RemBert", "FNet", "Cpm", "ErnieM",
  ]

  /// A tokenizer from a SentencePiece model, for folders without a `tokenizer.json`.
  ///
  /// Texts become what SentencePiece makes of them; special tokens in a text are those tokens, as in transformers, and
  /// begin or end it where the folder's `tokenizer_config.json` (`add_bos_token`, `add_eos_token`, or the class) says so.
  ///
  /// - Parameters:
  ///   - bytes: the model file's.
  ///   - configuration: of tokenizer_config.json.
  init(sentencePiece bytes: [UInt8], configuration: JSON) throws {
    var file = try SentencePieceFile(bytes)
    guard file.modelType == 1 || file.modelType == 2 else {
      throw TokenizerError("is a SentencePiece model of words or characters", expected: "Unigram or BPE")
    }
    guard !file.spacesAreSuffixes else { throw TokenizerError("puts spaces behind words", expected: "before them") }
    guard let map = CharacterMap(file.characterMap) else {
      throw TokenizerError("has a damaged map of characters", expected: "a whole one")
    }
    let kind = configuration["tokenizer_class"]?.string ?? ""
    if let other = Tokenizer.unknownOrders.first(where: kind.hasPrefix) {
      throw TokenizerError(
        "is the SentencePiece model of a \(kind)",
        expected: "a tokenizer.json, since tokenizers of \(other) have ids and special tokens of their own")
    }
    let isFairseq = file.putInOrder(of: kind)
    self.init(file, map)

    func has(_ id: Int) -> Bool { file.pieces.indices.contains(id) && file.pieces[id].kind == .control }
    let beginnings =
      ["Llama", "CodeLlama", "Gemma"].contains { kind.hasPrefix($0) } || isFairseq
      || kind.isEmpty && file.modelType == 2
    let endings = ["T5", "MT5"].contains { kind.hasPrefix($0) } || isFairseq || kind.isEmpty && !has(file.beginning)
    let beginning = (configuration["add_bos_token"]?.bool ?? beginnings) && has(file.beginning) ? file.beginning : nil
    let end = (configuration["add_eos_token"]?.bool ?? endings) && has(file.end) ? file.end : nil
    func items(_ text: PostProcessor.Item, segment: Int32) -> [PostProcessor.Item] {
      [beginning.map { .token(Int32($0), segment: segment) }, text, end.map { .token(Int32($0), segment: segment) }]
        .compactMap { $0 }
    }
    let single = items(.first(segment: 0), segment: 0)
    var second = items(.second(segment: 0), segment: 0)
    // <s> A </s> </s> B </s>
    if isFairseq, !second.isEmpty, beginning != nil, let end { second[0] = .token(Int32(end), segment: 0) }
    postProcessor = PostProcessor(single: single, pair: single + second)
    special = SpecialTokens(
      beginning: has(file.beginning) ? Int32(file.beginning) : nil, end: has(file.end) ? Int32(file.end) : nil)
    special = SpecialTokens(configuration: configuration, guess: special) { [self] in id(of: $0) }
  }

  private init(_ file: SentencePieceFile, _ map: CharacterMap) {
    var (all, matched) = (
      TokenTable(minimumCapacity: file.pieces.count), TokenTable(minimumCapacity: file.pieces.count)
    )
    var (scores, added): ([Double], [AddedTokens.Token]) = ([], [])
    let best = Double(file.pieces.filter { $0.kind == .normal }.map(\.score).max() ?? 0)
    for (id, piece) in file.pieces.enumerated() {
      _ = all.insert(piece.text, id: id)
      var score = Double(piece.score)
      switch piece.kind {
      case .normal: _ = matched.insert(piece.text, id: id)
      case .userDefined:
        _ = matched.insert(piece.text, id: id)
        // Always taken where it occurs: as SentencePiece scores it.
        score = Double(piece.text.count) * best - 0.1
      case .control, .unknown: break
      case .byte, .unused: break
      }
      scores.append(score)
      if [.control, .unknown, .userDefined].contains(piece.kind) {
        added.append(
          AddedTokens.Token(
            id: Int32(id), content: piece.text, singleWord: false, stripsLeft: piece.stripsLeft, stripsRight: false,
            isNormalized: piece.kind == .userDefined, isSpecial: piece.kind != .userDefined))
      }
    }
    let unknown = file.pieces.firstIndex { $0.kind == .unknown }.map(Int32.init)
    vocabulary = all
    let byteTokens = SentencePieceFile.byteTokens(in: all)
    if file.modelType == 1 {
      model = Unigram(
        table: matched, scores: scores, unknown: unknown, fallsBackToBytes: file.fallsBackToBytes,
        byteTokens: byteTokens, usesWords: false, isSingle: true)
    } else {
      model = BytePairEncoding(
        table: matched, merges: file.merges(in: matched), byteTokens: byteTokens, isByteLevel: false,
        fallsBackToBytes: file.fallsBackToBytes, unknown: unknown, fusesUnknown: true, ignoresMerges: false,
        continuingPrefix: [], endSuffix: [], usesWords: false)
    }
    normalizer = .sequence([
      .characterMap(map, byLongest: true),
      .sentencePieceSpaces(removesExtra: file.removesExtraSpaces, addsPrefix: file.addsPrefix),
    ])
    preTokenizer = nil
    let mark = Array("▁".utf8)
    decoder = .sequence(
      [.replace(.text(mark), with: [0x20]), .byteFallback, .fuse]
        + (file.addsPrefix ? [.strip([0x20], start: 1, stop: 0)] : []))
    postProcessor = .none
    addedContent = Dictionary(added.map { ($0.id, $0.content) }) { _, last in last }
    addedIDs = Dictionary(added.map { ($0.content, $0.id) }) { _, last in last }
    specialIDs = Set(added.filter(\.isSpecial).map(\.id))
    rawAddedTokens = AddedTokens(added.filter { !$0.isNormalized })
    // Unigram takes them by their score, with what stands around them in sight.
    normalizedAddedTokens = AddedTokens(file.modelType == 1 ? [] : added.filter(\.isNormalized))
    idBound = file.pieces.count
    special = SpecialTokens()
  }
}

extension SentencePieceFile {
  static func byteTokens(in table: TokenTable) -> [Int32] {
    (0..<256).map { byte in
      let digits = String(byte, radix: 16, uppercase: true)
      return table.id(of: Array("<0x\(byte < 16 ? "0" : "")\(digits)>".utf8)) ?? -1
    }
  }

  /// Lays the pieces out as fairseq's dictionaries do, where the tokenizer's class keeps that: special tokens, the model's
  /// own pieces behind them, and the mask at the end, which takes the space before it.
  ///
  /// - Returns: whether it does.
  mutating func putInOrder(of kind: String) -> Bool {
    func control(_ text: String, _ kind: Piece.Kind = .control) -> Piece { Piece(text: Array(text.utf8), kind: kind) }
    let unknown = control("<unk>", .unknown)
    var mask = control("<mask>")
    mask.stripsLeft = true
    let pieces = pieces.map { $0.text == mask.text ? Piece(text: $0.text, score: $0.score, kind: .unused) : $0 }
    if kind.hasPrefix("XLMRoberta") {
      // Four special tokens for the model's three.
      let special = [control("<s>"), control("<pad>"), control("</s>"), unknown]
      setPieces(special + pieces.dropFirst(3) + [mask], beginning: 0, end: 2, unknown: 3)
    } else if kind.hasPrefix("Camembert") {
      // Four special tokens, of which two are not used: the model's <unk> is another, its <s> and </s> are those that count.
      let special = [control("<s>NOTUSED"), control("<pad>"), control("</s>NOTUSED"), unknown, control("<unk>NOTUSED")]
      setPieces(special + pieces.dropFirst(1) + [mask], beginning: 5, end: 6, unknown: 3)
    } else {
      return false
    }
    return true
  }

  /// Every way to make a piece of two others, of the better piece first.
  func merges(in table: TokenTable) -> MergeTable {
    var found: [(left: Int32, right: Int32, id: Int, score: Float)] = []
    for (id, piece) in pieces.enumerated() where piece.kind == .normal {
      // A piece of thousands of bytes is no word; its ways would be as many.
      guard piece.text.count <= 512 else { continue }
      for cut in piece.text.indices.dropFirst() where piece.text[cut] & 0xC0 != 0x80 {
        if let left = table.id(of: piece.text[..<cut]), let right = table.id(of: piece.text[cut...]) {
          found.append((left, right, id, piece.score))
        }
      }
    }
    found.sort { ($1.score, $0.id) < ($0.score, $1.id) }
    var merges = MergeTable(capacity: found.count)
    var (rank, last) = (-1, -1)
    for merge in found {
      if merge.id != last { (rank, last) = (rank + 1, merge.id) }
      merges.insert(merge.left, merge.right, rank: rank, id: Int32(merge.id))
    }
    return merges
  }
}
