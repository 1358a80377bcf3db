// Reverse-mode differentiation, define-by-run.
//
// A tensor that takes part in a gradient carries a `Node`: which operation made it and, for each input that needs a
// gradient (and only those), the pullback that turns the gradient of the output into that of the input.
//
// Invariants:
// - A node refers to earlier nodes only, and its depth is greater than theirs: descending depth is an order in which
//   every node is complete before it is used.
// - A pullback captures detached tensors only. So a graph has no cycles, and differentiating records nothing.

/// Turns the gradient of an operation's output into the gradient of one of its inputs.
package typealias Pullback = @Sendable (_ outputGradient: Tensor) -> Tensor

package final class Node: @unchecked Sendable {
  package struct Input: Sendable {
    let node: Node
    let pullback: Pullback
  }

  /// Nil for a leaf: a value that a gradient is asked for.
  package let operation: Operation?
  let depth: Int
  /// Set once; emptied only while the node is being released.
  private(set) var inputs: [Input]

  init() {
    (operation, depth, inputs) = (nil, 0, [])
  }

  init(_ operation: Operation, _ inputs: [Input]) {
    self.operation = operation
    self.depth = 1 + (inputs.map(\.node.depth).max() ?? 0)
    self.inputs = inputs
  }

  /// Releases what only this node holds one by one: a graph may be deeper than the stack.
  deinit {
    var pending = inputs.map(\.node)
    inputs = []
    while var node = pending.popLast() {
      guard isKnownUniquelyReferenced(&node) else { continue }
      pending += node.inputs.map(\.node)
      node.inputs = []
    }
  }
}

extension Tensor {
  /// Whether this value depends on one that a gradient is asked for.
  public var isTracked: Bool { node != nil }
  /// The same value without its history: a constant.
  public var detached: Tensor { node == nil ? self : Tensor(storage: storage, shape: shape) }
  /// The same value as a leaf, for which a gradient can be asked.
  package var asLeaf: Tensor { Tensor(storage: storage, shape: shape, node: Node()) }

  /// This value, remembered as the result of `operation` where one of the inputs is tracked.
  package func recorded(_ operation: Operation, _ a: Tensor, _ pullback: @autoclosure () -> Pullback) -> Tensor {
    guard let node = a.node else { return self }
    return Tensor(
      storage: storage, shape: shape, node: Node(operation, [.init(node: node, pullback: pullback())]))
  }

  /// The same for two inputs.
  package func recorded(
    _ operation: Operation, _ a: Tensor, _ pullbackA: @autoclosure () -> Pullback,
    _ b: Tensor, _ pullbackB: @autoclosure () -> Pullback
  ) -> Tensor {
    if a.node == nil && b.node == nil { return self }
    var inputs: [Node.Input] = []
    if let node = a.node { inputs.append(.init(node: node, pullback: pullbackA())) }
    if let node = b.node { inputs.append(.init(node: node, pullback: pullbackB())) }
    return Tensor(storage: storage, shape: shape, node: Node(operation, inputs))
  }

  /// The same for any number of inputs.
  package func recorded(_ operation: Operation, _ inputs: [Tensor], _ pullback: (_ input: Int) -> Pullback) -> Tensor {
    let links = inputs.indices.compactMap { index in
      inputs[index].node.map { Node.Input(node: $0, pullback: pullback(index)) }
    }
    return links.isEmpty ? self : Tensor(storage: storage, shape: shape, node: Node(operation, links))
  }

  /// The gradients of this scalar with respect to `leaves`; nil where it does not depend on one.
  package func gradients(at leaves: [Tensor]) -> [Tensor?] {
    let found = gradients(at: leaves.compactMap(\.node))
    var next = found.makeIterator()
    return leaves.map { $0.node == nil ? nil : next.next()! }
  }

  /// The same for the leaves' nodes.
  func gradients(at leaves: [Node]) -> [Tensor?] {
    expect(count == 1, "gradients: only a scalar has gradients, found shape \(shape)")
    guard let root = node else { return leaves.map { _ in nil } }

    var nodes: [Node] = []
    var seen: Set<ObjectIdentifier> = [ObjectIdentifier(root)]
    var pending = [root]
    while let next = pending.popLast() {
      nodes.append(next)
      for input in next.inputs where seen.insert(ObjectIdentifier(input.node)).inserted { pending.append(input.node) }
    }
    nodes.sort { $0.depth > $1.depth }

    var gradients: [ObjectIdentifier: Tensor] = [ObjectIdentifier(root): .ones(shape)]
    for node in nodes where node.operation != nil {
      // Every user of this node has been visited, so its gradient is complete and can be let go.
      guard let gradient = gradients.removeValue(forKey: ObjectIdentifier(node)) else { continue }
      for input in node.inputs {
        let contribution = input.pullback(gradient)
        if var sum = gradients.removeValue(forKey: ObjectIdentifier(input.node)) {
          sum.accumulate(contribution)
          gradients[ObjectIdentifier(input.node)] = sum
        } else {
          gradients[ObjectIdentifier(input.node)] = contribution
        }
      }
    }
    return leaves.map { gradients[ObjectIdentifier($0)] }
  }
}

/// The value of a scalar function and its gradients at `inputs`.
///
/// ```swift
/// let (loss, gradients) = valueAndGradients(at: [w]) { ($0[0] * x).sum() }
/// ```
/// An input that the value does not depend on has a gradient of zeros.
public func valueAndGradients(
  at inputs: [Tensor], of function: ([Tensor]) throws -> Tensor
) rethrows -> (value: Tensor, gradients: [Tensor]) {
  try GradientScope.within {
    let leaves = inputs.map(\.asLeaf)
    let value = try function(leaves)
    let gradients = zip(inputs, value.gradients(at: leaves)).map { $1 ?? .zeros($0.shape) }
    return (value.detached, gradients)
  }
}
