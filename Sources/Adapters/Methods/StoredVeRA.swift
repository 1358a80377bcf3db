// VeRA at rest: two vectors a module, around projections that all modules of the file share.

import LoRAFiles
import LoRATensors

/// W + Λ_b B Λ_d A (Kopiczko et al., 2024), of B [≥ out, r] and A [r, ≥ in] as much as the weight needs.
///
/// peft stores A and B once, as `base_model.vera_A` and `base_model.vera_B`, or not at all: then they are what torch's
/// generator made of a seed, which is not done again here.
public struct StoredVeRA: AdapterMethod {
  public static let name = "VeRA"
  public static let peftType: String? = "VERA"
  static let outputFactors = MethodPart(".vera_lambda_b")
  static let rankFactors = MethodPart(".vera_lambda_d")
  public static let parts = [outputFactors, rankFactors]
  private static let projections = (a: "base_model.vera_A", b: "base_model.vera_B")
  public static let sharedNames = [projections.a, projections.b]

  public let tensors: [(part: MethodPart, tensor: StoredTensor)]
  private let outputFactors: StoredTensor  // [outputs]
  private let rankFactors: StoredTensor  // [r]
  private let a: StoredTensor
  private let b: StoredTensor
  private let parts: ModuleParts

  public init(_ parts: ModuleParts) throws {
    self.parts = parts
    outputFactors = try parts.vector(Self.outputFactors)
    rankFactors = try parts.vector(Self.rankFactors)
    tensors = [(Self.outputFactors, outputFactors), (Self.rankFactors, rankFactors)]
    guard let a = parts.shared[Self.projections.a], let b = parts.shared[Self.projections.b] else {
      throw parts.problem(
        "has no projections vera_A and vera_B, which were drawn by torch's generator and only peft can repeat",
        expected: "both in the file", kind: .unsupported,
        advice: "Load the adapter with peft, set save_projection to true and save it again")
    }
    guard a.format.isConvertible, b.format.isConvertible, a.shape.count == 2, b.shape.count == 2,
      a.shape[0] == rankFactors.count, b.shape[1] == rankFactors.count, b.shape[0] >= outputFactors.count, a.count > 0
    else {
      throw parts.problem(
        "\(described(tensors)) do not fit vera_A \(a.shape) and vera_B \(b.shape)",
        expected: "[r, at least in] and [at least out, r]")
    }
    (self.a, self.b) = (a, b)
  }

  public var shape: UpdateShape { .outputs(outputFactors.count) }
  public var rank: Int { rankFactors.count }
  public var isPEFTOnly: Bool { true }

  public func factors(inputs: Int) throws -> LowRankUpdate? {
    guard inputs <= a.shape[1] else {
      throw parts.problem(
        "vera_A \(a.shape) is too narrow", expected: "at least the \(inputs) inputs of the weight", kind: .mismatch)
    }
    let outputs = outputFactors.count
    return LowRankUpdate(
      a: try a.tensor().sliced(axis: 1, 0..<inputs) * rankFactors.reshaped([rank, 1]).tensor(),
      b: try b.tensor().sliced(axis: 0, 0..<outputs) * outputFactors.reshaped([outputs, 1]).tensor(), scale: 1)
  }
}
