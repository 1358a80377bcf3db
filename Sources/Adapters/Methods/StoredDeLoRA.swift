// DeLoRA at rest: a LoRA whose ranks have bounded norms, as peft stores it.

import LoRAFiles
import LoRATensors

/// W + (λ / r) B diag(1 / ‖aᵢ‖‖bᵢ‖) A diag(w) (Bini et al., 2025), with w the norms of the weight's inputs.
public struct StoredDeLoRA: AdapterMethod {
  public static let name = "DeLoRA"
  public static let peftType: String? = "DELORA"
  static let a = MethodPart(".delora_A")
  static let b = MethodPart(".delora_B")
  static let lambda = MethodPart(".delora_lambda")
  static let norms = MethodPart(".delora_w_norm")
  public static let parts = [a, b, lambda, norms]

  public let tensors: [(part: MethodPart, tensor: StoredTensor)]
  public let scale: Double
  private let a: StoredTensor  // [r, inputs]
  private let b: StoredTensor  // [outputs, r]
  private let norms: StoredTensor  // [inputs]

  public init(_ parts: ModuleParts) throws {
    (a, b) = (try parts.matrix(Self.a), try parts.matrix(Self.b))
    let lambda = try parts.required(Self.lambda)
    norms = try parts.vector(Self.norms)
    tensors = [(Self.a, a), (Self.b, b), (Self.lambda, lambda), (Self.norms, norms)]
    guard a.shape[0] == b.shape[1], norms.count == a.shape[1], lambda.count == 1 else {
      throw parts.problem(
        "\(described(tensors)) do not fit", expected: "A [r, in], B [out, r], lambda [1] and w_norm [in]")
    }
    try parts.count(a.shape[1], b.shape[0])
    scale = Double(try lambda.tensor().reshaped([]).item) / Double(a.shape[0])
    guard scale.isFinite else {
      throw parts.problem("delora_lambda is \(scale * Double(a.shape[0]))", expected: "a finite number", kind: .number)
    }
  }

  public var shape: UpdateShape { .matrix(outputs: b.shape[0], inputs: a.shape[1]) }
  public var rank: Int { a.shape[0] }
  public var isPEFTOnly: Bool { true }

  public func factors() throws -> LowRankUpdate? {
    let (a, b) = (try a.tensor(), try b.tensor())
    // peft's least norm.
    let least = Tensor.full([rank], 1e-4)
    let lengths =
      a.squared().sum(axis: 1).squareRoot().maximum(least)
      * b.squared().sum(axis: 0).squareRoot().maximum(least)
    return LowRankUpdate(
      a: a * (try norms.reshaped([1, norms.count]).tensor()), b: b / lengths.reshaped([1, rank]), scale: scale)
  }
}
