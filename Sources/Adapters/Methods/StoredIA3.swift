// (IA)³ at rest: a factor for each output or each input, as peft and LyCORIS store it.

import LoRAFiles
import LoRATensors

/// diag(l) W and l ∘ b (Liu et al., 2022), or W diag(l) in the modules that peft calls feedforward.
///
/// peft's `ia3_l` is the factor itself, [out, 1] or [1, in] (of a convolution [1, n, 1, 1] either way). LyCORIS' `weight`
/// is what the factor exceeds 1 by, with `on_input` beside it, and leaves the bias alone.
public struct StoredIA3: AdapterMethod {
  public static let name = "IA3"
  public static let peftType: String? = "IA3"
  static let factors = MethodPart(".ia3_l")
  package static let excess = MethodPart(".weight", isForeign: true)
  package static let onInput = MethodPart(".on_input", isForeign: true)
  public static let parts = [factors, excess, onInput]

  public let tensors: [(part: MethodPart, tensor: StoredTensor)]
  private let vector: StoredTensor
  private let isOnInput: Bool
  private let isExcess: Bool

  public init(_ parts: ModuleParts) throws {
    isExcess = parts[Self.factors] == nil
    let part = isExcess ? Self.excess : Self.factors
    let stored = try parts.required(part)
    vector = try parts.vector(part)
    if isExcess {
      guard let flag = parts[Self.onInput], flag.count == 1, let value = flag.isNonzero else {
        throw parts.problem("on_input is missing beside weight, or no number", expected: "one number", kind: .missing)
      }
      isOnInput = value
      tensors = [(part, stored), (Self.onInput, flag)]
    } else {
      guard parts[Self.excess] == nil, parts[Self.onInput] == nil else {
        throw parts.problem("has ia3_l beside weight or on_input", expected: "one of peft's and LyCORIS' forms")
      }
      // A matrix shows by its shape which it is.
      let shape = stored.shape
      isOnInput =
        shape.count == 2 && shape[0] != shape[1]
        ? shape[0] == 1 : try Self.isFeedforward(parts)
      tensors = [(part, stored)]
    }
  }

  private static func isFeedforward(_ parts: ModuleParts) throws -> Bool {
    guard let names = parts.fields["feedforward_modules"], !names.isNull else { return false }
    if let pattern = names.string {
      do throws(PythonPatternError) { return try PythonPattern(pattern).matches(parts.path) } catch {
        throw parts.problem(
          "feedforward_modules is the pattern \(pattern): \(error)", expected: "a pattern as Python reads it",
          kind: .unsupported, advice: "Replace the pattern by a list of names")
      }
    }
    guard let names = names.strings else {
      throw parts.problem(
        "feedforward_modules is neither a pattern nor a list", expected: "names of modules, or a pattern")
    }
    return names.contains { parts.path == $0 || parts.path.hasSuffix("." + $0) }
  }

  /// Of a convolution, its channels count, not the kernel.
  public var shape: UpdateShape { isOnInput ? .inputs(vector.count) : .outputs(vector.count) }
  public var isAdditive: Bool { false }
  public var changesBias: Bool { !isOnInput && !isExcess }
  public var needsBias: Bool { false }
  public var peftType: String? { isExcess ? nil : Self.peftType }
  public var isPEFTOnly: Bool { !isExcess }

  private func scales() throws -> Tensor {
    let tensor = try vector.tensor()
    return isExcess ? tensor + 1 : tensor
  }

  public func bias(_ bias: Tensor) throws -> Tensor? {
    guard changesBias else { return nil }
    guard bias.count == vector.count else {
      throw CheckpointError(
        .mismatch, file: "", "\(vector.name) has \(vector.count) factors",
        expected: "one for each number of the bias \(bias.shape)", advice: .takeItsBase)
    }
    return try bias * scales().reshaped(bias.shape)
  }

  public func transform(of weight: WeightMatrix) throws -> any WeightTransform {
    let scales = try scales()
    if isOnInput == weight.isTransposed {  // Factors lie along the stored rows.
      guard scales.count == weight.rows else { throw mismatch(weight) }
      return BlockTransform { block, rows in block * scales.sliced(axis: 0, rows).reshaped([rows.count, 1]) }
    }
    // Of a convolution's columns, `cells` in a row belong to one channel.
    guard weight.columns % scales.count == 0,
      weight.columns == scales.count || (weight.shape.count > 2 && weight.shape[1] == scales.count)
    else { throw mismatch(weight) }
    let cells = weight.columns / scales.count
    let spread = scales.reshaped([scales.count, 1]).broadcast(to: [scales.count, cells]).reshaped([1, weight.columns])
    return BlockTransform { block, _ in block * spread }
  }

  private func mismatch(_ weight: WeightMatrix) -> CheckpointError {
    CheckpointError(
      .mismatch, file: "", "\(vector.name) has \(vector.count) factors",
      expected: "one for each of the \(isOnInput ? "inputs" : "outputs") of the weight \(weight.shape)",
      advice: .takeItsBase)
  }
}

extension StoredTensor {
  /// Whether a whole number or a truth value, of any width, is not zero; nil where it is none of these.
  fileprivate var isNonzero: Bool? {
    switch format {
    case .bool, .i8, .u8, .i16, .u16, .i32, .u32, .i64, .u64: withBytes { $0.contains { $0 != 0 } }
    default: format.isConvertible ? (try? tensor()).map { $0.scalars.contains { $0 != 0 } } : nil
    }
  }
}
