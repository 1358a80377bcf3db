// Gradients of a part that is computed again, to keep less in memory.

import LoRATensors

extension Module {
  /// `pass`, a pass of `x` through this module, of which only the input is kept (see `Tensor.recomputing`). What the
  /// module draws at random is drawn the same both times.
  package func recomputing(_ x: Tensor, _ pass: @escaping (Tensor) -> Tensor) -> Tensor {
    // The gradient may be computed when the scope of `withAdapters` is over.
    let function = LinkChoice.keeping(pass)
    let drawing = randomizedModules.map(\.module)
    guard !drawing.isEmpty else { return x.recomputing(function) }
    let states = drawing.map(\.generator)
    var isFirst = true
    return x.recomputing { input in
      if isFirst {
        isFirst = false
        return function(input)
      }
      let later = drawing.map(\.generator)
      for (module, state) in zip(drawing, states) { module.generator = state }
      defer { for (module, state) in zip(drawing, later) { module.generator = state } }
      return function(input)
    }
  }
}
