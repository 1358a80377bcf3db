// A stored method on a model in memory, as it is: for methods that are applied here and not trained.

import LoRAFiles
import LoRANetworks
import LoRATensors

/// Lets a layer see what a stored method makes of its weight, which is frozen.
public final class FixedAdapter: StorableAdapter {
  public let name: String
  public var isEnabled = true
  private let method: any AdapterMethod
  private let transform: any WeightTransform
  private let layout: Parameter.Layout

  /// - Throws: `CheckpointError` where the method does not fit the weight.
  public init(_ method: any AdapterMethod, on weight: Parameter, named name: String) throws {
    let original = weight.original
    self.method = method
    self.name = name
    layout = weight.layout
    transform = try method.transform(
      of: WeightMatrix(shape: original.shape, isTransposed: layout == .inputsByOutputs) {
        original.sliced(axis: 0, $0)
      })
  }

  private init(_ other: FixedAdapter) {
    (method, transform, layout, name) = (other.method, other.transform, other.layout, other.name)
    isEnabled = other.isEnabled
  }

  public var description: String { described(method.name) }
  public func value(of original: Tensor) -> Tensor { transform(original.detached, rows: 0..<original.shape[0]) }

  public func adjust(output: Tensor, input: Tensor, weight: () -> Tensor) -> Tensor {
    let value = value(of: weight())
    return layout == .outputsByInputs ? input.linear(value) : input.matmul(value)
  }

  public func stored(for weight: Parameter, isEmbedding: Bool) throws -> any AdapterMethod { method }
  public func copy() -> FixedAdapter { FixedAdapter(self) }
}

/// Lets a layer see what a stored method makes of its bias, which is frozen.
public final class FixedBias: Adapter {
  public let name: String
  public var isEnabled = true
  private let changed: Tensor

  /// - Throws: `CheckpointError` where the method does not fit the bias; `nil` where it leaves biases alone.
  public init?(_ method: any AdapterMethod, on bias: Parameter, named name: String) throws {
    guard let changed = try method.bias(bias.original.detached) else { return nil }
    (self.changed, self.name) = (changed, name)
  }

  private init(_ other: FixedBias) { (changed, name, isEnabled) = (other.changed, other.name, other.isEnabled) }

  public func value(of original: Tensor) -> Tensor { changed }
  /// A bias is no linear map; layers see its value.
  public func adjust(output: Tensor, input: Tensor, weight: () -> Tensor) -> Tensor { output }
  public func copy() -> FixedBias { FixedBias(self) }
}
