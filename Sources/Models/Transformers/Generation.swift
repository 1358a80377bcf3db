import Foundation
import LoRANetworks
import LoRATensors

/// How the next token is drawn from its logits.
public struct SamplingOptions: Sendable, Equatable {
  /// 0 takes the likeliest token; 1 draws by the model's probabilities; more is bolder.
  public var temperature: Float = 0
  /// Only the likeliest so many tokens.
  public var topK: Int?
  /// Only the likeliest tokens that together reach this probability (Holtzman et al. 2020).
  public var topP: Float?
  /// Only tokens with at least this share of the likeliest one's probability.
  public var minP: Float?
  /// Logits of tokens that occurred are divided (where positive) or multiplied by this (Keskar et al. 2019).
  public var repetitionPenalty: Float = 1

  /// The likeliest token each time.
  public init() {}

  /// Draws a token.
  public func draw(
    _ logits: Tensor, after ids: [Int], using generator: inout some RandomNumberGenerator
  ) -> Int {
    if temperature <= 0 && repetitionPenalty == 1 { return logits.reshaped([1, logits.count]).argmaxRows()[0] }
    let candidates = candidates(logits.scalars, after: ids)
    guard candidates.count > 1 else { return candidates[0].id }
    var rest = Float.random(in: 0..<1, using: &generator) * candidates.reduce(0) { $0 + $1.weight }
    for candidate in candidates {
      rest -= candidate.weight
      if rest < 0 { return candidate.id }
    }
    return candidates.last!.id
  }

  /// By token, the probability of being drawn. As in transformers, the repetition penalty comes first, then the
  /// temperature, top-k, top-p and min-p, each on what the one before has left; of tokens that are equally likely top-k
  /// keeps the first ones, where transformers keeps them all.
  public func probabilities(_ logits: Tensor, after ids: [Int]) -> [Float] {
    let candidates = candidates(logits.scalars, after: ids)
    let total = candidates.reduce(0) { $0 + $1.weight }
    return candidates.reduce(into: Array(repeating: 0, count: logits.count)) { $0[$1.id] = $1.weight / total }
  }

  /// The tokens that may be drawn, with weights relative to the likeliest one's.
  private func candidates(_ logits: [Float], after ids: [Int]) -> [(id: Int, weight: Float)] {
    var scores = logits
    if repetitionPenalty != 1 {
      for id in Set(ids) {
        scores[id] = scores[id] > 0 ? scores[id] / repetitionPenalty : scores[id] * repetitionPenalty
      }
    }
    let best = Tensor(shape: [1, scores.count], scalars: scores).argmaxRows()[0]
    guard temperature > 0 else { return [(best, 1)] }
    // In order: each filter keeps a beginning of the list.
    var candidates = scores.indices.map { (id: $0, weight: exp((scores[$0] - scores[best]) / temperature)) }
    if topK != nil || topP != nil || minP != nil { candidates.sort { ($0.weight, $1.id) > ($1.weight, $0.id) } }
    if let topK { candidates.removeLast(max(0, candidates.count - max(1, topK))) }
    if let topP {
      let total = candidates.reduce(0) { $0 + $1.weight }
      var sum: Float = 0
      let end = candidates.firstIndex { candidate in
        sum += candidate.weight
        return sum >= topP * total
      }
      if let end { candidates.removeLast(candidates.count - end - 1) }
    }
    if let minP, let end = candidates.firstIndex(where: { $0.weight < minP }) {
      candidates.removeLast(candidates.count - max(1, end))
    }
    return candidates
  }
}

/// Goes on with a text, token by token.
///
/// ```swift
/// var generator = SeededGenerator(seed: 1)
/// for id in Continuation(of: ids, by: model, limit: 100, using: &generator) { … }
/// ```
public struct Continuation<Generator: RandomNumberGenerator>: Sequence, IteratorProtocol {
  private let model: any LanguageModel
  private let options: SamplingOptions
  private let ends: Set<Int>
  private let cache: KeyValueCache
  private var generator: Generator
  private var unread: [Int]
  private var left: Int
  /// The prompt and what was written so far.
  public private(set) var ids: [Int]

  /// - Parameters:
  ///   - ids: what it goes on from.
  ///   - model: the decoder.
  ///   - limit: the most tokens to write; fewer where the model's positions are used up.
  ///   - options: how each token is drawn.
  ///   - ends: tokens that end the text; they are not given out.
  ///   - cache: what was read of `ids` already, with room for all that comes; by default nothing.
  ///   - generator: where random numbers come from.
  public init(
    of ids: [Int], by model: some LanguageModel, limit: Int, options: SamplingOptions = SamplingOptions(),
    ends: Set<Int> = [], cache: KeyValueCache? = nil, using generator: Generator
  ) {
    expect(
      !ids.isEmpty && ids.count <= model.positions, "Continuation: \(ids.count) tokens, of 1 to \(model.positions)")
    self.model = model
    self.options = options
    self.ends = ends
    self.ids = ids
    self.generator = generator
    unread = Array(ids.dropFirst(cache?.count ?? 0))
    left = Swift.min(limit, model.positions - ids.count)
    self.cache = cache ?? KeyValueCache(for: model, capacity: ids.count + left)
  }

  public mutating func next() -> Int? {
    guard left > 0 else { return nil }
    left -= 1
    let id = options.draw(model.nextLogits(unread, cache: cache), after: ids, using: &generator)
    guard !ends.contains(id) else {
      left = 0
      return nil
    }
    unread = [id]
    ids.append(id)
    return id
  }
}
