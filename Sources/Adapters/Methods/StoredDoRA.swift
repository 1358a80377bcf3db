// DoRA at rest: a change of direction by any method, and magnitudes of its own.

import LoRAFiles
import LoRANetworks
import LoRATensors

/// m ∘ V / ‖V‖ with V = W + ΔW (Liu et al., 2024, eq. 5); peft takes the norms by output, LyCORIS by output or by input.
public struct StoredDoRA: AdapterMethod {
  public static let name = "DoRA"
  public static let peftType: String? = "LORA"
  /// m: [outputs] in peft; with axes of length 1 of convolutions and in LyCORIS' files.
  public static let magnitude = MethodPart(".lora_magnitude_vector", ".lora_magnitude_vector.weight", ".dora_scale")
  public static let parts = [magnitude]
  public static func recognises(_ found: Set<MethodPart>) -> Bool { found.contains(magnitude) }

  /// What changes the direction: most often a ``StoredLoRA``.
  public var direction: any AdapterMethod
  /// m, one number for each output, or for each input where `isByInput`.
  public var magnitude: StoredTensor
  /// Whether there is one magnitude for each input (LyCORIS without `wd_on_output`), not for each output.
  public var isByInput: Bool
  /// LyCORIS adds a little to the norms; peft does not.
  private var epsilon: Float { magnitude.name.hasSuffix(".dora_scale") ? .ulpOfOne : 0 }

  /// A change of direction with magnitudes of its own, one for each output or for each input.
  public init(_ direction: any AdapterMethod, magnitude: StoredTensor, isByInput: Bool = false) {
    (self.direction, self.magnitude, self.isByInput) = (direction, magnitude, isByInput)
  }

  public init(_ parts: ModuleParts) throws {
    magnitude = try parts.required(Self.magnitude)
    var rest = parts
    rest.tensors[Self.magnitude] = nil
    direction = try AdapterMethods.make(rest)
    let (outputs, inputs, kernel) =
      switch direction.shape {
      case .matrix(let outputs, let inputs, let kernel): (outputs, inputs, kernel)
      case .embedding(let outputs, let inputs): (outputs, inputs, [])
      default:
        throw parts.problem(
          "has magnitudes beside \(direction.name), which has no matrix", expected: "them beside a LoRA")
      }
    // By input, a convolution has one magnitude for each channel, [1, channels, 1, 1]; factors that are flattened don't
    // show its kernel.
    let channels = inputs / kernel.reduce(1, *)
    isByInput =
      magnitude.name.hasSuffix(".dora_scale") && magnitude.shape.count > 1 && magnitude.shape[0] == 1
      && (magnitude.count == channels
        || kernel.isEmpty && magnitude.shape.count > 2 && magnitude.count > 1 && inputs % magnitude.count == 0)
    guard isByInput || magnitude.count == outputs else {
      throw parts.problem("has magnitudes of shape \(magnitude.shape)", expected: "\(outputs) numbers")
    }
  }

  public var tensors: [(part: MethodPart, tensor: StoredTensor)] { direction.tensors + [(Self.magnitude, magnitude)] }
  public var peftType: String? { direction is StoredLoRA && !isByInput ? direction.peftType : nil }
  public var shape: UpdateShape { direction.shape }
  public var rank: Int { direction.rank }
  public var scale: Double { direction.scale }
  public var changesBias: Bool { direction.changesBias }
  public var needsBias: Bool { direction.needsBias }
  public var storedAlpha: Double? { direction.storedAlpha }
  public var isAdditive: Bool { false }
  public var mixesRows: Bool { direction.mixesRows }
  public var isRowwise: Bool { direction.isRowwise && !isByInput }
  public var core: any AdapterMethod { direction }
  /// The same with the magnitudes in peft's shape: [outputs], of a convolution [1, outputs, 1, …].
  package var shapedForPEFT: StoredDoRA {
    guard case .matrix(_, _, let kernel) = shape, !isByInput else { return self }
    let shape = kernel.isEmpty ? [magnitude.count] : [1, magnitude.count] + kernel.map { _ in 1 }
    return StoredDoRA(direction, magnitude: magnitude.reshaped(shape))
  }
  public func replacing(core: any AdapterMethod) -> any AdapterMethod {
    StoredDoRA(core, magnitude: magnitude, isByInput: isByInput)
  }
  public func bias(_ bias: Tensor) throws -> Tensor? { try direction.bias(bias) }

  public func transform(of weight: WeightMatrix) throws -> any WeightTransform {
    let direction = try direction.transform(of: weight)
    let magnitude = try magnitude.reshaped([magnitude.count]).tensor()
    let epsilon = epsilon
    // Magnitudes lie along the rows or the columns of what is stored.
    guard isByInput != weight.isTransposed else {
      return BlockTransform(rowMultiple: direction.rowMultiple) { block, rows in
        DoRA.rescaled(direction(block, rows: rows), to: magnitude.sliced(axis: 0, rows), axis: 1, epsilon: epsilon)
      }
    }
    // Of a convolution's columns, `cells` in a row belong to one input.
    let cells = weight.columns / magnitude.count
    var squares = Tensor.zeros([weight.columns])
    for rows in weight.blocks { squares = squares + direction(weight.read(rows), rows: rows).squared().sum(axis: 0) }
    let norms = squares.reshaped([magnitude.count, cells]).sum(axis: 1).squareRoot() + epsilon
    let ratios = (magnitude / norms).reshaped([magnitude.count, 1]) * Tensor.full([1, cells], 1)
    return BlockTransform(rowMultiple: direction.rowMultiple) { block, rows in
      direction(block, rows: rows) * ratios.reshaped([1, weight.columns])
    }
  }

  public func attached(to weight: Parameter, named name: String) throws -> any Adapter {
    guard let lora = direction as? StoredLoRA, !isByInput, !changesBias else {
      return try FixedAdapter(self, on: weight, named: name)
    }
    return DoRA(
      try lora.lora(on: weight, named: name), for: weight,
      magnitude: try magnitude.reshaped([magnitude.count]).tensor())
  }
}

extension DoRA {
  /// m ∘ V / ‖V‖: the rows of V (axis 1) or its columns (axis 0) brought to given lengths; no gradient through the norms.
  static func rescaled(_ sum: Tensor, to magnitude: Tensor, axis: Int, epsilon: Float = 0) -> Tensor {
    let norm = sum.detached.squared().sum(axis: axis).squareRoot() + epsilon
    return sum * (magnitude / norm).reshaped(axis == 1 ? [norm.count, 1] : [1, norm.count])
  }

  public func stored(for weight: Parameter, isEmbedding: Bool) throws -> any AdapterMethod {
    StoredDoRA(
      try lora.storedLoRA(for: weight, isEmbedding: isEmbedding),
      magnitude: try StoredTensor(name: "m", magnitude.original))
  }
}
