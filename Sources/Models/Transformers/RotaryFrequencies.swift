// How the frequencies of rotary positions (Su et al. 2021) are derived, and stretched so that a model reads longer texts
// than it was trained on: pair i of the n elements of a head that are turned goes by θᵢ = base^(−2i/n) a position.

import Foundation
import LoRATensors

/// One kind of rotary positions: the `rope_parameters` (or, in older files, `rope_scaling`) of a config.json.
struct RotaryFrequencies {
  private enum Kind {
    case plain
    /// Every frequency divided by the factor (Chen et al. 2023).
    case linear(factor: Double)
    /// A base that grows with the length of the text, beyond so many positions (NTK-aware scaling).
    case dynamic(factor: Double, positions: Double)
    /// Llama 3.1: low frequencies are divided, high ones kept, those between mixed by their turns over the original
    /// context.
    case llama3(factor: Double, low: Double, high: Double, originalPositions: Double)
    /// YaRN (Peng et al. 2023, section 3.2): the same with a ramp over the pairs, between those that turn `fast` and
    /// `slow` times over the original context.
    case yarn(factor: Double, fast: Double, slow: Double, originalPositions: Double, isRounded: Bool)
    /// LongRoPE (Ding et al. 2024): a divisor for each pair, others for texts longer than the original context.
    case long(short: [Double], long: [Double], originalPositions: Int)
  }

  private let base: Double
  private let kind: Kind
  /// How many of a head's elements are turned.
  let turned: Int
  /// What cosines and sines are multiplied by (YaRN, section 3.4: a temperature of the attention).
  let scale: Float
  /// How many positions the stretching is made for; 0 where the configuration's own number holds.
  let stretchedPositions: Int

  /// Nothing but a base.
  init(base: Double, turned: Int) {
    (self.base, self.turned, kind, scale, stretchedPositions) = (base, turned, .plain, 1, 0)
  }

  /// - Parameters:
  ///   - json: the whole config.json.
  ///   - headSize: the length of a head's vectors.
  ///   - base: θ's where the file doesn't say.
  ///   - baseName: what a file calls it outside of `rope_parameters`.
  ///   - layers: which kind of layer it is for, in files that say it apart for each kind.
  ///   - takesFraction: whether `partial_rotary_factor` is honoured by this kind of model.
  ///   - renames: other names for kinds.
  init(
    _ json: ModelConfiguration, headSize: Int, base: Double = 10000, baseName: String = "rope_theta",
    layers: String? = nil, takesFraction: Bool = false, renames: [String: String] = [:]
  ) throws {
    let outer = try json.object("rope_parameters") ?? json.object("rope_scaling")
    var parameters = outer
    if let layers, let own = try outer?.object(layers) { parameters = own }
    let scaling = parameters ?? ModelConfiguration([:], file: json.file)
    self.base = try scaling.positive("rope_theta", default: json.positive(baseName, default: base))
    var fraction = 1.0
    if takesFraction {
      let outside = try json.positive("partial_rotary_factor", default: 1)
      fraction = try scaling.positive("partial_rotary_factor", default: outside)
    } else {
      try scaling.require("partial_rotary_factor", 1, 1.0)
    }
    turned = Int(Double(headSize) * fraction)
    guard turned % 2 == 0, (2...headSize).contains(turned) else {
      throw json.unsupported(
        takesFraction ? "partial_rotary_factor" : "head_dim", .number(fraction),
        supported: "what makes an even number of a head's \(headSize) elements turn")
    }
    let type = try scaling.text("rope_type") ?? scaling.text("type") ?? "default"
    let positions = try json.integer("max_position_embeddings", default: 2048)
    func originalPositions() throws -> Int {
      let name = "original_max_position_embeddings"
      // Some models hold it outside, and that one counts; without it transformers takes the positions themselves.
      if let outside = json.json[name], !outside.isNull { return try json.integer(name) }
      return try scaling.integer(name, default: positions)
    }
    switch renames[type] ?? type {
    case "default": (kind, scale, stretchedPositions) = (.plain, 1, 0)
    case "dynamic":
      let factor = try scaling.positive("factor")
      (kind, scale) = (.dynamic(factor: factor, positions: Double(positions)), 1)
      stretchedPositions = Int(min(factor * Double(positions), 1e9))
      guard turned > 2 else {
        throw scaling.unsupported("rope_type", "dynamic", supported: "at least four elements of a head that turn")
      }
    case "linear": (kind, scale, stretchedPositions) = (.linear(factor: try scaling.positive("factor")), 1, 0)
    case "llama3":
      kind = .llama3(
        factor: try scaling.positive("factor"), low: try scaling.positive("low_freq_factor"),
        high: try scaling.positive("high_freq_factor"), originalPositions: Double(try originalPositions()))
      (scale, stretchedPositions) = (1, 0)
    case "yarn":
      let original = Double(try originalPositions())
      let factor = try scaling.positive("factor", default: Double(positions) / original)
      kind = .yarn(
        factor: factor, fast: try scaling.positive("beta_fast", default: 32),
        slow: try scaling.positive("beta_slow", default: 1), originalPositions: original,
        isRounded: try scaling.flag("truncate", default: true))
      scale = Float(try Self.yarnScale(scaling, factor: factor))
      stretchedPositions = Int(min(factor * original, 1e9))
    case "longrope", "su":
      try scaling.require("short_mscale", 1, 1.0)
      try scaling.require("long_mscale", 1, 1.0)
      let original = try originalPositions()
      let (short, long) = (try scaling.numbers("short_factor"), try scaling.numbers("long_factor"))
      for (name, list) in [("short_factor", short), ("long_factor", long)]
      where list.count != turned / 2 || !list.allSatisfy({ $0 > 0 }) {
        throw scaling.malformed(
          name, .integer(list.count), expected: "\(turned / 2) numbers above 0, one for each pair that turns")
      }
      kind = .long(short: short, long: long, originalPositions: original)
      let factor = try scaling.positive("factor", default: Double(positions) / Double(original))
      let given = try scaling.number("attention_factor", default: 0)
      scale = Float(
        given != 0
          ? given : factor <= 1 ? 1 : (1 + Foundation.log(factor) / Foundation.log(Double(original))).squareRoot())
      stretchedPositions = 0
    default:
      throw scaling.unsupported(
        "rope_type", .string(type), supported: "default, linear, dynamic, llama3, yarn, longrope")
    }
  }

  private static func yarnScale(_ scaling: ModelConfiguration, factor: Double) throws -> Double {
    func temperature(_ weight: Double) -> Double { factor <= 1 ? 1 : 0.1 * weight * log(factor) + 1 }
    let given = try scaling.number("attention_factor", default: 0)
    if given != 0 { return given }
    let (one, all) = (try scaling.number("mscale", default: 0), try scaling.number("mscale_all_dim", default: 0))
    return one != 0 && all != 0 ? temperature(one) / temperature(all) : temperature(1)
  }

  /// Whether a text of so many tokens is turned by other frequencies than shorter ones, all of its tokens.
  func isStretched(_ length: Int) -> Bool {
    if case .long(_, _, let originalPositions) = kind { return length > originalPositions }
    return false
  }

  /// The angles of positions; the last of them says how long the text is.
  func table(positions: Range<Int>) -> RotaryTable {
    RotaryTable(frequencies: frequencies(length: positions.upperBound), positions: positions, scale: scale)
  }

  /// By pair, radians a position, for a text of so many tokens.
  func frequencies(length: Int) -> [Float] {
    var base = base
    if case .dynamic(let factor, let positions) = kind, Double(length) > positions {
      base *= pow(factor * Double(length) / positions - (factor - 1), Double(turned) / Double(turned - 2))
    }
    return (0..<(turned / 2)).map { pair in
      let frequency = pow(base, -Double(2 * pair) / Double(turned))
      switch kind {
      case .plain, .dynamic: return Float(frequency)
      case .linear(let factor): return Float(frequency / factor)
      case .long(let short, let long, let originalPositions):
        return Float(frequency / (length > originalPositions ? long : short)[pair])
      case .llama3(let factor, let low, let high, let originalPositions):
        let turns = originalPositions * frequency / (2 * .pi)  // over the original context
        if turns > high { return Float(frequency) }
        if turns < low { return Float(frequency / factor) }
        let share = (turns - low) / (high - low)
        return Float((1 - share) * frequency / factor + share * frequency)
      case .yarn(let factor, let fast, let slow, let originalPositions, let isRounded):
        // The pair, as a number that need not be whole, that turns so many times over the original context.
        func place(_ turns: Double) -> Double {
          Double(turned) * log(originalPositions / (turns * 2 * .pi)) / (2 * log(base))
        }
        let low = max(isRounded ? place(fast).rounded(.down) : place(fast), 0)
        let high = min(isRounded ? place(slow).rounded(.up) : place(slow), Double(turned - 1))
        let ramp = (Double(pair) - low) / (high == low ? 0.001 : high - low)
        let stretched = min(max(ramp, 0), 1)
        return Float(frequency / factor * stretched + frequency * (1 - stretched))
      }
    }
  }
}
