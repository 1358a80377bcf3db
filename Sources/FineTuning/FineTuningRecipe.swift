import LoRAAdapters
import LoRAFormats
import LoRANetworks
import LoRATensors
import LoRATraining

/// What is trained on a base model: an adapter of some kind, or every parameter.
public struct FineTuningRecipe: Sendable {
  /// What becomes of the base's weights: an adapter's form, or `full`, every parameter trained.
  public enum Method: String, Sendable, CaseIterable {
    /// W + (α/r) B A.
    case lora
    /// W + (α/√r) B A.
    case rslora
    /// Direction by LoRA, length by row of its own.
    case dora
    /// LoRA from the weight's largest singular values.
    case pissa
    /// LoRA from the first columns of the weight's QR decomposition.
    case olora
    /// Every parameter, no adapter.
    case full
  }

  /// The form.
  public var method = Method.lora
  /// r of every adapter, 1 to the smaller side of each weight.
  public var rank = 8
  /// α: B A is multiplied by α/r, or α/√r with `rslora`.
  public var alpha: Float = 16
  /// The probability with which an element of an adapter's input is dropped in training.
  public var dropout: Float = 0
  /// Where adapters go; all linear layers but the one that makes logits, by default.
  public var targets: Targets = .allLinear
  /// Modules that are trained whole beside the adapter (a new classifier), by path.
  public var wholeModules: [String] = []
  /// Which biases are trained beside the adapter.
  public var bias = PEFTConfiguration.Bias.none
  /// What B's learning rate is multiplied by (LoRA+, Hayou et al. 2024).
  public var rateRatio: Float = 1

  /// A LoRA of rank 8 and α 16 on all linear layers.
  public init() {}

  /// The adapter; nil where every parameter is trained.
  public var adapter: LoRAConfiguration? {
    var configuration = LoRAConfiguration(rank: rank, alpha: alpha, dropout: dropout)
    switch method {
    case .full: return nil
    case .lora: break
    case .rslora: configuration.scaling = .rankStabilized
    case .dora: configuration.form = .dora
    case .pissa: configuration.form = .starting(.pissa)
    case .olora: configuration.form = .starting(.olora)
    }
    return configuration
  }

  /// Puts the adapter on the model and leaves only what is to be trained trainable.
  public func prepare(_ model: some Module, using generator: inout some RandomNumberGenerator) throws {
    guard let adapter else { return model.setTrainable(true) }
    // As in peft, all linear maps are those but the last one, which makes logits.
    let last = model.adaptableWeights.map(\.path).filter { wholeModules.contains($0) || $0 == "lm_head" }
    let attached = try model.attach(
      adapter, to: targets, excluding: targets == .allLinear && !last.isEmpty ? .names(last) : nil, using: &generator)
    let adapted = Set(attached.map(\.path))
    let wholePaths = Set(wholeModules)
    for item in model.parameters {
      let path = item.name.split(separator: ".").dropLast().joined(separator: ".")
      let isTrainedBias = item.name.hasSuffix(".bias") && (bias == .all || bias == .loraOnly && adapted.contains(path))
      if wholePaths.contains(path) || isTrainedBias {
        try item.parameter.parametrize(by: Replacement(of: item.parameter))
      }
    }
  }

  /// What is trained otherwise than the rest of `parameters`.
  public func groups(of parameters: [NamedParameter]) throws -> [ParameterGroup] {
    guard rateRatio != 1, adapter != nil else { return [] }
    return [
      ParameterGroup(try parameters.matching(.pattern(#".*\.parametrizations\..*\.b"#)), rateMultiplier: rateRatio)
    ]
  }
}
