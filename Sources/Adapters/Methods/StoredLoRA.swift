// LoRA at rest: A, B and α under a module's path, as peft, kohya-ss, mlx-lm and diffusers store them.

import LoRAFiles
import LoRANetworks
import LoRATensors

/// W + s B A (Hu et al., 2021).
///
/// Of a convolution, A is [r, in, kernel…] and B [out, r, 1…]; with a middle (LyCORIS' Tucker form) A is [r, in, 1…], the
/// middle [r, r, kernel…]. Of an embedding, A is [r, rows], B [width, r].
public struct StoredLoRA: AdapterMethod {
  public static let name = "LoRA"
  public static let peftType: String? = "LORA"
  /// A of a linear layer or a convolution.
  public static let a = MethodPart(
    ".lora_A.weight", ".lora_down.weight", ".lora.down.weight", ".down.weight", ".lora_linear_layer.down.weight")
  /// B of a linear layer or a convolution.
  public static let b = MethodPart(
    ".lora_B.weight", ".lora_up.weight", ".lora.up.weight", ".up.weight", ".lora_linear_layer.up.weight")
  /// A of an embedding, [r, rows].
  public static let embeddingA = MethodPart(".lora_embedding_A")
  /// B of an embedding, [width, r].
  public static let embeddingB = MethodPart(".lora_embedding_B")
  /// B's bias, [outputs]: peft's `lora_bias`.
  public static let outputBias = MethodPart(".lora_B.bias")
  /// The middle of LyCORIS' Tucker form, [r, r, kernel…].
  public static let middle = MethodPart(".lora_mid.weight", isForeign: true)
  public static let parts = [a, b, embeddingA, embeddingB, outputBias, middle, ModuleParts.scalar]

  /// A: [r, inputs], of a convolution [r, in, kernel…].
  public var a: StoredTensor
  /// B: [outputs, r], of a convolution [out, r, 1…].
  public var b: StoredTensor
  /// The Tucker form's middle, [r, r, kernel…]; A is [r, in, 1…] then.
  public var middle: StoredTensor?
  /// B's own bias, [outputs]: the module's bias grows by scale · bias.
  public var outputBias: StoredTensor?
  /// Whether it belongs to a table of which rows are looked up.
  public var isEmbedding: Bool
  /// α, a stored scalar factor multiplied in.
  public var alpha: Double
  /// How α and the rank make the scale.
  public var scaling: Scaling

  /// A LoRA from its tensors, whose shapes must fit each other as the type's description has them.
  public init(
    a: StoredTensor, b: StoredTensor, middle: StoredTensor? = nil, outputBias: StoredTensor? = nil,
    isEmbedding: Bool = false, alpha: Double, scaling: Scaling = .standard
  ) {
    self.a = a
    self.b = b
    self.middle = middle
    self.outputBias = outputBias
    self.isEmbedding = isEmbedding
    self.alpha = alpha
    self.scaling = scaling
  }

  public init(_ parts: ModuleParts) throws {
    isEmbedding = parts[Self.embeddingA] != nil || parts[Self.embeddingB] != nil
    a = try parts.required(isEmbedding ? Self.embeddingA : Self.a)
    b = try parts.required(isEmbedding ? Self.embeddingB : Self.b)
    middle = try parts.optional(Self.middle)
    outputBias = try parts.optional(Self.outputBias)
    scaling = parts.scaling
    let axes = a.shape.count
    guard axes >= 2, axes <= 5, b.shape.count == axes || b.shape.count == 2, a.shape[0] == b.shape[1],
      b.shape.dropFirst(2).allSatisfy({ $0 == 1 }), !isEmbedding || axes == 2
    else {
      throw parts.problem("A \(a.shape) and B \(b.shape) are no pair", expected: "[r, in] and [out, r]")
    }
    if let middle {
      guard middle.shape.count == axes, middle.shape[0] == a.shape[0], middle.shape[1] == a.shape[0],
        a.shape.dropFirst(2).allSatisfy({ $0 == 1 })
      else {
        throw parts.problem(
          "has a middle of shape \(middle.shape) between A \(a.shape) and B \(b.shape)", expected: "[r, r, kernel…]")
      }
    }
    if let outputBias, outputBias.shape != [b.shape[0]] {
      throw parts.problem("lora_B.bias has shape \(outputBias.shape)", expected: "[\(b.shape[0])]")
    }
    alpha = try parts.scale(rank: a.shape[0]).alpha * parts.scalarFactor()
  }

  /// Other factors in the place of a method: for the same weights and, where that is a LoRA, with its names, number
  /// formats, scaling and bias.
  ///
  /// - Parameters:
  ///   - update: the new factors.
  ///   - method: what they stand in for.
  ///   - format: how their numbers are stored; by default as the method's.
  ///   - known: the kernel of a convolution, where the method's own shape does not show it.
  public init(
    _ update: LowRankUpdate, like method: any AdapterMethod, format: NumberFormat? = nil, kernel known: [Int]? = nil
  ) throws {
    let lora = method as? StoredLoRA
    let (a, b) = (update.a, update.b)
    var kernel: [Int] = []
    isEmbedding = false
    switch method.shape {
    case .matrix(_, _, let lengths): kernel = lengths
    case .embedding: isEmbedding = true
    default: break
    }
    kernel = known ?? kernel
    let channels = a.shape[1] / kernel.reduce(1, *)
    let format = format ?? lora?.a.format ?? method.tensors.first?.tensor.format ?? .f32
    self.a = try StoredTensor(name: lora?.a.name ?? "", a.reshaped([a.shape[0], channels] + kernel), as: format)
    self.b = try StoredTensor(
      name: lora?.b.name ?? "", b.reshaped(b.shape + kernel.map { _ in 1 }), as: format)
    outputBias = lora?.outputBias
    scaling = lora?.scaling ?? .standard
    alpha = scaling.alpha(scale: update.scale, rank: update.rank)
  }

  public var peftType: String? { middle == nil ? Self.peftType : nil }
  public var rank: Int { a.shape[0] }
  /// The rows of the update.
  public var outputs: Int { b.shape[0] }
  /// The lengths of a convolution's kernel; empty of a linear layer.
  public var kernel: [Int] { Array((middle ?? a).shape.dropFirst(2)) }
  /// The columns of the update, a convolution's kernel counted in.
  public var inputs: Int { a.shape[1] * kernel.reduce(1, *) }
  public var scale: Double { scaling.scale(rank: rank, alpha: alpha) }

  public var shape: UpdateShape {
    isEmbedding
      ? .embedding(outputs: outputs, inputs: inputs) : .matrix(outputs: outputs, inputs: inputs, kernel: kernel)
  }

  public var tensors: [(part: MethodPart, tensor: StoredTensor)] {
    let optional: [(part: MethodPart, tensor: StoredTensor?)] = [
      (Self.middle, middle), (Self.outputBias, outputBias),
    ]
    return [(isEmbedding ? Self.embeddingA : Self.a, a), (isEmbedding ? Self.embeddingB : Self.b, b)]
      + optional.compactMap { item in item.tensor.map { (item.part, $0) } }
  }

  public func factors() throws -> LowRankUpdate? {
    let b = try b.reshaped([outputs, rank]).tensor()
    guard let middle else { return LowRankUpdate(a: try a.reshaped([rank, inputs]).tensor(), b: b, scale: scale) }
    // ΔW[o, i, k] = Σ_pq B[o, p] M[p, q, k] A[q, i]: A and the middle make one factor of rank r.
    let cells = kernel.reduce(1, *)
    let joined = try middle.reshaped([rank, rank, cells]).tensor().permuted([0, 2, 1]).reshaped([rank * cells, rank])
      .matmul(try a.reshaped([rank, a.shape[1]]).tensor())
    return LowRankUpdate(
      a: joined.reshaped([rank, cells, a.shape[1]]).permuted([0, 2, 1]).reshaped([rank, inputs]), b: b, scale: scale)
  }

  public var changesBias: Bool { outputBias != nil }
  /// peft's lora_bias gives a bias to every B, of zeros where the layer has none.
  public var needsBias: Bool { outputBias.map { (try? $0.tensor().norm) != 0 } ?? false }

  public func bias(_ bias: Tensor) throws -> Tensor? {
    try outputBias.map { bias + (try $0.tensor()) * Float(scale) }
  }

  public func attached(to weight: Parameter, named name: String) throws -> any Adapter {
    // The factors alone would lose B's bias when they are stored again.
    outputBias == nil ? try lora(on: weight, named: name) : try FixedAdapter(self, on: weight, named: name)
  }

  func lora(on weight: Parameter, named name: String) throws -> LoRA {
    let factors = try factors()!
    return LoRA(
      a: Parameter(factors.a), b: Parameter(factors.b), alpha: Float(alpha), scaling: scaling, layout: weight.layout,
      name: name)
  }
}

extension LoRA {
  /// Factors and α that mean the same on the untouched base: where B A counts from B₀ A₀, A′ = [A; A₀] and
  /// B′ = [B, −B₀], with α so that the scale stays.
  public func stored(for weight: Parameter, isEmbedding: Bool) throws -> any AdapterMethod {
    try storedLoRA(for: weight, isEmbedding: isEmbedding)
  }

  func storedLoRA(for weight: Parameter, isEmbedding: Bool) throws -> StoredLoRA {
    var (a, b) = (a.original, b.original)
    if let origin {
      a = .concatenated([a, origin.a], axis: 0)
      b = .concatenated([b, -origin.b], axis: 1)
    }
    // peft's pair of convolutions: [r, in, kernel…] and [out, r, 1…].
    let kernel = weight.shape.dropFirst(2)
    if !kernel.isEmpty {
      a = a.reshaped([a.shape[0]] + weight.shape.dropFirst())
      b = b.reshaped(b.shape + kernel.map { _ in 1 })
    }
    return StoredLoRA(
      a: try StoredTensor(name: "a", a), b: try StoredTensor(name: "b", b), isEmbedding: isEmbedding,
      alpha: alpha.asWritten * (origin == nil ? 1 : scaling == .standard ? 2 : 2.0.squareRoot()),
      scaling: scaling)
  }
}
