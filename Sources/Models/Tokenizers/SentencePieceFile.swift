import Foundation

/// What a SentencePiece model (`tokenizer.model`, `spiece.model`) holds, of which a tokenizer is made: a message of
/// Protocol Buffers (sentencepiece_model.proto).
struct SentencePieceFile {
  struct Piece {
    enum Kind: UInt64 {
      case normal = 1
      case unknown, control, userDefined, unused, byte
    }
    var text: [UInt8] = []
    var score: Float = 0
    var kind = Kind.normal
    /// Whether it takes the spaces before it.
    var stripsLeft = false
  }

  private(set) var pieces: [Piece] = []
  /// 1: Unigram, 2: byte-pair encoding, 3: words, 4: characters.
  private(set) var modelType = 1
  private(set) var fallsBackToBytes = false
  private(set) var (unknown, beginning, end) = (0, 1, 2)
  private(set) var characterMap: [UInt8] = []
  private(set) var addsPrefix = true
  private(set) var removesExtraSpaces = true
  private(set) var spacesAreSuffixes = false

  init(_ bytes: [UInt8]) throws {
    try bytes.withUnsafeBytes { bytes in
      try ProtocolBuffer.forEachField(of: bytes) { field, value throws(TokenizerError) in
        switch (field, value) {
        case (1, .bytes(let content)):
          guard pieces.count < TokenTable.mostIDs else {
            throw TokenizerError("has more than \(TokenTable.mostIDs) pieces", expected: "fewer")
          }
          pieces.append(try SentencePieceFile.piece(content))
        case (2, .bytes(let content)): try readTrainer(content)
        case (3, .bytes(let content)): try readNormalizer(content)
        default: break
        }
      }
    }
    guard !pieces.isEmpty else { throw TokenizerError("holds no pieces", expected: "a SentencePiece model") }
  }

  /// Other pieces, or others in their places.
  mutating func setPieces(_ pieces: [Piece], beginning: Int, end: Int, unknown: Int) {
    (self.pieces, self.beginning, self.end, self.unknown) = (pieces, beginning, end, unknown)
  }

  private static func piece(_ content: UnsafeRawBufferPointer) throws(TokenizerError) -> Piece {
    var piece = Piece()
    try ProtocolBuffer.forEachField(of: content) { field, value throws(TokenizerError) in
      switch (field, value) {
      case (1, .bytes(let text)):
        guard String(validating: text, as: UTF8.self) != nil else {
          throw TokenizerError("has a piece that is not UTF-8", expected: "texts")
        }
        piece.text = Array(text)
      case (2, .fixed32(let bits)): piece.score = Float(bitPattern: bits)
      case (3, .number(let kind)): piece.kind = Piece.Kind(rawValue: kind) ?? .unused
      default: break
      }
    }
    guard piece.score.isFinite else {
      throw TokenizerError("has a piece whose score is NaN or infinity", expected: "a number")
    }
    return piece
  }

  private mutating func readTrainer(_ content: UnsafeRawBufferPointer) throws(TokenizerError) {
    try ProtocolBuffer.forEachField(of: content) { field, value throws(TokenizerError) in
      guard case .number(let number) = value else { return }
      // Ids that are not used are -1, in 64 bits.
      let id = Int(Int32(truncatingIfNeeded: number))
      switch field {
      case 3: modelType = id
      case 24: spacesAreSuffixes = number != 0
      case 35: fallsBackToBytes = number != 0
      case 40: unknown = id
      case 41: beginning = id
      case 42: end = id
      default: break
      }
    }
  }

  private mutating func readNormalizer(_ content: UnsafeRawBufferPointer) throws(TokenizerError) {
    try ProtocolBuffer.forEachField(of: content) { field, value throws(TokenizerError) in
      switch (field, value) {
      case (2, .bytes(let map)): characterMap = Array(map)
      case (3, .number(let number)): addsPrefix = number != 0
      case (4, .number(let number)): removesExtraSpaces = number != 0
      default: break
      }
    }
  }
}

/// Reads the fields of a message, as Protocol Buffers lay them out.
enum ProtocolBuffer {
  enum Value {
    case number(UInt64)
    case fixed32(UInt32)
    case bytes(UnsafeRawBufferPointer)
    case other
  }

  static func forEachField(
    of bytes: UnsafeRawBufferPointer, _ body: (Int, Value) throws(TokenizerError) -> Void
  ) throws(TokenizerError) {
    var place = 0
    func number() throws(TokenizerError) -> UInt64 {
      var (value, shift): (UInt64, UInt64) = (0, 0)
      while place < bytes.count, shift < 64 {
        let byte = bytes[place]
        place += 1
        value |= UInt64(byte & 0x7F) << shift
        if byte < 0x80 { return value }
        shift += 7
      }
      throw TokenizerError("ends within a field", expected: "a whole SentencePiece model")
    }
    func take(_ count: UInt64) throws(TokenizerError) -> UnsafeRawBufferPointer {
      guard count <= UInt64(bytes.count - place) else {
        throw TokenizerError("ends within a field", expected: "a whole SentencePiece model")
      }
      defer { place += Int(count) }
      return UnsafeRawBufferPointer(rebasing: bytes[place..<place + Int(count)])
    }
    while place < bytes.count {
      let key = try number()
      let field = Int(truncatingIfNeeded: key >> 3)
      switch key & 7 {
      case 0: try body(field, .number(try number()))
      case 1:
        _ = try take(8)
        try body(field, .other)
      case 2: try body(field, .bytes(try take(try number())))
      case 5: try body(field, .fixed32(try take(4).loadUnaligned(as: UInt32.self).littleEndian))
      default: throw TokenizerError("holds a field of an unknown kind", expected: "a SentencePiece model")
      }
    }
  }
}
