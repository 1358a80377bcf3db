import LoRANetworks
import LoRATensors

/// A weight or bias that an adapter brings whole (peft's `modules_to_save`): the layer sees it in the place of what is
/// stored, which stays.
public final class Replacement: Adapter {
  /// What is seen, of the shape of what is stored; trainable.
  public let parameter: Parameter
  public let name: String
  public var isEnabled = true
  private let layout: Parameter.Layout

  /// - Parameters:
  ///   - original: what is replaced.
  ///   - value: what is seen; by default what the parameter shows now.
  ///   - name: the adapter's name.
  public init(of original: Parameter, value: Tensor? = nil, name: String = "default") {
    expect(
      value == nil || value!.shape == original.shape,
      "Replacement: a tensor of shape \(value?.shape ?? []) for a parameter of shape \(original.shape)")
    parameter = Parameter(value ?? original.value.detached, layout: original.layout)
    layout = original.layout
    self.name = name
  }

  private init(_ parameter: Parameter, _ name: String) {
    (self.parameter, self.name, self.layout) = (parameter, name, parameter.layout)
  }

  public func value(of original: Tensor) -> Tensor { parameter.value }

  public func adjust(output: Tensor, input: Tensor, weight: () -> Tensor) -> Tensor {
    layout == .outputsByInputs ? input.linear(parameter.value) : input.matmul(parameter.value)
  }

  public func copy() -> Replacement { Replacement(parameter.copy(), name) }
}
