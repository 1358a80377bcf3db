import Foundation
import LoRAFiles
import LoRAFormats
import LoRANetworks
import LoRATensors

extension Transformer {
  /// The transformer in a Hugging Face folder, of whichever kind its config.json says, with or without a head, which is
  /// left out.
  ///
  /// - Throws: `CheckpointError` where the kind, a configuration value or a tensor is not supported.
  public convenience init(contentsOf folder: URL) throws {
    let checkpoint = try Checkpoint(folder)
    let description = try TransformerDescription(ModelConfiguration(checkpoint))
    let weights = Weights(checkpoint, prefix: description.names[.body]!)
    self.init(weights[description.names[.body]!], description)
    try weights.finish { name in
      description.isIgnorable(name, in: weights) || description.head.modules.contains { name.hasPrefix("\($0).") }
    }
  }
}

extension Transformer {
  /// What the modules that make queries and values are called: LoRA's first targets (Hu et al. 2021, section 4.2).
  public var attentionTargets: [String] {
    [.query, .value, .queryKeyValue].compactMap { part in
      description.names[part]?.split(separator: ".").last.map(String.init)
    }
  }
}

extension TransformerDescription {
  /// Whether a stored tensor may be left: a buffer, or one of the head of another task.
  func isIgnorable(_ name: String, in weights: Weights) -> Bool {
    if buffers.contains(where: name.hasSuffix) { return true }
    return !weights.isHeadless && !name.hasPrefix("\(names[.body]!).")
      && !head.modules.contains { name.hasPrefix("\($0).") }
  }

  /// A norm of this kind from a checkpoint.
  func norm(_ weights: Weights, size: Int) -> any Layer {
    switch norm {
    case .rootMeanSquare(let offset): RMSNorm(weights, size: size, epsilon: epsilon, offset: offset)
    case .layer(let hasBias): LayerNorm(weights, size: size, epsilon: epsilon, bias: hasBias)
    }
  }

  /// How many segments a text may have; a model without vectors for them doesn't mind.
  var knownSegments: Int { names[.segments] == nil ? .max : segments }
}
