import LoRATensors

/// A mini-batch of token sequences, one after another without padding: no work is spent on what does not count.
public struct TokenRows: Sendable {
  /// Row by row.
  public let ids: [Int]
  /// The segment of each row (BERT's token type).
  public let segments: [Int]
  /// Which rows are which sequence.
  public let packing: Packing

  /// The sequences that a tokenizer made, with their segments.
  public init(_ encodings: [Encoding]) {
    ids = encodings.flatMap { $0.ids.map(Int.init) }
    segments = encodings.flatMap { $0.segments.map(Int.init) }
    packing = Packing(lengths: encodings.map(\.ids.count))
  }

  /// Sequences of one segment.
  public init(ids: [[Int]]) {
    self.ids = ids.flatMap { $0 }
    segments = Array(repeating: 0, count: self.ids.count)
    packing = Packing(lengths: ids.map(\.count))
  }

  /// The most tokens of a sequence.
  public var longest: Int { packing.lengths.max() ?? 0 }
}
