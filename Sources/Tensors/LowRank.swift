// A low-rank term on top of a linear map's output, as one operation: what LoRA adds to a layer. Apart, its product, the
// sum and the scale would each pass over as many numbers as the output has, forward and back.

extension Tensor {
  /// self + scale · (input aᵀ) bᵀ, for self [rows, outputs], input [rows, inputs], a [rank, inputs], b [outputs, rank].
  ///
  /// The sum takes the place of self, whose numbers are copied only where someone else holds them.
  ///
  /// - Parameters:
  ///   - a: the factor that is multiplied first.
  ///   - b: the other factor.
  ///   - input: what both are applied to.
  ///   - scale: what their product is multiplied by.
  public consuming func addingLowRank(_ a: Tensor, _ b: Tensor, of input: Tensor, scaledBy scale: Float) -> Tensor {
    expect(
      rank == 2 && input.rank == 2 && a.rank == 2 && b.rank == 2 && input.shape[0] == shape[0]
        && a.shape == [b.shape[1], input.shape[1]] && b.shape[0] == shape[1],
      "addingLowRank: output \(shape), input \(input.shape) and factors \(a.shape), \(b.shape) do not fit")
    let inner = input.product(a, false, true) * scale
    let (rows, outputs, rank) = (shape[0], shape[1], b.shape[1])
    var sum = consume self
    sum.updateInPlace { sum in
      multiply(
        Factor(inner.pointer, stride: rank), Factor(b.storage, stride: rank, transposed: true), m: rows, n: outputs,
        k: rank, beta: 1, to: sum, stride: outputs)
    }
    guard sum.isTracked || input.isTracked || a.isTracked || b.isTracked else { return sum }
    let inward = Derivative.lowRankInward(
      input.detached, input.isTracked, a.detached, a.isTracked, b.detached, scale: scale)
    return sum.recorded(.lowRank, [sum, input, a, b]) { index in
      switch index {
      case 0: Derivative.affine(scale: 1)
      case 3: Derivative.matmulRight(inner, b.shape, false, true)
      default: inward.pullback(of: index - 1)
      }
    }
  }
}
