// What an adapter does to one module: the adapter value of the whole library.

import LoRAFiles
import LoRATensors

/// A module's path and what a method makes of its weight.
public struct StoredModule: Sendable {
  /// As the adapter's file has it, without peft's prefix.
  public var path: String
  /// What becomes of the module's weight and bias.
  public var method: any AdapterMethod

  /// A method on the module at `path`.
  public init(path: String, method: any AdapterMethod) {
    self.path = path
    self.method = method
  }

  /// A LoRA.
  public init(
    path: String, a: StoredTensor, b: StoredTensor, outputBias: StoredTensor? = nil, isEmbedding: Bool = false,
    alpha: Double, scaling: Scaling = .standard
  ) {
    self.init(
      path: path,
      method: StoredLoRA(
        a: a, b: b, outputBias: outputBias, isEmbedding: isEmbedding, alpha: alpha, scaling: scaling))
  }

  /// The rank of its factors; 0 where the method has none.
  public var rank: Int { method.rank }
  /// Whether peft's `target_modules` chooses it.
  public var isTargeted: Bool { type(of: method).isTargeted }
  /// What BA is multiplied by.
  public var scale: Double { method.scale }
  /// What its files hold of it, in the method's order.
  public var tensors: [StoredTensor] { method.tensors.map(\.tensor) }
  /// Whether it goes to a table of which rows are looked up.
  public var isEmbedding: Bool { if case .embedding = method.shape { true } else { false } }

  /// A, B and α where it is a plain LoRA; nil for every other method.
  public var lora: StoredLoRA? {
    get { method as? StoredLoRA }
    set { if let newValue { method = newValue } }
  }

  /// Rows of the update; 0 where the weight decides.
  public var outputs: Int {
    switch method.shape {
    case .matrix(let outputs, _, _), .embedding(let outputs, _), .outputs(let outputs), .rows(let outputs): outputs
    case .same(let shape): shape.first ?? 1
    case .inputs: 0
    }
  }

  /// Columns of the update, a convolution's kernel counted in; 0 where the weight decides.
  public var inputs: Int {
    switch method.shape {
    case .matrix(_, let inputs, _), .embedding(_, let inputs), .inputs(let inputs): inputs
    case .same(let shape): shape.dropFirst().reduce(1, *)
    case .outputs, .rows: 0
    }
  }
}
