// Orthogonal finetuning at rest as LyCORIS stores it: rotations of a weight's outputs (diag-oft and boft).

import LoRAFiles
import LoRATensors

/// R W, and r ∘ R W with `rescale` (Qiu et al., 2023, OFT; Liu et al., 2024, BOFT).
///
/// `oft_blocks` are matrices M of which R is made, block by block: Cayley's transform of M − Mᵀ. As [n, s, s] they stand
/// on R's diagonal; as [m, n, s, s], R is a product of m such, the i-th of them on outputs that lie 2ⁱ⁻¹ s apart. Their
/// norm is at most α · outputs, where α is not 0.
public struct StoredOFT: AdapterMethod {
  public static let name = "OFT"
  public static let peftType: String? = nil
  static let blocks = MethodPart(".oft_blocks")
  static let rescale = MethodPart(".rescale")
  public static let parts = [blocks, rescale]

  private let blocks: StoredTensor
  private let rescale: StoredTensor?
  private let alpha: Double

  public init(_ parts: ModuleParts) throws {
    blocks = try parts.required(Self.blocks)
    rescale = try parts.optional(Self.rescale) == nil ? nil : parts.vector(Self.rescale)
    let shape = blocks.shape
    guard shape.count == 3 || shape.count == 4, shape.last == shape[shape.count - 2] else {
      throw parts.problem("oft_blocks has shape \(shape)", expected: "[n, s, s], or [m, n, s, s] of butterflies")
    }
    let outputs = try parts.count(shape[shape.count - 3], shape[shape.count - 1])
    if shape.count == 4 {
      let stages = shape[0]
      guard shape[3] % 2 == 0, stages < 40, outputs % (shape[3] << (stages - 1)) == 0 else {
        throw parts.problem(
          "oft_blocks has shape \(shape)",
          expected: "\(outputs) outputs as butterflies of \(stages) stages and blocks of \(shape[3]) make them")
      }
    }
    if let rescale, rescale.count != outputs {
      throw parts.problem("rescale has shape \(rescale.shape)", expected: "\(outputs) numbers")
    }
    alpha = parts.alpha ?? 0
    guard alpha.isFinite else {
      throw parts.problem("alpha, a bound of oft_blocks' norm, is \(alpha)", expected: "a finite number", kind: .number)
    }
  }

  /// "BOFT" where the blocks are butterflies.
  public var name: String { blocks.shape.count == 4 ? "BOFT" : "OFT" }
  public var tensors: [(part: MethodPart, tensor: StoredTensor)] {
    [(Self.blocks, blocks)] + (rescale.map { [(Self.rescale, $0)] } ?? [])
  }
  private var outputs: Int { blocks.shape[blocks.shape.count - 3] * size }
  private var size: Int { blocks.shape[blocks.shape.count - 1] }
  public var shape: UpdateShape { .outputs(outputs) }
  public var storedAlpha: Double? { alpha }
  public var isAdditive: Bool { false }
  public var mixesRows: Bool { true }

  public func transform(of weight: WeightMatrix) throws -> any WeightTransform {
    guard weight.outputs == outputs else {
      throw CheckpointError(
        .mismatch, file: "", "\(blocks.name) rotates \(outputs) outputs",
        expected: "those of the weight \(weight.shape)", advice: .takeItsBase)
    }
    let rotation = try rotation()
    guard !weight.isTransposed else {
      return BlockTransform { block, _ in rotation(block.transposed(), 0).transposed() }
    }
    return BlockTransform(rowMultiple: rotation.span) { block, rows in rotation(block, rows.lowerBound) }
  }

  private func rotation() throws -> Rotation {
    let isButterfly = blocks.shape.count == 4
    let count = outputs / size
    let stored = try blocks.reshaped([blocks.count / (size * size), size, size]).tensor()
    var skew = stored - stored.transposed()
    let norm = skew.norm + 1e-8
    let constraint = alpha * Double(outputs)
    if constraint > 0, norm > constraint { skew = skew * Float(constraint / norm) }
    let all = Rotations.cayley(skew)
    // LyCORIS multiplies by Rᵀ where R is diagonal, by R where it is not.
    let stages =
      isButterfly
      ? (0..<blocks.shape[0]).map { all.sliced(axis: 0, $0 * count..<($0 + 1) * count) } : [all.transposed()]
    return Rotation(stages: stages, size: size, isButterfly: isButterfly, rescale: try rescale?.tensor())
  }
}

/// R, factored.
private struct Rotation: Sendable {
  let stages: [Tensor]  // each [n, s, s]
  let size: Int
  let isButterfly: Bool
  let rescale: Tensor?  // [outputs]

  /// Outputs that are mixed with each other.
  var span: Int { isButterfly ? size << (stages.count - 1) : size }

  /// - Parameter x: some of the outputs, from `start` on, [a multiple of `span`, columns].
  func callAsFunction(_ x: Tensor, _ start: Int) -> Tensor {
    let (rows, columns) = (x.shape[0], x.shape[1])
    let blocks = start / size..<(start + rows) / size
    var x = x
    for (index, stage) in stages.enumerated() {
      let apart = (size << index) / 2
      if isButterfly { x = x.reshaped([rows / (2 * apart), 2, apart, columns]).permuted([0, 2, 1, 3]) }
      x = stage.sliced(axis: 0, blocks).matmul(x.reshaped([blocks.count, size, columns]))
      if isButterfly { x = x.reshaped([rows / (2 * apart), apart, 2, columns]).permuted([0, 2, 1, 3]) }
      x = x.reshaped([rows, columns])
    }
    return rescale.map { x * $0.sliced(axis: 0, start..<start + rows).reshaped([rows, 1]) } ?? x
  }
}
