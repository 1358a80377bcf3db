import LoRAFiles
import LoRANetworks
import LoRATensors

/// Weight-decomposed low-rank adaptation (Liu et al., 2024): direction and magnitude apart. The layer sees
/// W′ = m ∘ V / ‖V‖ with V = W + s B A, norms taken over the inputs of each output.
///
/// The norm counts as a constant in the gradient (section 4.3), and V is not formed for it:
/// ‖V‖² = ‖W‖² + 2s ⟨W Aᵀ, B⟩ + s² ⟨B A Aᵀ, B⟩, row by row. With m = ‖W‖ and B = 0 a new adapter has no effect. The weight
/// of a convolution counts as the matrix [outputs, inputs · height · width].
public final class DoRA: StorableAdapter, ConvolutionParametrization {
  /// The direction's adapter: V = W + s B A.
  public let lora: LoRA
  /// m, [outputs].
  public let magnitude: Parameter
  public var isEnabled = true
  private let layout: Parameter.Layout
  /// ‖W‖² by output, for the weight that the adapter was made for: never changed, since many tasks may read it.
  private let squares: (weight: Tensor, squares: Tensor)

  public var name: String { lora.name }
  public var description: String { described("DoRA") + ", rank \(lora.rank), scale \(lora.scale)" }

  /// - Parameters:
  ///   - lora: the direction's adapter.
  ///   - weight: the weight that it is for.
  ///   - magnitude: m; by default the norms of `weight`.
  public init(_ lora: LoRA, for weight: Parameter, magnitude: Tensor? = nil) {
    expect(
      weight.shape.count == 2 || weight.shape.count == 4,
      "DoRA: a matrix or a convolution's weight is needed, found a parameter of shape \(weight.shape)")
    expect(
      magnitude == nil || magnitude!.shape == [weight.outputs],
      "DoRA: magnitudes \(magnitude?.shape ?? []) for a weight with \(weight.outputs) outputs")
    self.lora = lora
    self.layout = weight.layout
    let value = weight.value.detached
    squares = (value, DoRA.squares(of: value, weight.layout))
    self.magnitude = Parameter(magnitude ?? squares.squares.squareRoot())
  }

  private init(_ other: DoRA) {
    (lora, magnitude) = (other.lora.copy(), other.magnitude.copy())
    (layout, squares, isEnabled) = (other.layout, other.squares, other.isEnabled)
  }

  public func value(of original: Tensor) -> Tensor {
    let sum = DoRA.matrix(lora.value(of: original))
    return DoRA.rescaled(sum, to: magnitude.value, axis: layout == .outputsByInputs ? 1 : 0).reshaped(original.shape)
  }

  public func adjust(output: consuming Tensor, input: Tensor, weight: () -> Tensor) -> Tensor {
    lora.adjust(output: output, input: input, weight: weight) * (magnitude.value / norms(of: weight().detached))
  }

  public func adjust(
    output: Tensor, input: Tensor, weight: () -> Tensor, convolve: (_ input: Tensor, _ kernels: Tensor) -> Tensor
  ) -> Tensor {
    let ratios = magnitude.value / norms(of: weight().detached)
    return lora.adjust(output: output, input: input, weight: weight, convolve: convolve)
      * ratios.reshaped([ratios.count, 1, 1])
  }

  /// ‖W + s B A‖ by output.
  private func norms(of weight: Tensor) -> Tensor {
    let squares = self.squares.weight.isShared(with: weight) ? self.squares.squares : DoRA.squares(of: weight, layout)
    let (a, b, scale) = (lora.a.value.detached, lora.b.value.detached, lora.scale)
    // Both [outputs, rank].
    let crossed = DoRA.matrix(weight).matmul(a, transposeSelf: layout == .inputsByOutputs, transposeOther: true)
    let inner = b.matmul(a.matmul(a, transposeOther: true))
    let change = (b * crossed).sum(axis: 1) * (2 * scale) + (b * inner).sum(axis: 1) * (scale * scale)
    return (squares + change).squareRoot()
  }

  private static func squares(of weight: Tensor, _ layout: Parameter.Layout) -> Tensor {
    matrix(weight).squared().sum(axis: layout == .outputsByInputs ? 1 : 0)
  }

  /// A convolution's weight as a matrix, [outputs, inputs · height · width].
  private static func matrix(_ weight: Tensor) -> Tensor {
    weight.rank == 2 ? weight : weight.reshaped([weight.shape[0], -1])
  }

  public func copy() -> DoRA { DoRA(self) }
}
