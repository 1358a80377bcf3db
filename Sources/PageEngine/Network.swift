// The digit classifier, as the page sees it: linear layers with ReLU between them, each with or without an adapter.

package struct Network {
  package var layers: [Dense]
  package var adapters: [LowRank]?
  package var scale: Float = 1

  package init(layers: [Dense], adapters: [LowRank]? = nil, scale: Float = 1) {
    self.layers = layers
    self.adapters = adapters
    self.scale = scale
  }

  /// What a forward pass leaves for the backward pass.
  struct Trace {
    var inputs: [[Float]] = []  // of each layer, [rows, inputs]
    var narrowed: [[Float]] = []  // what each adapter made of it, [rows, rank]
    var logits: [Float] = []  // [rows, classes]
  }

  func trace(_ images: [Float], rows: Int) -> Trace {
    var trace = Trace()
    var x = images
    for (index, layer) in layers.enumerated() {
      trace.inputs.append(x)
      var y = layer(x, rows: rows)
      if let adapter = adapters?[index] {
        let narrowed = adapter.narrowed(x, rows: rows)
        let added = adapter.widened(narrowed, rows: rows)
        for i in y.indices { y[i] += scale * added[i] }
        trace.narrowed.append(narrowed)
      }
      if index < layers.count - 1 {
        for i in y.indices where y[i] < 0 { y[i] = 0 }
        x = y
      } else {
        trace.logits = y
      }
    }
    return trace
  }

  package func logits(_ images: [Float], rows: Int) -> [Float] { trace(images, rows: rows).logits }

  /// The weights with the adapters folded in: W + scale · B A.
  var folded: Network {
    guard let adapters else { return self }
    var layers = layers
    for (index, adapter) in adapters.enumerated() {
      let delta = adapter.delta(scale: scale)
      for i in delta.indices { layers[index].weight[i] += delta[i] }
    }
    return Network(layers: layers)
  }
}

/// The mean cross-entropy of logits [rows, classes], and its gradient.
package func crossEntropy(_ logits: [Float], _ labels: [Int], classes: Int) -> (loss: Float, gradient: [Float]) {
  var gradient = logits
  var loss: Float = 0
  let share = 1 / Float(labels.count)
  for (row, label) in labels.enumerated() {
    let range = row * classes..<(row + 1) * classes
    var largest = logits[range.lowerBound]
    for i in range { largest = max(largest, logits[i]) }
    var sum: Float = 0
    for i in range {
      gradient[i] = exponential(logits[i] - largest)
      sum += gradient[i]
    }
    loss += logarithm(sum) + largest - logits[range.lowerBound + label]
    for i in range { gradient[i] *= share / sum }
    gradient[range.lowerBound + label] -= share
  }
  return (loss * share, gradient)
}
