import LoRATensors

extension Module {
  /// The matrices that vectors are multiplied by: the weights of linear layers, and an embedding that is an output layer.
  public var multiplyingWeights: [Parameter] {
    modules.flatMap { item -> [Parameter] in
      switch item.module {
      case let layer as any MatrixLayer: [layer.weight]
      case let module as any OutputEmbedding: [module.outputEmbedding].compactMap(\.self)
      default: []
      }
    }
  }
}

/// A layer that multiplies by one matrix.
public protocol MatrixLayer: Layer {
  /// The matrix, in the layer's layout.
  var weight: Parameter { get }
}

extension Linear: MatrixLayer {}
extension Conv1D: MatrixLayer {}

/// A module whose output layer may be its input embedding.
public protocol OutputEmbedding: Module {
  /// The embedding, where vectors are multiplied by it; else nil.
  var outputEmbedding: Parameter? { get }
}

extension Parameter {
  /// Whether what is stored is bfloat16.
  public var isBFloat16: Bool { original.isBFloat16 }

  /// In which numbers products with what is stored are computed.
  public var precision: Precision { original.precision }

  /// Rounds what is stored to bfloat16, where it is not that yet; `linear` then rounds its input too, and sums in float32.
  /// Parametrizations stay as they are. For frozen weights: an optimizer's first change makes it float32 again.
  ///
  /// A number changes by up to 2⁻⁹ of itself, so this is for a model that is used, not for one that is folded and saved.
  public func multiplyInBFloat16() { original = original.inBFloat16 }

  /// Whether what is stored lies in blocks of few bits, which can be multiplied as bytes.
  public var isInBlocks: Bool { original.isInBlocks }

  /// Has `linear` round its input to 8 bits where what is stored lies in blocks (`Tensor.inBytes`); a gradient is that of
  /// the exact map.
  public func multiplyInBytes() { original = original.inBytes }
}
