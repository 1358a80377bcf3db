// MiSS at rest: one small matrix, added to the weight again and again, as peft stores it.

import LoRAFiles
import LoRATensors

/// W + Dᵀ [I I …] (Kang and Yin, 2024): `miss_block` D [r, out] added to every r inputs, the last of them cut off.
///
/// With `init_weights` "bat", the block is [out / r, r, r], and every r × r block of the weight becomes W + W D + D.
public struct StoredMiSS: AdapterMethod {
  public static let name = "MiSS"
  public static let peftType: String? = "MISS"
  static let block = MethodPart(".miss_block")
  public static let parts = [block]

  private let block: StoredTensor

  public init(_ parts: ModuleParts) throws {
    block = try parts.required(Self.block)
    guard parts.fields["init_weights"]?.string != "mini" else {
      throw parts.problem(
        "is MiSS with init_weights \"mini\", which does not say how many outputs there are",
        expected: "init_weights true or \"bat\"", kind: .unsupported)
    }
    let isBat = parts.fields["init_weights"]?.string == "bat"
    guard block.shape.count == (isBat ? 3 : 2), !isBat || block.shape[1] == block.shape[2] else {
      throw parts.problem("miss_block has shape \(block.shape)", expected: isBat ? "[out / r, r, r]" : "[r, out]")
    }
    try parts.count(block.shape[0], block.shape[1])
  }

  public var tensors: [(part: MethodPart, tensor: StoredTensor)] { [(Self.block, block)] }
  private var isBat: Bool { block.shape.count == 3 }
  private var outputs: Int { isBat ? block.shape[0] * block.shape[1] : block.shape[1] }
  public var shape: UpdateShape { .outputs(outputs) }
  public var rank: Int { isBat ? 0 : block.shape[0] }
  public var isAdditive: Bool { !isBat }
  public var mixesRows: Bool { isBat }
  public var isPEFTOnly: Bool { true }

  public func factors(inputs: Int) throws -> LowRankUpdate? {
    guard !isBat else { return nil }
    let rank = rank
    let a = Tensor(shape: [rank, inputs]) { out in
      out.initialize(repeating: 0)
      for input in 0..<inputs { out[input % rank * inputs + input] = 1 }
    }
    return LowRankUpdate(a: a, b: try block.tensor().transposed(), scale: 1)
  }

  public func transform(of weight: WeightMatrix) throws -> any WeightTransform {
    if !isBat, let factors = try factors(inputs: weight.inputs) {
      return LowRankTransform(factors, isTransposed: weight.isTransposed)
    }
    let size = block.shape[1]
    let (inputs, outputs) = (weight.inputs, weight.outputs)
    guard outputs == self.outputs, inputs % size == 0 else {
      throw CheckpointError(
        .mismatch, file: "", "\(block.name) has shape \(block.shape)",
        expected: "one that divides the weight \(weight.shape)", advice: .takeItsBase)
    }
    let d = try block.tensor()
    // W D + D = (W + I) D, for each block.
    @Sendable func adapted(_ x: Tensor, from start: Int) -> Tensor {
      let rows = x.shape[0]
      let range = start / size..<(start + rows) / size
      let blocks = x.reshaped([range.count, size, inputs / size, size])
      let raised = blocks + Tensor.identity(size).reshaped([1, size, 1, size])
      let change = raised.reshaped([range.count, rows / range.count * (inputs / size), size])
        .matmul(d.sliced(axis: 0, range))
      return x + change.reshaped(x.shape)
    }
    guard !weight.isTransposed else {
      return BlockTransform(rowMultiple: size) { block, rows in
        // All outputs of some inputs: the identity lies the same in every block of inputs.
        let x = block.transposed()
        let count = rows.count / size
        let blocks = x.reshaped([outputs / size, size, count, size])
        let raised = blocks + Tensor.identity(size).reshaped([1, size, 1, size])
        let change = raised.reshaped([outputs / size, size * count, size]).matmul(d)
        return (x + change.reshaped(x.shape)).transposed()
      }
    }
    return BlockTransform(rowMultiple: size) { block, rows in adapted(block, from: rows.lowerBound) }
  }
}
