// LoHa at rest: the elementwise product of two low-rank matrices, as peft and LyCORIS store it.

import LoRAFiles
import LoRATensors

/// W + s (B₁ A₁) ∘ (B₂ A₂) (Hyeon-Woo et al., 2022, FedPara; LyCORIS).
///
/// B is `hada_w_a` [out, r], A is `hada_w_b` [r, in · kernel]. With a core (Tucker form) they are [r, out] and [r, in],
/// and the core `hada_t` is [r, r, kernel…].
public struct StoredLoHa: AdapterMethod {
  public static let name = "LoHa"
  public static let peftType: String? = "LOHA"
  static let b1 = MethodPart(".hada_w1_a")
  static let a1 = MethodPart(".hada_w1_b")
  static let b2 = MethodPart(".hada_w2_a")
  static let a2 = MethodPart(".hada_w2_b")
  static let core1 = MethodPart(".hada_t1")
  static let core2 = MethodPart(".hada_t2")
  public static let parts = [b1, a1, b2, a2, core1, core2, ModuleParts.scalar]

  public let tensors: [(part: MethodPart, tensor: StoredTensor)]
  public let shape: UpdateShape
  public let rank: Int
  /// α, a stored scalar factor multiplied in.
  public let alpha: Double
  /// How α and the rank make the scale.
  public let scaling: Scaling
  private let first: Half
  private let second: Half

  public init(_ parts: ModuleParts) throws {
    let (core1, core2) = (try parts.optional(Self.core1), try parts.optional(Self.core2))
    first = Half(b: try parts.matrix(Self.b1), a: try parts.matrix(Self.a1), core: core1)
    second = Half(b: try parts.matrix(Self.b2), a: try parts.matrix(Self.a2), core: core2)
    tensors =
      [(Self.b1, first.b), (Self.a1, first.a), (Self.b2, second.b), (Self.a2, second.a)]
      + (core1.map { [(Self.core1, $0)] } ?? []) + (core2.map { [(Self.core2, $0)] } ?? [])
    guard first.isPair, second.isPair, (core1 == nil) == (core2 == nil), first.outputs == second.outputs,
      first.a.shape[1] == second.a.shape[1], first.kernel == second.kernel
    else {
      throw parts.problem(
        "\(described(tensors)) do not fit",
        expected: "w_a [out, r] and w_b [r, in], or with t [r, r, kernel…] both [r, …], for two matrices of one shape")
    }
    let cells = try parts.count(first.outputs, first.a.shape[1], first.kernel.reduce(1, *))
    rank = first.rank
    alpha = try parts.scale(rank: rank).alpha * parts.scalarFactor()
    scaling = parts.scaling
    // peft stores a one-dimensional kernel as [k, 1].
    shape = .matrix(
      outputs: first.outputs, inputs: cells / first.outputs, kernel: first.kernel.last == 1 ? [] : first.kernel)
  }

  /// Whether it has cores, which peft asks its configuration for.
  package var hasCores: Bool { first.core != nil }
  public var scale: Double { scaling.scale(rank: rank, alpha: alpha) }

  /// (B₁A₁) ∘ (B₂A₂) = B A with B[o, ij] = B₁[o, i] B₂[o, j] and A[ij, x] = A₁[i, x] A₂[j, x], of rank r₁ r₂; where
  /// that is more than the matrix can have, the matrix itself.
  public func factors() throws -> LowRankUpdate? {
    let ((b1, a1), (b2, a2)) = (try first.factors(), try second.factors())
    let (outputs, inputs, rank) = (b1.shape[0], a1.shape[1], a1.shape[0] * a2.shape[0])
    guard rank <= min(outputs, inputs) else {
      let product = b1.matmul(a1) * b2.matmul(a2)
      return outputs < inputs
        ? LowRankUpdate(a: product, b: .identity(outputs), scale: scale)
        : LowRankUpdate(a: .identity(inputs), b: product, scale: scale)
    }
    let b = b1.reshaped([outputs, a1.shape[0], 1]) * b2.reshaped([outputs, 1, a2.shape[0]])
    let a = a1.reshaped([a1.shape[0], 1, inputs]) * a2.reshaped([1, a2.shape[0], inputs])
    return LowRankUpdate(a: a.reshaped([rank, inputs]), b: b.reshaped([outputs, rank]), scale: scale)
  }

  public func transform(of weight: WeightMatrix) throws -> any WeightTransform {
    let factors = [try first.factors(), try second.factors()]
    let pairs = factors.map { weight.isTransposed ? ($0.a.transposed(), $0.b.transposed()) : ($0.b, $0.a) }
    let scale = Float(scale)
    return BlockTransform { block, rows in
      let halves = pairs.map { $0.0.sliced(axis: 0, rows).matmul($0.1) }
      return block.adding(halves[0] * halves[1], scaledBy: scale)
    }
  }
}

/// One of the two low-rank matrices.
private struct Half: Sendable {
  let b: StoredTensor
  let a: StoredTensor
  let core: StoredTensor?

  var rank: Int { a.shape[0] }
  var outputs: Int { b.shape[core == nil ? 0 : 1] }
  var kernel: [Int] { Array((core?.shape ?? []).dropFirst(2)) }

  var isPair: Bool {
    guard let core else { return b.shape[1] == rank }
    return core.shape.count > 2 && core.shape[0] == b.shape[0] && core.shape[1] == rank && b.shape[0] == rank
  }

  /// B [out, r] and A [r, in · kernel].
  func factors() throws -> (b: Tensor, a: Tensor) {
    guard let core else { return (try b.tensor(), try a.tensor()) }
    return (try b.tensor().transposed(), try joined(core, a))
  }
}

/// Σ_j core[i, j, kernel] a[j, in]: a core [r, r, kernel…] and a matrix [r, in] as one matrix [r, in · kernel].
func joined(_ core: StoredTensor, _ a: StoredTensor) throws -> Tensor {
  let (rank, inputs) = (a.shape[0], a.shape[1])
  let cells = core.count / (rank * rank)
  return try core.reshaped([rank, rank, cells]).tensor().permuted([0, 2, 1]).reshaped([rank * cells, rank])
    .matmul(try a.tensor()).reshaped([rank, cells, inputs]).permuted([0, 2, 1]).reshaped([rank, inputs * cells])
}
