// The transformer (Vaswani et al. 2017), as its description says in which of the forms that became of it.
//
// x₀ = tokens, + positions, + segments;
// in each layer  a = n₃(x + n₂ attention(n₁ x)),  x′ = m₃(a + m₂ feedForward(m₁ a)),
// where n₁ alone is pre-normalisation (Llama, GPT-2), n₃ alone post-normalisation (BERT), n₂ alone that of OLMo 2, and
// n₁ with n₂ Gemma's; at last a norm, where layers have none at their end.

import Foundation
import LoRAFormats
import LoRANetworks
import LoRATensors

/// A transformer without a head: tokens to one vector a token.
public final class Transformer: Module {
  let tokens: Embedding  // [vocabulary, hidden]
  let segments: Embedding?  // [segments, hidden]
  let positions: Embedding?  // [rows, hidden]
  let embeddingNorm: (any Layer)?
  let embeddingProjection: (any Layer)?
  let layers: [TransformerLayer]
  let distanceBias: Embedding?  // [buckets, heads]
  let finalNorm: (any Layer)?
  let pooler: Linear?
  /// Its shape and its choices.
  public let description: TransformerDescription
  /// Whether layers are computed again for the gradient instead of being kept: less memory, more time.
  public var recomputes = false
  private let plan: TransformerPlan

  init(_ weights: Weights, _ description: TransformerDescription) {
    self.description = description
    let plan = TransformerPlan(description)
    self.plan = plan
    let width = description.embeddingSize ?? description.hidden
    func table(_ part: TransformerPart, _ count: Int, _ size: Int) -> Embedding? {
      description.names[part].map { Embedding(weights[$0], count: count, size: size) }
    }
    tokens = table(.tokens, description.vocabulary, width)!
    segments = table(.segments, description.segments, width)
    positions = table(.positions, description.positionTable?.rows ?? 0, width)
    embeddingNorm = plan.norm(.embeddingNorm, weights, size: width)
    embeddingProjection = plan.linear(
      .embeddingProjection, weights, inputs: width, outputs: description.hidden, bias: true)
    layers = description.attention.indices.map {
      TransformerLayer(weights[description.names[.layers]!][$0], plan, index: $0)
    }
    distanceBias = table(.distanceBias, description.distanceBuckets ?? 0, description.heads)
    finalNorm = plan.norm(.finalNorm, weights, size: description.hidden)
    pooler = description.names[.pooler].flatMap { name in
      weights[name]["weight"].exists
        ? Linear(weights[name], inputs: description.hidden, outputs: description.hidden) : nil
    }
  }

  public func pathComponent(ofProperty property: String) -> String { plan.path(of: property) }

  /// Token vectors, [rows, hidden].
  public func callAsFunction(_ tokens: TokenRows) -> Tensor { self(tokens, cache: nil) }

  /// The token vectors before the first layer and after each, [rows, hidden]; the last after the last norm too.
  public func hiddenStates(_ tokens: TokenRows) -> [Tensor] {
    var states: [Tensor] = []
    let last = run(tokens, cache: nil) { states.append($0) }
    return states.dropLast() + [last]
  }

  /// tanh(W h + b) of each text's first token, [texts, hidden], from the token vectors: BERT's pooler.
  ///
  /// - Precondition: the transformer has a pooler; some are stored without.
  public func pooled(_ hidden: Tensor, _ tokens: TokenRows) -> Tensor {
    guard let pooler else { fatalError("pooled: this transformer has no pooler") }
    return pooler(pooled(hidden, tokens, .first)).tanh()
  }

  /// Token vectors, [rows, hidden]. With a cache there is one sequence, whose earlier tokens are in the cache; those
  /// given are added to it.
  public func callAsFunction(_ tokens: TokenRows, cache: KeyValueCache?) -> Tensor {
    guard let cache else { return run(tokens, cache: nil) }
    let isStretched = description.rotary.contains { $0.isStretched(cache.count + tokens.longest) }
    guard isStretched == cache.isStretched || cache.count == 0 else {
      // The keys in the cache were turned by other frequencies than the longer text's.
      let earlier = cache.ids
      cache.truncate(to: 0)
      let all = self(TokenRows(ids: [earlier + tokens.ids]), cache: cache)
      return all.sliced(axis: 0, earlier.count..<all.shape[0])
    }
    cache.isStretched = isStretched
    let result = run(tokens, cache: cache)
    cache.advance(by: tokens.ids)
    return result
  }

  private func run(_ rows: TokenRows, cache: KeyValueCache?, _ state: (Tensor) -> Void = { _ in }) -> Tensor {
    expect(
      rows.longest <= description.positions,
      "Transformer: a text of \(rows.longest) tokens, but there are \(description.positions) positions")
    return LinkChoice.overSequences(rows.packing) {
      let place = place(of: rows, cache)
      var x = embedded(rows, place)
      state(x)
      for layer in layers {
        x = recomputes && cache == nil ? layer.recomputing(x) { layer($0, place) } : layer(x, place)
        state(x)
      }
      return finalNorm?(x) ?? x
    }
  }

  private func embedded(_ rows: TokenRows, _ place: TransformerPlace) -> Tensor {
    var x = tokens(rows.ids)
    if description.embeddingScale != 1 { x = x * description.embeddingScale }
    if let segments { x = x + segments(rows.segments) }
    if let positions, let table = description.positionTable { x = x + positions(table.rows(of: rows, place.positions)) }
    x = embeddingNorm?(x) ?? x
    return embeddingProjection?(x) ?? x
  }

  private func place(of rows: TokenRows, _ cache: KeyValueCache?) -> TransformerPlace {
    let first = cache?.count ?? 0
    let length = first + rows.longest
    return TransformerPlace(
      packing: rows.packing, positions: rows.packing.positions.map { $0 + first },
      rotary: description.rotary.map { $0.table(positions: first..<length) }, cache: cache,
      bias: distanceBias.map { table in
        let buckets = (-(length - 1)...(length - 1)).map { DistanceBuckets.bucket(of: $0) }
        return table(buckets).permuted([1, 0])
      })
  }
}

/// Where the rows of a pass stand in their sequences, and what follows from that for all layers.
struct TransformerPlace {
  let packing: Packing
  let positions: [Int]
  let rotary: [RotaryTable]
  let cache: KeyValueCache?
  /// [heads, distances]
  let bias: Tensor?
}

/// What all layers share. A class, so that a walk over modules passes it by.
final class TransformerPlan: Sendable {
  let description: TransformerDescription

  init(_ description: TransformerDescription) { self.description = description }

  func path(of property: String) -> String {
    TransformerPart(rawValue: property).flatMap { description.names[$0] } ?? property
  }

  func norm(_ part: TransformerPart, _ weights: Weights, size: Int) -> (any Layer)? {
    description.names[part].map { description.norm(weights[$0], size: size) }
  }

  func linear(
    _ part: TransformerPart, _ weights: Weights, inputs: Int, outputs: Int, bias: Bool
  ) -> (any Layer)? {
    guard let name = description.names[part] else { return nil }
    return description.layout == .outputsByInputs
      ? Linear(weights[name], inputs: inputs, outputs: outputs, bias: bias)
      : Conv1D(weights[name], inputs: inputs, outputs: outputs)
  }
}

extension TransformerDescription.PositionTable {
  /// By row of a pass: its row of the table.
  func rows(of tokens: TokenRows, _ positions: [Int]) -> [Int] {
    guard let padding, tokens.ids.contains(padding) else { return positions.map { $0 + first } }
    var rows: [Int] = []
    var counted = 0
    for (place, id) in zip(positions, tokens.ids) {
      if place == 0 { counted = 0 }
      rows.append(id == padding ? first - 1 : first + counted)
      if id != padding { counted += 1 }
    }
    return rows
  }
}

/// Which distances share a bias (Raffel et al. 2020, section 2.1): half of the buckets for keys before the query and
/// itself, half for those after it; of each half, the first half for one distance each, the rest for ranges that grow
/// with the logarithm, to 128.
enum DistanceBuckets {
  static let count = 32

  static func bucket(of distance: Int) -> Int {
    let half = count / 2
    let exact = half / 2
    let (side, size) = (distance > 0 ? half : 0, abs(distance))
    guard size >= exact else { return side + size }
    let share = log(Float(size) / Float(exact)) / Float(log(128 / Double(exact)))
    return side + min(exact + Int(share * Float(half - exact)), half - 1)
  }
}
