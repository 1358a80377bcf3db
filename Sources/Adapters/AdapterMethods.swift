// All methods that are known, and which one a module's tensors are of.

import LoRAFiles

/// The methods of adaptation that are known.
public enum AdapterMethods {
  /// In the order in which they are tried: what wraps another comes before it.
  public static let all: [any AdapterMethod.Type] = [
    StoredDoRA.self, StoredBiasDifference.self, StoredLoRA.self, StoredLoHa.self, StoredLoKr.self, StoredVeRA.self,
    StoredAdaLoRA.self,
    StoredIA3.self, StoredDifference.self, StoredOFT.self, StoredInputOFT.self, StoredGLoRA.self,
    StoredTokenRows.self, StoredMiSS.self, StoredDeLoRA.self,
  ]

  /// The `peft_type`s whose folders are read.
  public static let peftTypes: [String] = Set(all.compactMap { method in method.peftType }).sorted()

  /// Every part that a file may hold, by what follows the module's path.
  public static let partBySuffix: [String: MethodPart] = Dictionary(
    all.flatMap { $0.parts.flatMap { part in part.suffixes.map { ($0, part) } } },
    uniquingKeysWith: { first, _ in first })

  /// Parts by peft's own suffixes.
  public static let partByPEFTSuffix: [String: MethodPart] = Dictionary(
    all.filter { $0.peftType != nil }.flatMap { $0.parts.filter { !$0.isForeign }.map { ($0.suffix, $0) } },
    uniquingKeysWith: { first, _ in first })

  /// Every tensor that modules may share.
  public static let sharedNames = Set(all.flatMap { method in method.sharedNames })

  /// The method whose parts are all that is there.
  ///
  /// - Throws: `CheckpointError` where no method has these parts, or they don't fit each other.
  public static func make(_ parts: ModuleParts) throws -> any AdapterMethod {
    let found = Set(parts.tensors.keys)
    guard let method = all.first(where: { $0.recognises(found) }) else {
      throw parts.problem(
        "\(parts.tensors.values.map(\.name).sorted().joined(separator: ", ")) make no method that is known",
        expected: "the parts of \(all.map { $0.name }.joined(separator: ", "))", kind: .unsupported,
        advice: "Convert it with the program that wrote it")
    }
    return try method.init(parts)
  }
}
