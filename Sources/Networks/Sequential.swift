import LoRATensors

/// A module that makes one tensor of one tensor.
public protocol Layer: Module {
  /// What the layer makes of x.
  func callAsFunction(_ x: Tensor) -> Tensor
}

/// Layers one after another.
///
/// ```swift
/// let model = Sequential(
///   Conv2d(inputs: 1, outputs: 8, kernel: 3, padding: 1, using: &generator), Activation.relu, MaxPool2d(2), Flatten(),
///   Linear(inputs: 8 * 14 * 14, outputs: 10, using: &generator))
/// let logits = model(images)  // [n, 1, 28, 28] → [n, 10]
/// ```
/// Parameters are named by the layer's place, as PyTorch names them: `0.weight`, `4.bias`.
public final class Sequential: Layer, CopyableModule {
  /// In the order in which they run.
  public let layers: [any Layer]

  /// Layers as arguments.
  public init(_ layers: any Layer...) { self.layers = layers }
  /// Layers that were made elsewhere.
  public init(_ layers: [any Layer]) { self.layers = layers }

  /// Nothing: a layer is named by its place alone.
  public static func pathComponent(ofProperty property: String) -> String { "" }

  /// x through every layer in turn.
  public func callAsFunction(_ x: Tensor) -> Tensor { layers.reduce(x) { $1($0) } }

  /// A sequence of copies.
  ///
  /// - Precondition: every layer is a `CopyableModule`.
  public func copy() -> Sequential {
    Sequential(
      layers.map { layer in
        guard let copyable = layer as? any CopyableModule & Layer else {
          fatalError("copy: \(type(of: layer)) is a layer and no CopyableModule")
        }
        return copyable.copy()
      })
  }
}

/// A layer without parameters: a function of a tensor.
///
/// ```swift
/// Sequential(first, Activation.gelu, second, Activation { $0.clamped(to: -1...1) })
/// ```
public final class Activation: Layer, CopyableModule {
  private let function: (Tensor) -> Tensor

  /// A layer that applies `function`.
  public init(_ function: @escaping (Tensor) -> Tensor) { self.function = function }

  /// max(x, 0).
  public static var relu: Activation { Activation { $0.relu() } }
  /// x Φ(x).
  public static var gelu: Activation { Activation { $0.gelu() } }
  /// x σ(x).
  public static var silu: Activation { Activation { $0.silu() } }
  /// The hyperbolic tangent.
  public static var tanh: Activation { Activation { $0.tanh() } }
  /// 1 / (1 + e⁻ˣ).
  public static var sigmoid: Activation { Activation { $0.sigmoid() } }
  /// ln(1 + eˣ).
  public static var softplus: Activation { Activation { $0.softplus() } }

  /// The function of x.
  public func callAsFunction(_ x: Tensor) -> Tensor { function(x) }

  /// Itself: there is nothing to copy.
  public func copy() -> Activation { self }
}
