import LoRAFiles
import LoRANetworks
import LoRATensors

/// A parametrization that adapts a frozen weight, known by a name and switched on and off.
public protocol Adapter: LinearParametrization, CopyableModule {
  /// Which of several adapters on one model this belongs to; "default" where there is one.
  var name: String { get }
  var isEnabled: Bool { get set }
}

/// How the product B A is scaled.
public enum Scaling: String, Sendable, Codable, CaseIterable {
  /// α / r (Hu et al., 2021, section 4.1).
  case standard
  /// α / √r (Kalajdzievski, 2023: rank-stabilised LoRA).
  case rankStabilized

  public func scale(rank: Int, alpha: Float) -> Float {
    switch self {
    case .standard: alpha / Float(rank)
    case .rankStabilized: alpha / Float(rank).squareRoot()
    }
  }
}
