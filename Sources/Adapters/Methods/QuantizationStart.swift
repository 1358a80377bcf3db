import LoRALinearAlgebra
import LoRANetworks
import LoRATensors

extension Module {
  /// Has the adapters of a quantised model begin with what quantising lost: each LoRA of that name becomes the best
  /// approximation, of its rank, of the original weight less the stored one (Li et al. 2023, LoftQ, with the base as it
  /// is: one round). The model then stands nearer to the original before anything is learnt.
  ///
  /// - Parameters:
  ///   - name: of the adapters.
  ///   - original: the model before it was quantised, with the same modules.
  /// - Returns: the share of the squared loss, over all adapted weights, that the adapters mend: 0 to 1.
  /// - Throws: `AttachmentError` where the original lacks a weight, or has it in another shape, or an adapter is no plain
  ///   LoRA; `LinearAlgebraError` where a weight is not finite.
  @discardableResult
  public func startAdapters(named name: String = "default", from original: some Module) throws -> Double {
    let weights = Dictionary(uniqueKeysWithValues: original.adaptableWeights.map { ($0.path, $0.parameter) })
    var (lost, mended) = (0.0, 0.0)
    for item in attachedAdapters where item.adapter.name == name && !(item.adapter is Replacement) {
      guard let lora = item.adapter as? LoRA, lora.origin == nil else {
        throw AttachmentError.noStart(path: item.path, reason: "only a plain LoRA can begin with what quantising lost")
      }
      guard let weight = weights[item.path], weight.shape == item.weight.shape else {
        let found = weights[item.path].map { "has the shape \($0.shape)" } ?? "is not there"
        throw AttachmentError.noStart(
          path: item.path, reason: "in the original it \(found); here it has the shape \(item.weight.shape)")
      }
      let difference = weight.original.detached.widened - item.weight.original.detached.widened
      let matrix = weight.layout == .outputsByInputs ? difference : difference.transposed()
      let squares = Double(difference.norm) * Double(difference.norm)
      lost += squares
      guard squares > 0 else { continue }
      let factors = try matrix.randomizedSVD(rank: lora.rank)
      let (balanced, share) = (factors.balanced(), 1 / lora.scale.squareRoot())
      try lora.a.assignOriginal(balanced.a * share)
      try lora.b.assignOriginal(balanced.b * share)
      mended += factors.singularValues.reduce(0) { $0 + Double($1) * Double($1) }
    }
    return lost == 0 ? 1 : mended / lost
  }
}
