// How the frequencies of rotary positions (Su et al. 2021) are derived, and stretched so that a model reads longer texts
// than it was trained on: pair i of a head's elements turns by θᵢ = base^(−2i/size) a position.
import Foundation

/// The `rope_parameters` (or, in older files, `rope_scaling`) of a config.json.
struct RotaryScaling {
  private enum Kind {
    case none
    /// Every frequency divided by the factor (Chen et al. 2023).
    case linear(factor: Double)
    /// Llama 3.1: low frequencies are divided, high ones kept, those between mixed by their turns over the original
    /// context.
    case llama3(factor: Double, low: Double, high: Double, originalPositions: Double)
    /// YaRN (Peng et al. 2023, section 3.2): the same with a ramp over the pairs, between those that turn `fast` and
    /// `slow` times over the original context.
    case yarn(factor: Double, fast: Double, slow: Double, originalPositions: Double, isRounded: Bool)
  }

  private let base: Double
  private let kind: Kind
  /// What cosines and sines are multiplied by (YaRN, section 3.4: a temperature of the attention).
  let scale: Float
  /// How many positions the stretching is made for; 0 where the configuration's own number holds.
  let stretchedPositions: Int

  init(_ json: ModelConfiguration) throws {
    // Newer files hold everything in `rope_parameters`.
    let parameters = try json.object("rope_parameters")
    let scaling = try parameters ?? json.object("rope_scaling")
    base = try (parameters ?? json).positive("rope_theta", default: json.positive("rope_theta", default: 10000))
    try (parameters ?? json).require("partial_rotary_factor", 1, 1.0)
    var (scale, stretchedPositions): (Float, Int) = (1, 0)
    switch try scaling?.text("rope_type") ?? scaling?.text("type") ?? "default" {
    case "default": kind = .none
    // The frequencies change beyond the configuration's positions, which are not exceeded here.
    case "dynamic": kind = .none
    case "linear": kind = .linear(factor: try scaling!.positive("factor"))
    case "llama3":
      kind = .llama3(
        factor: try scaling!.positive("factor"), low: try scaling!.positive("low_freq_factor"),
        high: try scaling!.positive("high_freq_factor"),
        originalPositions: try RotaryScaling.originalPositions(scaling!, json))
    case "yarn":
      let original = try RotaryScaling.originalPositions(scaling!, json)
      let factor = try scaling!.positive(
        "factor", default: Double(json.integer("max_position_embeddings", default: 2048)) / original)
      kind = .yarn(
        factor: factor, fast: try scaling!.positive("beta_fast", default: 32),
        slow: try scaling!.positive("beta_slow", default: 1), originalPositions: original,
        isRounded: try scaling!.flag("truncate", default: true))
      scale = Float(try RotaryScaling.attentionFactor(scaling!, factor: factor))
      stretchedPositions = Int(min(factor * original, 1e9))
    case let type:
      throw scaling!.unsupported("rope_type", .string(type), supported: "default, linear, dynamic, llama3, yarn")
    }
    (self.scale, self.stretchedPositions) = (scale, stretchedPositions)
  }

  /// The positions that the model was first trained with.
  private static func originalPositions(_ scaling: ModelConfiguration, _ json: ModelConfiguration) throws -> Double {
    let name = "original_max_position_embeddings"
    // Some models hold it outside, and that one counts; without it transformers takes the positions themselves.
    if let outside = json.json[name], !outside.isNull { return Double(try json.integer(name)) }
    return try scaling.positive(name, default: Double(json.integer("max_position_embeddings", default: 2048)))
  }

  private static func attentionFactor(_ scaling: ModelConfiguration, factor: Double) throws -> Double {
    func temperature(_ weight: Double) -> Double { factor <= 1 ? 1 : 0.1 * weight * log(factor) + 1 }
    let given = try scaling.number("attention_factor", default: 0)
    if given != 0 { return given }
    let (one, all) = (try scaling.number("mscale", default: 0), try scaling.number("mscale_all_dim", default: 0))
    return one != 0 && all != 0 ? temperature(one) / temperature(all) : temperature(1)
  }

  /// By pair of a head's elements, radians a position.
  func frequencies(headSize: Int) -> [Float] {
    (0..<(headSize / 2)).map { pair in
      let frequency = pow(base, -Double(2 * pair) / Double(headSize))
      switch kind {
      case .none: return Float(frequency)
      case .linear(let factor): return Float(frequency / factor)
      case .llama3(let factor, let low, let high, let originalPositions):
        let turns = originalPositions * frequency / (2 * .pi)  // over the original context
        if turns > high { return Float(frequency) }
        if turns < low { return Float(frequency / factor) }
        let share = (turns - low) / (high - low)
        return Float((1 - share) * frequency / factor + share * frequency)
      case .yarn(let factor, let fast, let slow, let originalPositions, let isRounded):
        // The pair, as a number that need not be whole, that turns so many times over the original context.
        func place(_ turns: Double) -> Double {
          Double(headSize) * log(originalPositions / (turns * 2 * .pi)) / (2 * log(base))
        }
        let low = max(isRounded ? place(fast).rounded(.down) : place(fast), 0)
        let high = min(isRounded ? place(slow).rounded(.up) : place(slow), Double(headSize - 1))
        let ramp = (Double(pair) - low) / (high == low ? 0.001 : high - low)
        let stretched = min(max(ramp, 0), 1)
        return Float(frequency / factor * stretched + frequency * (1 - stretched))
      }
    }
  }
}
