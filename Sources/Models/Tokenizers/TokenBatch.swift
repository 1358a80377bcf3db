import LoRATensors

/// Several texts as one rectangle of ids, each row padded to the longest.
public struct TokenBatch: Sendable, Equatable {
  /// [rows, columns], row by row.
  public var ids: [Int32]
  /// [rows, columns]: the segment of each id; 0 in the padding.
  public var segments: [Int32]
  /// By row: how many ids are not padding.
  public var lengths: [Int]
  /// The length of every row, padding included.
  public var columns: Int
  /// Which end of a row its padding lies at.
  public var side: Side

  /// How many texts there are.
  public var rows: Int { lengths.count }

  /// An end of a row.
  public enum Side: String, Sendable {
    /// Before the text.
    case left
    /// After the text.
    case right
  }

  /// Lays the encodings out in rows.
  ///
  /// - Parameters:
  ///   - encodings: the rows, in order.
  ///   - padding: the id that fills a row up.
  ///   - side: the end that is filled; a decoder that goes on writing wants `.left`.
  ///   - columns: the width, at least the longest row; by default, that of the longest row.
  ///   - multiple: the width is rounded up to a multiple of this.
  public init(
    _ encodings: [Encoding], padding: Int32, side: Side = .right, columns: Int? = nil, multiple: Int = 1
  ) {
    let longest = encodings.map(\.ids.count).max() ?? 0
    expect(columns ?? longest >= longest, "TokenBatch: \(columns ?? 0) columns, but a row has \(longest) ids")
    expect(multiple > 0, "TokenBatch: the multiple is \(multiple), expected at least 1")
    let width = ((columns ?? longest) + multiple - 1) / multiple * multiple
    self.columns = width
    self.side = side
    lengths = encodings.map(\.ids.count)
    ids = []
    segments = []
    for encoding in encodings {
      let fill = width - encoding.ids.count
      if side == .left {
        ids += Array(repeating: padding, count: fill)
        segments += Array(repeating: 0, count: fill)
      }
      ids += encoding.ids
      segments += encoding.segments
      if side == .right {
        ids += Array(repeating: padding, count: fill)
        segments += Array(repeating: 0, count: fill)
      }
    }
  }
}
