// TEMPORARY shim
import LoRAFiles

public enum PipelineComponent: Sendable, Hashable {
  case denoiser
  case textEncoder(Int)
}
package struct ImageModelNames: Sendable {
  package init?(tensors: [TensorInfo]) { return nil }
  var components: Set<PipelineComponent> { [] }
  func places(of module: String, in component: PipelineComponent) -> [WeightPlace] { [] }
  package static func split(_ name: String) -> (component: PipelineComponent?, module: String) {
    for p in ["lora_unet_", "lora_te_", "lora_te1_", "lora_te2_"] where name.hasPrefix(p) {
      return (.denoiser, String(name.dropFirst(p.count)))
    }
    return (nil, name)
  }
}
extension ImageModelNames { func placesAnywhere(of module: String) -> [WeightPlace] { [] } }
