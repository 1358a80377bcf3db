// A whole difference at rest: what is added to a weight and a bias, as LyCORIS stores it (algo "full", and norms).

import LoRAFiles
import LoRANetworks
import LoRATensors

/// W + D and b + d, unscaled: `diff` and `diff_b`, of normalization layers `w_norm` and `b_norm`.
public struct StoredDifference: AdapterMethod {
  public static let name = "Difference"
  public static let peftType: String? = nil
  static let weight = MethodPart(".diff", ".w_norm")
  package static let bias = MethodPart(".diff_b", ".b_norm")
  public static let parts = [weight, bias]

  private let weight: StoredTensor?
  private let bias: StoredTensor?

  public init(_ parts: ModuleParts) throws {
    weight = try parts.optional(Self.weight)
    bias = try parts.optional(Self.bias)
    guard weight != nil || bias != nil else {
      throw parts.problem("holds neither a weight's nor a bias' difference", expected: "diff or diff_b")
    }
    if let bias, bias.shape.count != 1 || weight.map({ $0.shape.first != bias.count }) ?? false {
      throw parts.problem("\(described(tensors)) do not fit", expected: "diff [out, …] and diff_b [out]")
    }
  }

  public var tensors: [(part: MethodPart, tensor: StoredTensor)] {
    (weight.map { [(Self.weight, $0)] } ?? []) + (bias.map { [(Self.bias, $0)] } ?? [])
  }

  public var shape: UpdateShape { weight.map { .same($0.shape) } ?? .outputs(bias!.count) }
  public var changesBias: Bool { bias != nil }
  public var isProduct: Bool { weight.map { $0.shape.count >= 2 } ?? false }

  /// The difference of a matrix is itself times an identity on its shorter side.
  public func factors() throws -> LowRankUpdate? {
    guard let weight, isProduct else { return nil }
    let matrix = try weight.reshaped([weight.shape[0], weight.count / weight.shape[0]]).tensor()
    let (rows, columns) = (matrix.shape[0], matrix.shape[1])
    return rows < columns
      ? LowRankUpdate(a: matrix, b: .identity(rows), scale: 1)
      : LowRankUpdate(a: .identity(columns), b: matrix, scale: 1)
  }

  public func bias(_ bias: Tensor) throws -> Tensor? {
    guard let change = self.bias else { return nil }
    guard change.count == bias.count else {
      throw CheckpointError(
        .mismatch, file: "", "\(change.name) has shape \(change.shape)", expected: "\(bias.shape), as the bias has",
        advice: .takeItsBase)
    }
    return try bias + change.reshaped(bias.shape).tensor()
  }

  public func attached(to weight: Parameter, named name: String) throws -> any Adapter {
    try FixedAdapter(self, on: weight, named: name)
  }

  public func transform(of weight: WeightMatrix) throws -> any WeightTransform {
    guard let change = self.weight else { return BlockTransform { block, _ in block } }
    guard change.count == weight.rows * weight.columns, change.shape.first == weight.shape.first else {
      throw CheckpointError(
        .mismatch, file: "", "\(change.name) has shape \(change.shape)", expected: "\(weight.shape), as the weight has",
        advice: .takeItsBase)
    }
    let columns = weight.columns
    return BlockTransform { block, rows in
      let part = Tensor(shape: block.shape) {
        change.read(rows.lowerBound * columns..<rows.upperBound * columns, into: $0)
      }
      return block + part
    }
  }
}
