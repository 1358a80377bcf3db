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

/// Which keys a query of attention sees, and what becomes of the scores.
public struct AttentionRule: Sendable {
  /// Whether a query sees only the keys up to its own place. The last query stands at the last key.
  public var isCausal: Bool
  /// Where there is one, a query sees only keys less than so many places away (Beltagy et al. 2020, section 3.1).
  public var window: Int?
  /// What products of queries and keys are multiplied by; nil stands for 1/√size.
  public var scale: Float?
  /// Where there is one, a score s becomes c tanh(s / c) (Gemma 2, section 2).
  public var cap: Float?
  /// In which numbers the products are computed: bfloat16, or for any other float32, as for a single query. Softmax and all
  /// sums are of float32.
  public var precision = Precision.float32

  /// All keys, or those up to the query's own place; scores times 1/√size.
  public init(isCausal: Bool) { self.isCausal = isCausal }
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
    attention(
      query: query, key: key, value: value, queries: queries, keys: keys, rule: AttentionRule(isCausal: isCausal))
  }

  /// The same by another rule.
  ///
  /// - `bias`: [heads, 2 · reach + 1]; what is added to the scaled score of a key at the distance key − query, from
  ///   −reach to reach, which no sequence's length exceeds (Raffel et al. 2020, section 2.1).
  public static func attention(
    query: Tensor, key: Tensor, value: Tensor, queries: Packing, keys: Packing? = nil, rule: AttentionRule,
    bias: Tensor? = nil
  ) -> Tensor {
    let keys = keys ?? queries
    expect(
      query.rank == 3 && key.rank == 3 && key.shape == value.shape && query.shape[2] == key.shape[2]
        && query.shape[1] % key.shape[1] == 0 && query.shape[0] == queries.rows && key.shape[0] >= keys.rows
        && keys.count == queries.count,
      "attention: query \(query.shape), key \(key.shape), value \(value.shape) and sequences of \(queries.lengths) and "
        + "\(keys.lengths) rows do not fit")
    expect(
      !(rule.isCausal || rule.window != nil) || zip(queries.lengths, keys.lengths).allSatisfy { $0 <= $1 },
      "attention: with causal attention or a window no sequence has more queries (\(queries.lengths)) than keys "
        + "(\(keys.lengths))")
    expect(
      rule.window.map { $0 > 0 } ?? true && rule.cap.map { $0 > 0 } ?? true,
      "attention: a window of \(rule.window ?? 1) and a cap of \(rule.cap ?? 1), expected more than 0")
    let reach = bias.map { $0.shape.last! / 2 } ?? 0
    expect(
      bias.map { $0.shape == [query.shape[1], 2 * reach + 1] && (keys.lengths.max() ?? 1) <= reach + 1 } ?? true,
      "attention: a bias \(bias?.shape ?? []) for \(query.shape[1]) heads and sequences of \(keys.lengths)")
    let tracked = [query, key, value].map(\.isTracked) + [bias?.isTracked ?? false]
    let saved = Derivative.Attention(
      query: query.widened.detached, key: key.widened.detached, value: value.widened.detached,
      bias: bias?.widened.detached, queries: queries, keys: keys, rule: rule, wanted: tracked)
    let logSums = tracked.contains(true) ? Storage(count: query.shape[0] * query.shape[1]) : nil
    let output = Tensor(shape: query.shape) { out in
      saved.withRule {
        ck_attention(
          queries.starts, keys.starts, queries.count, saved.heads, saved.keyHeads, saved.size, $0, saved.query.pointer,
          saved.key.pointer, saved.value.pointer, out.baseAddress, logSums?.base)
      }
    }
    guard let logSums else { return output }
    let gradients = Derivative.attention(saved, output, Tensor(storage: logSums, shape: [logSums.count]))
    return output.recorded(.attention, [query, key, value] + (bias.map { [$0] } ?? [])) { gradients.pullback(of: $0) }
  }
}
