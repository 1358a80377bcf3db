import Foundation
import LoRAFormats
import LoRANetworks
import LoRATensors

/// A transformer that predicts the next token: `LlamaForCausalLM` and its kin.
public final class TransformerDecoder: LanguageModel {
  /// The transformer below the output layer.
  public let body: Transformer
  let outputProjection: Linear?

  package init(_ checkpoint: Checkpoint, _ json: ModelConfiguration) throws {
    let description = try TransformerDescription(json, as: .decoder)
    let bodyName = description.names[.body]!
    let outputName = description.names[.outputProjection]!
    let weights = Weights(checkpoint, prefix: bodyName)
    body = Transformer(weights[bodyName], description)
    let isTied = description.isTied && weights.tiesOutput("\(outputName).weight")
    outputProjection =
      isTied
      ? nil
      : Linear(weights[outputName], inputs: description.hidden, outputs: description.vocabulary, bias: false)
    try weights.finish { name in
      description.buffers.contains(where: name.hasSuffix) || isTied && name == "\(outputName).weight"
    }
  }

  public func pathComponent(ofProperty property: String) -> String {
    TransformerPart(rawValue: property).flatMap { body.description.names[$0] } ?? property
  }

  public var vocabulary: Int { body.description.vocabulary }
  public var positions: Int { body.description.positions }
  public var cacheShape: (layers: Int, heads: Int, size: Int) {
    (body.description.layers, body.description.keyHeads, body.description.headSize)
  }
  public var recomputes: Bool {
    get { body.recomputes }
    set { body.recomputes = newValue }
  }
  public var logitRule: LogitRule { body.description.logits }

  /// Where it is tied to the table of tokens, what is attached there acts on that alone, as in peft.
  public var outputEmbedding: Parameter? { outputProjection == nil ? body.tokens.weight : nil }
  public var outputWeight: Tensor { outputProjection?.weight.value ?? body.tokens.weight.stored }

  /// An adapter of the output layer acts on the logits; its sum with a weight of that size is not formed.
  public func logits(of hidden: Tensor) -> Tensor {
    logitRule.logits(
      outputProjection?(hidden) ?? body.tokens.weight.mappingRows(hidden) { $0.linear(outputWeight) })
  }

  public func hiddenStates(_ tokens: TokenRows, cache: KeyValueCache?) -> Tensor { body(tokens, cache: cache) }
}
