// GLoRA at rest: a low-rank change of a weight, and one more that goes through the weight, as LyCORIS stores it.

import LoRAFiles
import LoRATensors

/// W + s (W A₁ A₂ + B₁ B₂) (Chavan et al., 2023).
///
/// `a1` is [in, r], `a2` [r, in], `b1` [out, r], `b2` [r, in, kernel…]; of a convolution all have kernel axes. LyCORIS'
/// middle `bm` of B is as in LoCon.
public struct StoredGLoRA: AdapterMethod {
  public static let name = "GLoRA"
  public static let peftType: String? = nil
  static let a1 = MethodPart(".a1.weight")
  static let a2 = MethodPart(".a2.weight")
  static let b1 = MethodPart(".b1.weight")
  static let b2 = MethodPart(".b2.weight")
  static let middle = MethodPart(".bm.weight")
  public static let parts = [a1, a2, b1, b2, middle, ModuleParts.scalar]

  public let tensors: [(part: MethodPart, tensor: StoredTensor)]
  private let a1: StoredTensor
  private let a2: StoredTensor
  /// B₁ B₂.
  private let added: StoredLoRA

  public init(_ parts: ModuleParts) throws {
    let (a1, a2) = (try parts.required(Self.a1), try parts.required(Self.a2))
    var lora = parts
    lora.tensors = [
      StoredLoRA.a: try parts.required(Self.b2), StoredLoRA.b: try parts.required(Self.b1),
      StoredLoRA.middle: try parts.optional(Self.middle), ModuleParts.scalar: try parts.optional(ModuleParts.scalar),
    ].compactMapValues { $0 }
    added = try StoredLoRA(lora)
    let (inputs, rank) = (added.a.shape[1], added.rank)
    tensors =
      [(Self.a1, a1), (Self.a2, a2), (Self.b1, added.b), (Self.b2, added.a)]
      + (added.middle.map { [(Self.middle, $0)] } ?? [])
    guard a1.shape.count >= 2, a2.shape.count >= 2, a1.shape[0] == inputs, a1.count == inputs * a1.shape[1],
      a2.shape[0] == a1.shape[1], a2.count == a2.shape[0] * inputs, a2.shape[1] == inputs, a1.shape[1] == rank
    else {
      throw parts.problem(
        "\(described(tensors)) do not fit", expected: "a1 [in, r], a2 [r, in], b1 [out, r], b2 [r, in, …]")
    }
    self.a1 = a1.reshaped([inputs, rank])
    self.a2 = a2.reshaped([rank, inputs])
  }

  public var shape: UpdateShape { added.shape }
  public var rank: Int { added.rank }
  public var scale: Double { added.scale }
  public var isAdditive: Bool { false }

  public func transform(of weight: WeightMatrix) throws -> any WeightTransform {
    let (channels, cells) = (a1.shape[0], added.inputs / a1.shape[0])
    guard weight.inputs == added.inputs, weight.outputs == added.outputs else {
      throw CheckpointError(
        .mismatch, file: "", "\(added.b.name) is for \(added.outputs) outputs and \(added.inputs) inputs",
        expected: "those of the weight \(weight.shape)", advice: .takeItsBase)
    }
    let (a1, a2) = (try a1.tensor(), try a2.tensor())
    let scale = Float(scale)
    let addition = LowRankTransform(try added.factors()!, isTransposed: weight.isTransposed)
    guard weight.isTransposed else {
      return BlockTransform { block, rows in
        // [rows, in, cells] → [rows · cells, in], for the channels to be the last axis.
        let channelsLast = block.reshaped([rows.count, channels, cells]).permuted([0, 2, 1])
          .reshaped([rows.count * cells, channels])
        let change = channelsLast.matmul(a1).matmul(a2).reshaped([rows.count, cells, channels]).permuted([0, 2, 1])
        return addition(block, rows: rows).adding(change.reshaped(block.shape), scaledBy: scale)
      }
    }
    // Of the transpose, (W A₁)ᵀ takes all rows: A₁ᵀ Wᵀ, [r, outputs].
    guard cells == 1 else {
      throw CheckpointError(
        .unsupported, file: "", "\(added.b.name) is for a convolution whose weight is stored transposed",
        expected: "it stored as PyTorch does", advice: "Convert the base with the program that wrote it")
    }
    var through = Tensor.zeros([rank, weight.columns])
    for rows in weight.blocks {
      through = through + a1.sliced(axis: 0, rows).matmul(weight.read(rows), transposeSelf: true)
    }
    return BlockTransform { [through] block, rows in
      addition(block, rows: rows)
        .adding(a2.sliced(axis: 1, rows).matmul(through, transposeSelf: true), scaledBy: scale)
    }
  }
}
