// Linear layers that have the same input: their weights are read in one go, so that threads are woken once for all.

import LoRATensors

/// The outputs of several layers for the same input [rows, inputs], each with the bits that it has alone.
package func outputs(of layers: [any Layer], for x: Tensor) -> [Tensor] {
  let linears = layers.compactMap { $0 as? Linear }
  // With many rows every layer has work enough for all threads.
  guard linears.count == layers.count, x.shape[0] <= 8, !x.isTracked, linears.allSatisfy(\.weight.mapsAsStored) else {
    return layers.map { $0(x) }
  }
  let products = x.products(linears.map(\.weight.stored))
  return zip(linears, products).map { $0.weight.linear(x, product: $1, bias: $0.bias) }
}

extension Parameter {
  /// Whether the linear map is that of what is stored, and then what links make of its output.
  fileprivate var mapsAsStored: Bool {
    guard shape.count == 2, layout == .outputsByInputs, !stored.isTracked, LinkChoice.byRow(of: self) == nil else {
      return false
    }
    return takingPart.isEmpty || !Parameter.isCaching && takingPart.allSatisfy { $0 is any LinearParametrization }
  }

  /// `linear` where the product with what is stored is known.
  fileprivate func linear(_ input: Tensor, product: Tensor, bias: Parameter?) -> Tensor {
    let links = takingPart
    let output = links.isEmpty ? product : adapted(product, input, links)
    return bias.map { output.addingToRows($0.value) } ?? output
  }
}
