// AdaLoRA at rest: a LoRA with a factor for each rank, which training prunes.

import LoRAFiles
import LoRATensors

/// W + s B diag(E) A (Zhang et al., 2023), with s = α / (r₀ + 10⁻⁵) for the rank r₀ that training began with.
///
/// peft stores `lora_A` [r, in], `lora_B` [out, r] and `lora_E` [r, 1] of the ranks that are left, which may be none.
public struct StoredAdaLoRA: AdapterMethod {
  public static let name = "AdaLoRA"
  public static let peftType: String? = "ADALORA"
  static let a = MethodPart(".lora_A")
  static let b = MethodPart(".lora_B")
  static let e = MethodPart(".lora_E")
  static let initialRank = MethodPart(".ranknum")
  public static let parts = [a, b, e, initialRank]

  public let tensors: [(part: MethodPart, tensor: StoredTensor)]
  public let scale: Double
  private let a: StoredTensor
  private let b: StoredTensor
  private let e: StoredTensor

  public init(_ parts: ModuleParts) throws {
    let isPruned = [Self.a, Self.b, Self.e].allSatisfy { parts[$0].map { $0.shape.contains(0) } ?? false }
    func part(_ part: MethodPart) throws -> StoredTensor {
      if isPruned, let tensor = parts[part] { tensor } else { try parts.required(part) }
    }
    (a, b, e) = (try part(Self.a), try part(Self.b), try part(Self.e))
    let number = try parts.optional(Self.initialRank)
    tensors = [(Self.a, a), (Self.b, b), (Self.e, e)] + (number.map { [(Self.initialRank, $0)] } ?? [])
    guard a.shape.count == 2, b.shape.count == 2, a.shape[0] == b.shape[1], e.count == a.shape[0], a.shape[1] > 0,
      b.shape[0] > 0, number == nil || number!.count == 1
    else {
      throw parts.problem(
        "\(described(tensors)) do not fit", expected: "lora_A [r, in], lora_B [out, r], lora_E [r, 1]")
    }
    try parts.count(a.shape[1], b.shape[0])
    let initial =
      try number.map { Double(try $0.tensor().reshaped([]).item) } ?? parts.fields["init_r"]?.number
      ?? Double(a.shape[0])
    let alpha = parts.alpha ?? 0
    guard initial.isFinite, initial >= 0, alpha.isFinite else {
      throw parts.problem(
        "alpha \(alpha) and initial rank \(initial) make no scale", expected: "a finite alpha and a rank of at least 1",
        kind: .number)
    }
    // peft: an alpha that is not positive counts as the rank.
    scale = (alpha > 0 ? alpha : Double(a.shape[0])) / (initial + 1e-5)
  }

  public var shape: UpdateShape { .matrix(outputs: b.shape[0], inputs: a.shape[1]) }
  public var rank: Int { a.shape[0] }
  public var isPEFTOnly: Bool { true }

  public func factors() throws -> LowRankUpdate? {
    // Pruned to nothing: factors of rank 1 that change nothing.
    guard rank > 0 else {
      return LowRankUpdate(a: .zeros([1, a.shape[1]]), b: .zeros([b.shape[0], 1]), scale: scale)
    }
    return LowRankUpdate(a: try a.tensor() * e.reshaped([rank, 1]).tensor(), b: try b.tensor(), scale: scale)
  }
}
