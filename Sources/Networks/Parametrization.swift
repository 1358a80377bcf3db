import LoRATensors

/// A function between what a parameter stores and what its layer sees, attached from outside.
///
/// PyTorch's `torch.nn.utils.parametrize`, without rewriting the layer's class: neither the layer's `init` nor its
/// call changes. A parametrization is itself a module, so its own parameters reach the optimizer and the checkpoint by
/// the same walk.
///
/// ```swift
/// final class Symmetric: Parametrization {
///   func value(of x: Tensor) -> Tensor { (x + x.transposed()) / 2 }
/// }
/// layer.weight.parametrize(by: Symmetric())
/// ```
public protocol Parametrization: Module {
  /// What the layer sees, from what is stored or from the previous link of the chain. Keeps the shape.
  func value(of original: Tensor) -> Tensor
  /// Whether this link takes part; a type that declares `var isEnabled = true` can be switched.
  var isEnabled: Bool { get }
}

extension Parametrization {
  public var isEnabled: Bool { true }
}

/// A parametrization for which a wanted value can be turned into one to store, so that a parametrized parameter can
/// be assigned to.
public protocol InvertibleParametrization: Parametrization {
  /// An `original` with value(of: original) equal to `value`, or nearest to it. Throws where there is none.
  func rightInverse(of value: Tensor) throws -> Tensor
}

/// A parametrization that can adjust the output of a linear map instead of its weight.
///
/// For W + sBA this is x Wᵀ + s (x Aᵀ) Bᵀ: the sum of weights is never formed, and the gradient of the whole weight
/// never computed. Both ways give the same result.
public protocol LinearParametrization: Parametrization {
  /// The output for the value of this link, from the output for the previous one.
  /// - Parameters:
  ///   - output: the linear map without bias, [rows, outputs]; its memory is the link's to use again.
  ///   - input: [rows, inputs].
  ///   - weight: the value of the previous link, [outputs, inputs], formed where it is called.
  func adjust(output: consuming Tensor, input: Tensor, weight: () -> Tensor) -> Tensor
}

/// A parametrization that can adjust rows that were looked up in a table [inputs, outputs] instead of the table.
public protocol RowParametrization: Parametrization {
  /// The rows of this link's value at `indices`, from those of the previous link, [indices, outputs].
  func adjust(rows: Tensor, at indices: [Int]) -> Tensor
}

/// Why a parametrization can't be attached, assigned through or taken off.
public enum ParametrizationError: DescribedError {
  /// A value of the parametrization has another shape than what is stored.
  case shapeChanges(parametrization: String, from: [Int], to: [Int])
  /// An assignment met a parametrization that is no ``InvertibleParametrization``.
  case notInvertible(parametrization: String)
  /// The assigned tensor has another shape than the parameter.
  case assignedShape(found: [Int], expected: [Int])
  /// What is to be taken off is not on this parameter.
  case notAttached(parametrization: String)

  public var subject: String { "" }

  public var problem: String {
    switch self {
    case .shapeChanges(let name, let from, let to):
      "\(name) turns a parameter of shape \(from) into \(to); a parametrization must keep the shape"
    case .notInvertible(let name):
      "\(name) has no right inverse, so a parameter that it parametrizes can't be assigned to"
    case .assignedShape(let found, let expected):
      "a tensor of shape \(found) can't be assigned to a parameter of shape \(expected)"
    case .notAttached(let name):
      "this \(name) is not among the parameter's parametrizations"
    }
  }

  public var advice: Advice {
    switch self {
    case .shapeChanges: "Return a tensor of the shape that came in"
    case .notInvertible(let name): "Assign to `original`, or conform \(name) to InvertibleParametrization"
    case .assignedShape: "Assign one of that shape"
    case .notAttached: "Ask the parameter for its parametrizations"
    }
  }
}
