// Any method beside a difference of the bias, as LyCORIS stores it: `diff_b` next to LoRA's, LoHa's or LoKr's tensors.

import LoRAFiles
import LoRANetworks
import LoRATensors

/// What another method makes of the weight, and b + d.
public struct StoredBiasDifference: AdapterMethod {
  public static let name = "bias difference"
  public static let peftType: String? = nil
  public static let parts: [MethodPart] = []
  public static func recognises(_ found: Set<MethodPart>) -> Bool {
    found.contains(StoredDifference.bias) && !found.isSubset(of: StoredDifference.parts)
  }

  public let core: any AdapterMethod
  private let difference: StoredDifference

  public init(_ parts: ModuleParts) throws {
    var (rest, bias) = (parts, parts)
    rest.tensors[StoredDifference.bias] = nil
    bias.tensors = bias.tensors.filter { $0.key == StoredDifference.bias }
    core = try AdapterMethods.make(rest)
    difference = try StoredDifference(bias)
  }

  private init(_ core: any AdapterMethod, _ difference: StoredDifference) {
    (self.core, self.difference) = (core, difference)
  }

  public func replacing(core: any AdapterMethod) -> any AdapterMethod { StoredBiasDifference(core, difference) }

  public var name: String { core.name }
  public var tensors: [(part: MethodPart, tensor: StoredTensor)] { core.tensors + difference.tensors }
  public var shape: UpdateShape { core.shape }
  public var rank: Int { core.rank }
  public var scale: Double { core.scale }
  public var changesBias: Bool { true }
  public var isAdditive: Bool { core.isAdditive }
  public var mixesRows: Bool { core.mixesRows }
  public var isRowwise: Bool { core.isRowwise }
  public var storedAlpha: Double? { core.storedAlpha }
  public var isProduct: Bool { core.isProduct }
  public func factors() throws -> LowRankUpdate? { try core.factors() }
  public func transform(of weight: WeightMatrix) throws -> any WeightTransform { try core.transform(of: weight) }
  public func bias(_ bias: Tensor) throws -> Tensor? { try difference.bias(core.bias(bias) ?? bias) }
}
