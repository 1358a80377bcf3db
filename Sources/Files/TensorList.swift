// The tensors of a file, found by their names.

/// Tensors in a stable order, no two of the same name. Names are compared by their bytes.
struct TensorList: Sendable {
  let tensors: [StoredTensor]
  private let positions: [ExactString: Int]

  /// - Precondition: no name occurs twice.
  init(_ tensors: [StoredTensor]) {
    self.tensors = tensors
    positions = Dictionary(uniqueKeysWithValues: tensors.enumerated().map { (ExactString($1.name), $0) })
  }

  subscript(name: String) -> StoredTensor? { positions[ExactString(name)].map { tensors[$0] } }
}
