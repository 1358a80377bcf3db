extension Tensor {
  /// `function` of this value, of which only the input is kept: what lies between is computed again when a gradient is
  /// asked for (Chen et al. 2016, activation checkpointing). Less memory for the time of a second forward pass.
  ///
  /// The gradient reaches this value and every leaf that the function uses, such as the parameters of a layer. The
  /// function must give the same result both times.
  public func recomputing(_ function: @escaping (Tensor) -> Tensor) -> Tensor {
    let leaf = isTracked ? asLeaf : self
    let result = function(leaf)
    guard let root = result.node else { return result }
    let leaves = root.leaves.filter { $0 !== leaf.node }
    let gradients = Derivative.recomputed(Derivative.Recomputed(input: detached, leaves: leaves, function: function))
    var inputs = leaves.indices.map { Node.Input(node: leaves[$0], pullback: gradients.pullback(of: $0)) }
    if let node { inputs.append(Node.Input(node: node, pullback: gradients.pullback(of: leaves.count))) }
    return Tensor(storage: result.storage, shape: result.shape, node: Node(.recompute, inputs))
  }
}

extension Node {
  /// The leaves that this node depends on.
  fileprivate var leaves: [Node] {
    var leaves: [Node] = []
    var seen: Set<ObjectIdentifier> = [ObjectIdentifier(self)]
    var pending = [self]
    while let next = pending.popLast() {
      if next.operation == nil { leaves.append(next) }
      for input in next.inputs where seen.insert(ObjectIdentifier(input.node)).inserted { pending.append(input.node) }
    }
    return leaves
  }
}
