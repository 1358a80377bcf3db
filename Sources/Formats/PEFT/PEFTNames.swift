// What peft makes of a tensor's name: the rules of its `set_peft_model_state_dict`.
//
// A name is loaded where it is that of a parameter of the wrapped model, with or without the adapter's name "default" in
// it; everything else is passed over in silence.

import LoRAAdapters
import LoRAFiles

package enum PEFTNames {
  static let configurationName = "adapter_config.json"
  static let weightsName = "adapter_model.safetensors"
  static let legacyWeightsName = "adapter_model.bin"
  package static let prefix = "base_model.model."

  /// What a name is to peft.
  enum Meaning {
    /// A part of a module's method.
    case part(MethodPart, path: String)
    /// A part, but with the name of another adapter in it, which peft passes over.
    case foreign(adapter: String)
    /// A copy inside peft's wrapper of a saved module, without effect.
    case copy
    /// Looks like a part, and is none that peft knows.
    case unknown
    /// A weight that takes the place of the base's, under the base's name.
    case replacement(String)
  }

  /// Suffixes that peft loads, with and without the adapter's name.
  static let parts: [String: MethodPart] = {
    var table = AdapterMethods.partByPEFTSuffix
    for (suffix, part) in AdapterMethods.partByPEFTSuffix { table[named(suffix, "default")] = part }
    table[".lora_magnitude_vector.weight"] = StoredDoRA.magnitude
    table[".lora_magnitude_vector.default.weight"] = StoredDoRA.magnitude
    return table
  }()

  /// ".lora_A.weight" with an adapter's name: ".lora_A.NAME.weight".
  private static func named(_ suffix: String, _ name: String) -> String {
    var components = suffix.split(separator: ".", omittingEmptySubsequences: false)
    components.insert(name[...], at: 2)
    return components.joined(separator: ".")
  }

  /// - Parameter name: without the prefix.
  static func meaning(of name: Substring) -> Meaning {
    let dots = name.indices.filter { name[$0] == "." }
    for dot in dots {
      if let part = parts[String(name[dot...])] { return .part(part, path: String(name[..<dot])) }
    }
    for dot in dots {
      let components = name[dot...].dropFirst().split(separator: ".", omittingEmptySubsequences: false)
      guard components.count >= 2 else { continue }
      let without = "." + (components.prefix(1) + components.dropFirst(2)).joined(separator: ".")
      if parts[without] != nil { return .foreign(adapter: String(components[1])) }
    }
    if name.contains(".modules_to_save.") || name.contains(".original_module.") { return .copy }
    if name.contains(".lora_") || name.hasSuffix(".alpha") { return .unknown }
    return .replacement(String(name).replacing(".base_layer.", with: "."))
  }
}
