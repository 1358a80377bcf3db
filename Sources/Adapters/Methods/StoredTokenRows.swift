// Trained tokens at rest: rows that take the place of an embedding's own.

import LoRAFiles
import LoRATensors

/// Rows of a table, replaced (peft's `trainable_token_indices` beside other methods, and its TRAINABLE_TOKENS).
///
/// `trainable_tokens_delta` [n, width] are the rows themselves, for all its name; which, only the configuration says.
public struct StoredTokenRows: AdapterMethod {
  public static let name = "trainable tokens"
  public static let peftType: String? = "TRAINABLE_TOKENS"
  /// Beside other methods, and alone.
  static let rows = MethodPart(".token_adapter.trainable_tokens_delta")
  static let ownRows = MethodPart(".trainable_tokens_delta")
  public static let parts = [rows, ownRows]
  public static let isTargeted = false

  private let part: MethodPart
  private let values: StoredTensor
  /// Where in the table each row of `values` goes.
  private let indices: [Int]

  public init(_ parts: ModuleParts) throws {
    part = parts[Self.rows] == nil ? Self.ownRows : Self.rows
    values = try parts.matrix(part)
    indices = try Self.indices(parts)
    guard indices.count == values.shape[0], indices.allSatisfy({ $0 >= 0 }) else {
      throw parts.problem(
        "has \(values.shape[0]) trained tokens",
        expected: "one for each of the \(indices.count) indices that the configuration names", kind: .mismatch)
    }
  }

  private static func indices(_ parts: ModuleParts) throws -> [Int] {
    let named = ["trainable_token_indices", "token_indices"].lazy.compactMap { parts.fields[$0] }.first { !$0.isNull }
    guard let named else {
      throw parts.problem(
        "has trained tokens without their indices",
        expected: "trainable_token_indices in adapter_config.json, which lists them", kind: .missing)
    }
    var list = named.array
    if list == nil {
      list = named.members.first { parts.path == $0.key || parts.path.hasSuffix("." + $0.key) }?.value.array
    }
    guard let list, !list.contains(where: { $0.integer == nil }) else {
      throw parts.problem("trainable_token_indices has no list for this module", expected: "a list of whole numbers")
    }
    return list.compactMap(\.integer)
  }

  public var tensors: [(part: MethodPart, tensor: StoredTensor)] { [(part, values)] }
  public var shape: UpdateShape { .rows(width: values.shape[1]) }
  public var isAdditive: Bool { false }
  public var isPEFTOnly: Bool { true }

  public func transform(of weight: WeightMatrix) throws -> any WeightTransform {
    guard weight.columns == values.shape[1], weight.isTransposed, indices.allSatisfy({ $0 < weight.rows }) else {
      throw CheckpointError(
        .mismatch, file: "", "\(values.name) has rows of \(values.shape[1]) numbers up to token \(indices.max() ?? 0)",
        expected: "rows of the table \(weight.shape)", advice: .takeItsBase)
    }
    let width = values.shape[1]
    let places = Dictionary(zip(indices, 0...)) { $1 }
    return BlockTransform { [values] block, rows in
      Tensor(shape: block.shape) { out in
        block.withUnsafeBufferPointer { _ = out.update(fromContentsOf: $0) }
        for row in rows {
          guard let place = places[row] else { continue }
          let start = (row - rows.lowerBound) * width
          values.read(place * width..<(place + 1) * width, into: .init(rebasing: out[start..<start + width]))
        }
      }
    }
  }
}
