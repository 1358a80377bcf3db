import LoRAFiles
import LoRANetworks
import LoRATensors

/// A parametrization that adapts a frozen weight, known by a name and switched on and off.
public protocol Adapter: LinearParametrization, CopyableModule, CustomStringConvertible {
  /// Which of several adapters on one model this belongs to; "default" where there is one.
  var name: String { get }
  var isEnabled: Bool { get set }
}

extension Adapter {
  public var description: String { described("\(type(of: self))") }

  /// What it is, and its name where it is not the only one.
  func described(_ type: String) -> String { name == "default" ? type : "\(type) “\(name)”" }
}

/// An adapter that files can hold.
public protocol StorableAdapter: Adapter {
  /// What it is at rest, as it is now.
  ///
  /// - Parameters:
  ///   - weight: what it is attached to; of a convolution its kernel is needed.
  ///   - isEmbedding: whether the weight is a table of rows that are looked up.
  func stored(for weight: Parameter, isEmbedding: Bool) throws -> any AdapterMethod
}
