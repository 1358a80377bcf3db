// Orthogonal finetuning at rest as peft stores it: rotations of a weight's inputs.

import LoRAFiles
import LoRATensors

/// W Rᵀ with R of blocks on the diagonal (Qiu et al., 2023; peft's OFT).
///
/// `oft_R` [n, s(s − 1)/2] holds what lies above each skew-symmetric block's diagonal. R is its Cayley transform: the
/// first terms of a series for it unless `use_cayley_neumann` is false, then exactly, and of −Q.
public struct StoredInputOFT: AdapterMethod {
  public static let name = "OFT"
  public static let peftType: String? = "OFT"
  static let triangles = MethodPart(".oft_R.weight", ".oft_R")
  public static let parts = [triangles]

  private let triangles: StoredTensor
  private let size: Int
  private let terms: Int?
  /// The norm that a block may have (COFT).
  private let bound: Double?

  public init(_ parts: ModuleParts) throws {
    triangles = try parts.matrix(Self.triangles)
    let (count, width) = (triangles.shape[0], triangles.shape[1])
    size = (1 + Int((1 + 8 * Double(width)).squareRoot())) / 2
    guard size < 1 << 24, size * (size - 1) / 2 == width else {
      throw parts.problem(
        "oft_R has shape \(triangles.shape)",
        expected: "rows as long as a block has numbers above its diagonal: 1, 3, 6, 10, …")
    }
    try parts.count(count, size, size)
    guard parts.fields["block_share"]?.bool != true else {
      throw parts.problem(
        "shares one block among all inputs (block_share), whose number the file does not say",
        expected: "a block for each part of the inputs", kind: .unsupported)
    }
    let isSeries = parts.fields["use_cayley_neumann"]?.bool ?? true
    terms = isSeries ? parts.fields["num_cayley_neumann_terms"]?.integer ?? 5 : nil
    if let terms, terms > 64 {
      throw parts.problem(
        "takes \(terms) terms of the series for a rotation", expected: "at most 64", kind: .unsupported)
    }
    bound =
      parts.fields["coft"]?.bool == true
      ? (parts.fields["eps"]?.number ?? 6e-5) / Double(count).squareRoot() : nil
  }

  public var tensors: [(part: MethodPart, tensor: StoredTensor)] { [(Self.triangles, triangles)] }
  private var inputs: Int { triangles.shape[0] * size }
  /// Of a convolution, the kernel counted in.
  public var shape: UpdateShape { .inputs(inputs) }
  public var isAdditive: Bool { false }
  public var mixesRows: Bool { true }
  public var isPEFTOnly: Bool { true }

  public func transform(of weight: WeightMatrix) throws -> any WeightTransform {
    guard weight.inputs == inputs else {
      throw CheckpointError(
        .mismatch, file: "", "\(triangles.name) rotates \(inputs) inputs",
        expected: "those of the weight \(weight.shape)", advice: .takeItsBase)
    }
    let rotations = try rotations()
    let (count, size) = (triangles.shape[0], size)
    guard !weight.isTransposed else {
      return BlockTransform(rowMultiple: size) { block, rows in
        let range = rows.lowerBound / size..<rows.upperBound / size
        return rotations.sliced(axis: 0, range).matmul(block.reshaped([range.count, size, block.shape[1]]))
          .reshaped(block.shape)
      }
    }
    return BlockTransform { block, rows in
      block.reshaped([rows.count, count, size]).permuted([1, 0, 2]).matmul(rotations, transposeOther: true)
        .permuted([1, 0, 2]).reshaped(block.shape)
    }
  }

  /// R's blocks, [n, s, s].
  private func rotations() throws -> Tensor {
    let skew = try self.skew()
    guard let terms else { return Rotations.cayley(-skew) }
    // I + 2Q + 2Q² + … + Qᵏ, as peft cuts it off.
    let identity = Tensor.identity(size).reshaped([1, size, size]).broadcast(to: skew.shape)
    guard terms > 1 else { return identity }
    var result = identity.adding(skew, scaledBy: 2)
    guard terms > 2 else { return result }
    var power = skew.matmul(skew)
    result = result.adding(power, scaledBy: 2)
    for _ in stride(from: 3, to: terms - 1, by: 1) {
      power = power.matmul(skew)
      result = result.adding(power, scaledBy: 2)
    }
    return result + power.matmul(skew)
  }

  private func skew() throws -> Tensor {
    let (count, width, size) = (triangles.shape[0], triangles.shape[1], size)
    let upper = try triangles.tensor().scalars
    return Tensor(shape: [count, size, size]) { out in
      out.initialize(repeating: 0)
      for block in 0..<count {
        var place = block * width
        var squares = 0.0
        for value in upper[place..<place + width] { squares += 2 * Double(value) * Double(value) }
        let factor = bound.map { squares.squareRoot() > $0 ? Float($0 / squares.squareRoot()) : 1 } ?? 1
        for row in 0..<size {
          for column in row + 1..<max(size, row + 1) {
            out[(block * size + row) * size + column] = upper[place] * factor
            out[(block * size + column) * size + row] = -upper[place] * factor
            place += 1
          }
        }
      }
    }
  }
}
