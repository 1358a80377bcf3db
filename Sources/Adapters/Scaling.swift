// The one place of the α/r formula.

/// How the product B A is scaled.
public enum Scaling: String, Sendable, Codable, CaseIterable {
  /// α / r (Hu et al., 2021, section 4.1).
  case standard
  /// α / √r (Kalajdzievski, 2023: rank-stabilised LoRA).
  case rankStabilized

  /// What B A is multiplied by.
  public func scale<Number: FloatingPoint>(rank: Int, alpha: Number) -> Number { alpha / divisor(rank) }

  /// The α that gives `scale` at `rank`.
  public func alpha<Number: FloatingPoint>(scale: Number, rank: Int) -> Number { scale * divisor(rank) }

  private func divisor<Number: FloatingPoint>(_ rank: Int) -> Number {
    self == .standard ? Number(rank) : Number(rank).squareRoot()
  }
}
