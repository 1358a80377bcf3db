import LoRAFiles
import LoRANetworks
import LoRATensors

/// Low-rank adaptation (Hu et al., 2021): the layer sees W + s B A, of which only A and B are trained.
///
/// ```swift
/// let adapter = LoRA(rank: 4, alpha: 8, for: model.hidden1.weight, using: &generator)
/// try model.hidden1.weight.parametrize(by: adapter)  // the layer now sees W + (α/r) B A
/// adapter.isEnabled = false                          // and now W again, bit for bit
/// ```
///
/// B starts at zero, so an adapter starts without effect. A linear layer never forms the sum: its output is
/// x Wᵀ + s (x Aᵀ) Bᵀ; nor does a convolution, whose output is that of its own kernel and s times that of two, A's to `rank`
/// channels and B's of 1 × 1. Dropout on the adapter's input belongs to that path and is active only while a gradient is
/// computed; the formed value has none.
public final class LoRA: StorableAdapter, RowParametrization, ConvolutionParametrization {
  /// A, [rank, inputs].
  public let a: Parameter
  /// B, [outputs, rank].
  public let b: Parameter
  /// α: with the rank it makes the scale s.
  public let alpha: Float
  /// Whether that is α/r or α/√r.
  public let scaling: Scaling
  public let name: String
  public var isEnabled = true
  /// Dropout of the adapter's input; nil for none.
  public let dropout: Dropout?
  /// What B A counts from, where not from zero.
  public let origin: Origin?
  private let layout: Parameter.Layout

  /// The factors of an adapter that starts from a part of the weight itself (PiSSA, OLoRA): the layer sees
  /// W + s (B A − B₀ A₀), so a new adapter has no effect, and what is stored stays untouched.
  public struct Origin: Sendable {
    /// A₀, [rank, inputs].
    public let a: Tensor
    /// B₀, [outputs, rank].
    public let b: Tensor
  }

  /// r: the rows of A.
  public var rank: Int { a.shape[0] }
  /// s: what B A is multiplied by.
  public var scale: Float { scaling.scale(rank: rank, alpha: alpha) }
  public var description: String { described("LoRA") + ", rank \(rank), scale \(scale)" }

  /// An adapter with given factors.
  public init(
    a: Parameter, b: Parameter, alpha: Float, scaling: Scaling = .standard, layout: Parameter.Layout = .outputsByInputs,
    dropout: Dropout? = nil, origin: Origin? = nil, name: String = "default"
  ) {
    expect(
      a.shape.count == 2 && b.shape.count == 2 && a.shape[0] == b.shape[1] && a.shape[0] > 0,
      "LoRA: factors A \(a.shape) and B \(b.shape) do not fit; A is [rank, inputs], B [outputs, rank]")
    expect(
      origin == nil || origin!.a.shape == a.shape && origin!.b.shape == b.shape,
      "LoRA: the origin's factors \(origin!.a.shape) and \(origin!.b.shape) are not A's and B's \(a.shape), \(b.shape)")
    self.origin = origin
    self.a = a
    self.b = b
    self.alpha = alpha
    self.scaling = scaling
    self.layout = layout
    self.dropout = dropout
    self.name = name
  }

  /// A new adapter for a matrix, or for the weight [outputs, inputs, height, width] of a convolution as the matrix
  /// [outputs, inputs · height · width]: A random, B zero.
  public convenience init(
    rank: Int, alpha: Float, for weight: Parameter, scaling: Scaling = .standard,
    initialization: Initialization = .kaimingUniform, dropout: Dropout? = nil, name: String = "default",
    using generator: inout some RandomNumberGenerator
  ) {
    expect(
      weight.shape.count >= 2 && rank >= 1 && rank <= min(weight.inputs, weight.outputs),
      "LoRA: rank \(rank) does not fit a parameter of shape \(weight.shape); it must lie in "
        + (weight.shape.count < 2 ? "1...min(m, n) of a matrix" : "1...\(min(weight.inputs, weight.outputs))"))
    self.init(
      a: Parameter(initialization.sample(rank: rank, inputs: weight.inputs, using: &generator)),
      b: Parameter(.zeros([weight.outputs, rank])), alpha: alpha, scaling: scaling, layout: weight.layout,
      dropout: dropout, name: name)
  }

  /// How A starts.
  public enum Initialization: String, Sendable, Codable, CaseIterable {
    /// Uniform in ±1/√inputs, as Python peft starts.
    case kaimingUniform
    /// Normal with deviation 1/r, as peft's "gaussian".
    case gaussian
    /// Standard normal, as in the "LoRA from scratch" notebooks.
    case standardNormal

    func sample(rank: Int, inputs: Int, using generator: inout some RandomNumberGenerator) -> Tensor {
      switch self {
      case .kaimingUniform: .kaimingUniform([rank, inputs], using: &generator)
      case .gaussian: .normal([rank, inputs], deviation: 1 / Float(rank), using: &generator)
      case .standardNormal: .normal([rank, inputs], using: &generator)
      }
    }
  }

  /// ΔW = s B A, in the layout of the adapted weight; of a convolution, as a matrix.
  public var delta: Tensor {
    let product = product(a.value, b.value)
    return (origin.map { product - self.product($0.a, $0.b) } ?? product) * scale
  }

  private func product(_ a: Tensor, _ b: Tensor) -> Tensor {
    layout == .outputsByInputs ? b.matmul(a) : a.matmul(b, transposeSelf: true, transposeOther: true)
  }

  public func value(of original: Tensor) -> Tensor { original + delta.reshaped(original.shape) }

  public func adjust(output: consuming Tensor, input: Tensor, weight: () -> Tensor) -> Tensor {
    let input = dropped(input)
    let adapted = output.addingLowRank(a.value, b.value, of: input, scaledBy: scale)
    return origin.map { adapted.addingLowRank($0.a, $0.b, of: input, scaledBy: -scale) } ?? adapted
  }

  public func adjust(
    output: Tensor, input: Tensor, weight: () -> Tensor, convolve: (_ input: Tensor, _ kernels: Tensor) -> Tensor
  ) -> Tensor {
    let input = dropped(input)
    func change(_ a: Tensor, _ b: Tensor) -> Tensor { convolve(input, a).conv2d(b.reshaped(b.shape + [1, 1])) }
    let adapted = output.adding(change(a.value, b.value), scaledBy: scale)
    return origin.map { adapted.adding(change($0.a, $0.b), scaledBy: -scale) } ?? adapted
  }

  private func dropped(_ input: Tensor) -> Tensor { a.value.isTracked ? dropout?.apply(to: input) ?? input : input }

  public func adjust(rows: Tensor, at indices: [Int]) -> Tensor {
    let adapted = rows.adding(a.value.transposed().rows(at: indices).linear(b.value), scaledBy: scale)
    return origin.map { adapted.adding($0.a.transposed().rows(at: indices).linear($0.b), scaledBy: -scale) } ?? adapted
  }

  public func copy() -> LoRA {
    LoRA(
      a: a.copy(), b: b.copy(), alpha: alpha, scaling: scaling, layout: layout, dropout: dropout?.copy(),
      origin: origin,
      name: name)
  }
}
