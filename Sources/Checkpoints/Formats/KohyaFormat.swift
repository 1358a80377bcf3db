// kohya-ss: one safetensors file; a module's path with its dots turned into underscores.

import Foundation

enum KohyaFormat {
  /// Whole paths for flat names: of `modules`, the one that flattens to a name, where it is the only one.
  ///
  /// A flat name may carry a prefix such as "lora_unet_" or "lora_te_".
  static func table(paths: [String], modules: [String]) -> [String: String] {
    var byFlatName: [String: [String]] = [:]
    for module in modules { byFlatName[flat(module), default: []].append(module) }
    var table: [String: String] = [:]
    for path in paths {
      if modules.contains(path) {
        table[path] = path
        continue
      }
      var candidates: [String] = []
      for prefix in ["", "lora_unet_", "lora_te_", "lora_te1_", "lora_te2_", "lora_"] where path.hasPrefix(prefix) {
        candidates += byFlatName[String(path.dropFirst(prefix.count))] ?? []
      }
      if Set(candidates).count == 1 { table[path] = candidates[0] }
    }
    return table
  }

  static func flat(_ path: String) -> String { path.replacingOccurrences(of: ".", with: "_") }
}
