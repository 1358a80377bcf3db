// One layer: attention (Vaswani et al. 2017, section 3.2) and a feed-forward part, each added to what came in.

import LoRANetworks
import LoRATensors

/// A layer of a `Transformer`. A part is present where the description has a name for it.
final class TransformerLayer: Module {
  let attentionNorm: (any Layer)?
  let query: (any Layer)?  // [heads · size, hidden]
  let key: (any Layer)?  // [key heads · size, hidden]
  let value: (any Layer)?  // [key heads · size, hidden]
  let queryKeyValue: (any Layer)?  // all three, one after another
  let queryNorm: (any Layer)?
  let keyNorm: (any Layer)?
  let output: any Layer  // [hidden, heads · size]
  let attentionOutputNorm: (any Layer)?
  let attentionSumNorm: (any Layer)?
  let feedForwardNorm: (any Layer)?
  let gate: (any Layer)?  // [intermediate, hidden]
  let up: (any Layer)?  // [intermediate, hidden]
  let gateUp: (any Layer)?  // both, one after another
  let down: any Layer  // [hidden, intermediate]
  let feedForwardOutputNorm: (any Layer)?
  let feedForwardSumNorm: (any Layer)?
  private let plan: TransformerPlan
  private let index: Int

  init(_ weights: Weights, _ plan: TransformerPlan, index: Int) {
    let model = plan.description
    let (queries, keys) = (model.heads * model.headSize, model.keyHeads * model.headSize)
    func norm(_ part: TransformerPart, _ size: Int? = nil) -> (any Layer)? {
      plan.norm(part, weights, size: size ?? model.hidden)
    }
    func linear(_ part: TransformerPart, _ inputs: Int, _ outputs: Int, _ hasBias: Bool) -> (any Layer)? {
      plan.linear(part, weights, inputs: inputs, outputs: outputs, bias: hasBias)
    }
    attentionNorm = index == 0 && model.firstLayerIsNormalised ? nil : norm(.attentionNorm)
    query = linear(.query, model.hidden, queries, model.hasQueryKeyValueBias)
    key = linear(.key, model.hidden, keys, model.hasQueryKeyValueBias)
    value = linear(.value, model.hidden, keys, model.hasQueryKeyValueBias)
    queryKeyValue = linear(.queryKeyValue, model.hidden, queries + 2 * keys, model.hasQueryKeyValueBias)
    queryNorm = norm(.queryNorm, model.queryKeyNorm == .allHeads ? queries : model.headSize)
    keyNorm = norm(.keyNorm, model.queryKeyNorm == .allHeads ? keys : model.headSize)
    output = linear(.output, queries, model.hidden, model.hasOutputBias)!
    (attentionOutputNorm, attentionSumNorm) = (norm(.attentionOutputNorm), norm(.attentionSumNorm))
    feedForwardNorm = norm(.feedForwardNorm)
    gate = linear(.gate, model.hidden, model.intermediate, model.hasFeedForwardBias)
    up = linear(.up, model.hidden, model.intermediate, model.hasFeedForwardBias)
    gateUp = linear(.gateUp, model.hidden, 2 * model.intermediate, model.hasFeedForwardBias)
    down = linear(.down, model.intermediate, model.hidden, model.hasFeedForwardBias)!
    (feedForwardOutputNorm, feedForwardSumNorm) = (norm(.feedForwardOutputNorm), norm(.feedForwardSumNorm))
    (self.plan, self.index) = (plan, index)
  }

  func pathComponent(ofProperty property: String) -> String { plan.path(of: property) }

  func callAsFunction(_ x: Tensor, _ place: TransformerPlace) -> Tensor {
    let attended = sum(
      x, normalised(attention(normalised(x, attentionNorm), place), attentionOutputNorm), attentionSumNorm)
    return sum(
      attended, normalised(feedForward(normalised(attended, feedForwardNorm)), feedForwardOutputNorm),
      feedForwardSumNorm)
  }

  /// In which numbers a layer's products are, and with them what is made for it.
  private func precision(of layer: any Layer) -> Precision { (layer as? any MatrixLayer)?.weight.precision ?? .float32 }

  private func normalised(_ x: Tensor, _ norm: (any Layer)?) -> Tensor { norm?(x) ?? x }

  private func sum(_ x: Tensor, _ part: Tensor, _ norm: (any Layer)?) -> Tensor {
    let scale = plan.description.residualScale
    return normalised(x + (scale == 1 ? part : part * scale), norm)
  }

  /// softmax(q kᵀ · scale) v by head, and the heads mixed.
  private func attention(_ x: Tensor, _ place: TransformerPlace) -> Tensor {
    let model = plan.description
    let choice = model.attention[index]
    var (q, k, v) = queriesKeysValues(x)
    if model.queryKeyNorm == .allHeads { (q, k) = (normalised(q, queryNorm), normalised(k, keyNorm)) }
    func heads(_ x: Tensor) -> Tensor {
      x.reshaped([x.shape[0], x.shape[1] / model.headSize, model.headSize])
    }
    (q, k, v) = (heads(q), heads(k), heads(v))
    if model.queryKeyNorm == .eachHead { (q, k) = (normalised(q, queryNorm), normalised(k, keyNorm)) }
    if let rotary = choice.rotary {
      let table = place.rotary[rotary]
      (q, k) = (q.rotated(by: table, at: place.positions), k.rotated(by: table, at: place.positions))
    }
    var rule = AttentionRule(isCausal: model.isCausal)
    (rule.window, rule.scale, rule.cap) = (choice.window, choice.scale, model.attentionCap)
    rule.precision = precision(of: output)
    var keys: Packing?
    if let cache = place.cache {
      (k, v) = cache.append(k, v, layer: index)
      keys = Packing(lengths: [cache.count + place.packing.rows])
    }
    let attended = Tensor.attention(
      query: q, key: k, value: v, queries: place.packing, keys: keys, rule: rule, bias: place.bias)
    return output(attended.reshaped([x.shape[0], model.heads * model.headSize]))
  }

  private func queriesKeysValues(_ x: Tensor) -> (query: Tensor, key: Tensor, value: Tensor) {
    guard let queryKeyValue else {
      let each = outputs(of: [query!, key!, value!], for: x)
      return (each[0], each[1], each[2])
    }
    let model = plan.description
    let (queries, keys) = (model.heads * model.headSize, model.keyHeads * model.headSize)
    let together = queryKeyValue(x)
    func part(_ start: Int, _ count: Int) -> Tensor { together.sliced(axis: 1, start..<(start + count)) }
    return (part(0, queries), part(queries, keys), part(queries + keys, keys))
  }

  /// W₂ f(W₁ x), or with a gate W₂ (f(W_gate x) ∘ W_up x) (Shazeer 2020).
  private func feedForward(_ x: Tensor) -> Tensor {
    let model = plan.description
    let precision = precision(of: down)
    func activated(_ x: Tensor, gate: Tensor? = nil) -> Tensor { model.activation(x, gate: gate, kept: precision) }
    if let gateUp {
      let both = gateUp(x)
      func part(_ range: Range<Int>) -> Tensor { both.sliced(axis: 1, range) }
      return down(activated(part(0..<model.intermediate), gate: part(model.intermediate..<(2 * model.intermediate))))
    }
    guard let gate else { return down(activated(up!(x))) }
    let both = outputs(of: [gate, up!], for: x)
    return down(activated(both[0], gate: both[1]))
  }
}
