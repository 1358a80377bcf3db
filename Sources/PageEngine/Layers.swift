// A linear layer, and the low-rank adapter beside it.

#if !arch(wasm32)
  import LoRATensors
#endif

/// y = x Wᵀ + b.
package struct Dense {
  package let inputs: Int
  package let outputs: Int
  package var weight: [Float]  // [outputs, inputs]
  package var bias: [Float]  // [outputs]

  package init(inputs: Int, outputs: Int, weight: [Float], bias: [Float]) {
    self.inputs = inputs
    self.outputs = outputs
    self.weight = weight
    self.bias = bias
  }

  func callAsFunction(_ x: [Float], rows: Int) -> [Float] {
    var y = product(x, timesTurned: weight, rows: rows, inputs: inputs, outputs: outputs)
    for i in y.indices { y[i] += bias[i % outputs] }
    return y
  }
}

/// What LoRA adds to a layer's output: (α/r) (x Aᵀ) Bᵀ.
package struct LowRank {
  package let inputs: Int
  package let outputs: Int
  package let rank: Int
  package var a: [Float]  // [rank, inputs]
  package var b: [Float]  // [outputs, rank]

  /// A uniform in ±1/√inputs, B zero: no effect yet.
  package init(beside layer: Dense, rank: Int, using generator: inout SeededGenerator) {
    inputs = layer.inputs
    outputs = layer.outputs
    self.rank = min(rank, inputs, outputs)
    let bound = 1 / Float(inputs).squareRoot()
    a = []
    for _ in 0..<self.rank * inputs { a.append(-bound + (bound + bound) * generator.unitFloat()) }
    b = [Float](repeating: 0, count: outputs * self.rank)
  }

  /// x Aᵀ, [rows, rank]: all that the adapter sees of its input.
  func narrowed(_ x: [Float], rows: Int) -> [Float] {
    product(x, timesTurned: a, rows: rows, inputs: inputs, outputs: rank)
  }

  /// narrowed Bᵀ, [rows, outputs].
  func widened(_ narrowed: [Float], rows: Int) -> [Float] {
    product(narrowed, timesTurned: b, rows: rows, inputs: rank, outputs: outputs)
  }

  /// scale · B A, [outputs, inputs].
  package func delta(scale: Float) -> [Float] {
    product(b, times: a, rows: outputs, inputs: inputs, outputs: rank).map { $0 * scale }
  }
}
