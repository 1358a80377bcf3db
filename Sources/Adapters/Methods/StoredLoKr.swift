// LoKr at rest: the Kronecker product of two matrices, each whole or of low rank, as peft and LyCORIS store it.

import LoRAFiles
import LoRATensors

/// W + s W₁ ⊗ W₂ (Edalati et al., 2022; LyCORIS).
///
/// W₁ is `lokr_w1` or `lokr_w1_a` · `lokr_w1_b`. W₂ is `lokr_w2` [out, in, kernel…], or `lokr_w2_a` [out, r] ·
/// `lokr_w2_b` [r, in · kernel], or with a core `lokr_t2` [r, r, kernel…] of [r, out] and [r, in].
public struct StoredLoKr: AdapterMethod {
  public static let name = "LoKr"
  public static let peftType: String? = "LOKR"
  static let w1 = MethodPart(".lokr_w1")
  static let b1 = MethodPart(".lokr_w1_a")
  static let a1 = MethodPart(".lokr_w1_b")
  static let w2 = MethodPart(".lokr_w2")
  static let b2 = MethodPart(".lokr_w2_a")
  static let a2 = MethodPart(".lokr_w2_b")
  static let core = MethodPart(".lokr_t2")
  public static let parts = [w1, b1, a1, w2, b2, a2, core, ModuleParts.scalar]

  public let tensors: [(part: MethodPart, tensor: StoredTensor)]
  public let shape: UpdateShape
  /// Of what is factored; 0 where nothing is.
  public let rank: Int
  public let scale: Double
  /// What shapes the matrices have, peft takes from its configuration.
  private let isPEFT: Bool
  private let first: Side
  private let second: Side

  public init(_ parts: ModuleParts) throws {
    isPEFT = parts.fields["peft_type"] != nil
    let core = try parts.optional(Self.core)
    if parts[Self.w1] != nil {
      first = .whole(try parts.matrix(Self.w1))
    } else {
      first = .factored(b: try parts.matrix(Self.b1), a: try parts.matrix(Self.a1))
    }
    if parts[Self.w2] != nil {
      second = .whole(try parts.required(Self.w2))
    } else {
      let (b, a) = (try parts.matrix(Self.b2), try parts.matrix(Self.a2))
      second = core.map { .cored($0, b: b, a: a) } ?? .factored(b: b, a: a)
    }
    var tensors =
      first.tensors([Self.w1], [Self.b1, Self.a1]) + second.tensors([Self.w2], [Self.b2, Self.a2, Self.core])
    guard tensors.count + (parts[ModuleParts.scalar] == nil ? 0 : 1) == parts.tensors.count, first.isConsistent,
      second.isConsistent
    else {
      throw parts.problem(
        "\(described(parts.tensors.map { ($0, $1) }.sorted { $0.part.suffix < $1.part.suffix })) do not fit",
        expected:
          "w1 and w2 each whole or as w_a [out, r] and w_b [r, in], with t2 [r, r, kernel…] as [r, out] and [r, in]")
    }
    // peft takes the Kronecker product of a matrix and a one-dimensional kernel along other axes.
    if case .whole(let whole) = second, whole.shape.count == 3, isPEFT {
      throw parts.problem(
        "has a whole lokr_w2 \(whole.shape) of a one-dimensional convolution",
        expected: "one of two dimensions, or a matrix", kind: .unsupported)
    }
    let kernel = second.kernel
    let outputs = try parts.count(first.outputs, second.outputs)
    let inputs = try parts.count(first.inputs, second.inputs, kernel.reduce(1, *))
    try parts.count(outputs, inputs)
    shape = .matrix(outputs: outputs, inputs: inputs, kernel: kernel.last == 1 && core != nil ? [] : kernel)
    rank = second.rank ?? first.rank ?? 0
    scale = try Self.scale(parts, rank: rank) * parts.scalarFactor()
    // Without a rank there is no α that could take the trained factor in.
    if rank == 0, let scalar = parts[ModuleParts.scalar] { tensors.append((ModuleParts.scalar, scalar)) }
    self.tensors = tensors
  }

  public var peftType: String? { isPEFT ? Self.peftType : nil }

  /// α / r. Where both are whole, LyCORIS' scale is 1 whatever α says, and peft's goes by the configured rank.
  private static func scale(_ parts: ModuleParts, rank: Int) throws -> Double {
    if rank > 0 { return try parts.scale(rank: rank).scale }
    guard parts.fields["peft_type"] != nil, parts.alpha != nil else { return 1 }
    let hasPattern = !(parts.fields["rank_pattern"]?.members.isEmpty ?? true)
    guard let rank = parts.rank ?? (hasPattern ? nil : parts.fields["r"]?.integer), rank > 0 else {
      throw parts.problem(
        "lokr_w1 and lokr_w2 are whole, and no rank scales them", expected: "a rank in adapter_config.json")
    }
    return try parts.scale(rank: rank).scale
  }

  /// (B₁ ⊗ B₂)(A₁ ⊗ A₂), a whole matrix being itself times an identity on its shorter side.
  public func factors() throws -> LowRankUpdate? {
    let (one, two) = (try first.factors(), try second.factors())
    return LowRankUpdate(a: try kronecker(one.a, two.a), b: try kronecker(one.b, two.b), scale: scale)
  }

  private func kronecker(_ x: Tensor, _ y: Tensor) throws -> Tensor {
    let count = x.count.multipliedReportingOverflow(by: y.count)
    guard !count.overflow, count.partialValue <= 1 << 32 else {
      throw CheckpointError(
        .unsupported, file: "", "a factor of \(x.shape) ⊗ \(y.shape) numbers is too large to be formed",
        expected: "less than memory holds", advice: "Take another adapter")
    }
    return (x.reshaped([x.shape[0], 1, x.shape[1], 1]) * y.reshaped([1, y.shape[0], 1, y.shape[1]]))
      .reshaped([x.shape[0] * y.shape[0], x.shape[1] * y.shape[1]])
  }

  public func transform(of weight: WeightMatrix) throws -> any WeightTransform {
    let isTransposed = weight.isTransposed
    let one = try first.matrix(isTransposed: isTransposed)
    let two = try second.pair(isTransposed: isTransposed)
    let (count, width, scale) = (two.b.shape[0], two.a?.shape[1] ?? two.b.shape[1], Float(scale))
    // Row o of W₁ ⊗ W₂ is row o / count of W₁ times row o mod count of W₂.
    return BlockTransform { block, rows in
      let left = one.rows(at: rows.map { $0 / count })
      let factor = two.b.rows(at: rows.map { $0 % count })
      let right = two.a.map { factor.matmul($0) } ?? factor
      let product = left.reshaped([rows.count, left.shape[1], 1]) * right.reshaped([rows.count, 1, width])
      return block.adding(product.reshaped(block.shape), scaledBy: scale)
    }
  }
}

/// One of the two matrices.
private enum Side: Sendable {
  case whole(StoredTensor)
  case factored(b: StoredTensor, a: StoredTensor)
  case cored(StoredTensor, b: StoredTensor, a: StoredTensor)

  func tensors(_ whole: [MethodPart], _ factors: [MethodPart]) -> [(part: MethodPart, tensor: StoredTensor)] {
    switch self {
    case .whole(let tensor): [(whole[0], tensor)]
    case .factored(let b, let a): [(factors[0], b), (factors[1], a)]
    case .cored(let core, let b, let a): [(factors[0], b), (factors[1], a), (factors[2], core)]
    }
  }

  var isConsistent: Bool {
    switch self {
    case .whole(let tensor): tensor.shape.count >= 2
    case .factored(let b, let a): b.shape[1] == a.shape[0]
    case .cored(let core, let b, let a):
      core.shape.count > 2 && core.shape[0] == b.shape[0] && core.shape[1] == a.shape[0]
        && core.shape[0] == core.shape[1]
    }
  }

  var rank: Int? {
    switch self {
    case .whole: nil
    case .factored(_, let a), .cored(_, _, let a): a.shape[0]
    }
  }

  var outputs: Int {
    switch self {
    case .whole(let tensor): tensor.shape[0]
    case .factored(let b, _): b.shape[0]
    case .cored(_, let b, _): b.shape[1]
    }
  }

  /// Without the kernel, where that is known.
  var inputs: Int {
    switch self {
    case .whole(let tensor): tensor.shape[1]
    case .factored(_, let a), .cored(_, _, let a): a.shape[1]
    }
  }

  var kernel: [Int] {
    switch self {
    case .whole(let tensor), .cored(let tensor, _, _): Array(tensor.shape.dropFirst(2))
    case .factored: []
    }
  }

  /// B [out, r] and A [r, in · kernel]; a whole matrix is B alone.
  func pair(isTransposed: Bool) throws -> (b: Tensor, a: Tensor?) {
    switch self {
    case .whole(let tensor):
      let matrix = try tensor.reshaped([outputs, tensor.count / outputs]).tensor()
      return (isTransposed ? matrix.transposed() : matrix, nil)
    case .factored, .cored:
      let (b, a) = try factors()
      return isTransposed ? (a.transposed(), b.transposed()) : (b, a)
    }
  }

  func matrix(isTransposed: Bool) throws -> Tensor {
    let (b, a) = try pair(isTransposed: isTransposed)
    return a.map { b.matmul($0) } ?? b
  }

  func factors() throws -> (b: Tensor, a: Tensor) {
    switch self {
    case .whole(let tensor):
      let matrix = try tensor.reshaped([outputs, tensor.count / outputs]).tensor()
      let (rows, columns) = (matrix.shape[0], matrix.shape[1])
      return rows < columns ? (.identity(rows), matrix) : (matrix, .identity(columns))
    case .factored(let b, let a): return (try b.tensor(), try a.tensor())
    case .cored(let core, let b, let a): return (try b.tensor().transposed(), try joined(core, a))
    }
  }
}
