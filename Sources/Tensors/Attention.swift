import LoRACKernels

/// Sequences of different lengths in one tensor, one after another, without padding.
///
/// ```swift
/// let packing = Packing(lengths: [3, 2])  // rows 0 ..< 3 and 3 ..< 5
/// ```
public struct Packing: Sendable, Equatable {
  /// Where each sequence begins, and at last where the last one ends.
  package let starts: [Int32]

  /// Sequences of these lengths, each at least 1, in this order.
  public init(lengths: [Int]) {
    expect(lengths.allSatisfy { $0 > 0 }, "Packing: lengths \(lengths), expected at least 1")
    starts = lengths.reduce(into: [0]) { $0.append($0.last! + Int32($1)) }
  }

  /// How many sequences there are.
  public var count: Int { starts.count - 1 }
  /// How many rows there are.
  public var rows: Int { Int(starts.last!) }
  /// The number of rows of each sequence.
  public var lengths: [Int] { (0..<count).map { self[$0].count } }
  /// The rows of one sequence.
  public subscript(sequence: Int) -> Range<Int> { Int(starts[sequence])..<Int(starts[sequence + 1]) }
  /// The place of each row in its sequence, counted from 0.
  public var positions: [Int] { (0..<count).flatMap { Array(0..<self[$0].count) } }
}

extension Tensor {
  /// softmax(query keyᵀ / √size) value, sequence by sequence and head by head (Vaswani et al. 2017, section 3.2.1), in
  /// blocks: memory grows with the length, not with its square.
  ///
  /// - Parameters:
  ///   - query: [rows, heads, size].
  ///   - key: [rows, key heads, size]. Each key head serves heads / key heads query heads (Ainslie et al. 2023).
  ///   - value: as `key`.
  ///   - queries: the sequences that the queries form.
  ///   - keys: those of keys and values, by default the same; as many sequences, none shorter than its queries.
  ///   - isCausal: whether a query sees only the keys up to its own place. The last query stands at the last key.
  /// - Returns: [rows, heads, size]
  public static func attention(
    query: Tensor, key: Tensor, value: Tensor, queries: Packing, keys: Packing? = nil, isCausal: Bool
  ) -> Tensor {
    let keys = keys ?? queries
    expect(
      query.rank == 3 && key.rank == 3 && key.shape == value.shape && query.shape[2] == key.shape[2]
        && query.shape[1] % key.shape[1] == 0 && query.shape[0] == queries.rows && key.shape[0] >= keys.rows
        && keys.count == queries.count,
      "attention: query \(query.shape), key \(key.shape), value \(value.shape) and sequences of \(queries.lengths) and "
        + "\(keys.lengths) rows do not fit")
    expect(
      !isCausal || zip(queries.lengths, keys.lengths).allSatisfy { $0 <= $1 },
      "attention: with causal attention no sequence has more queries (\(queries.lengths)) than keys (\(keys.lengths))")
    let tracked = [query, key, value].map(\.isTracked)
    let saved = Derivative.Attention(
      query: query.widened.detached, key: key.widened.detached, value: value.widened.detached, queries: queries,
      keys: keys, isCausal: isCausal,
      wanted: tracked)
    let logSums = tracked.contains(true) ? Storage(count: query.shape[0] * query.shape[1]) : nil
    let output = Tensor(shape: query.shape) {
      ck_attention(
        queries.starts, keys.starts, queries.count, saved.heads, saved.keyHeads, saved.size, saved.scale, isCausal,
        saved.query.pointer, saved.key.pointer, saved.value.pointer, $0.baseAddress, logSums?.base)
    }
    guard let logSums else { return output }
    let gradients = Derivative.attention(saved, output, Tensor(storage: logSums, shape: [logSums.count]))
    return output.recorded(.attention, [query, key, value]) { gradients.pullback(of: $0) }
  }
}
