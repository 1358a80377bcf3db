// Writing a PEFT directory, module by module, so that an adapter need never be in memory whole.

import Foundation
import LoRAAdapters
import LoRAFiles

/// Writes a PEFT directory. It appears when ``finish(_:)`` is called; without it nothing is left behind.
public final class PEFTWriter {
  private let output: OutputDirectory
  private let weights: SafetensorsWriter

  /// - Parameters:
  ///   - reserves: whether room for all that is expected is reserved on the disk.
  public init(to directory: URL, expecting expected: [TensorInfo], reserves: Bool = true) throws {
    output = try OutputDirectory(directory)
    weights = try SafetensorsWriter(
      to: output.staging.appendingPathComponent(PEFTFormat.weightsName), expecting: expected, reserves: reserves)
  }

  /// Writes a module's factors; may be called from several threads.
  public func append(_ module: StoredModule) throws {
    for tensor in module.peftTensors { try weights.append(tensor) }
  }

  /// Writes a weight that takes the place of the base's.
  public func append(replacement tensor: StoredTensor) throws {
    try weights.append(tensor.renamed(PEFTFormat.prefix + tensor.name))
  }

  public func finish(_ configuration: PEFTConfiguration) throws {
    try weights.finish()
    try OutputFile.write(
      configuration.json.pretty, to: output.staging.appendingPathComponent(PEFTFormat.configurationName))
    try output.commit()
  }
}

extension StoredModule {
  /// Its tensors under the names that peft gives them.
  package var peftTensors: [StoredTensor] {
    let stem = PEFTFormat.prefix + path
    let isEmbedding = kind == .embedding
    return [
      a.renamed(stem + (isEmbedding ? PEFTFormat.Part.embeddingA : .a).rawValue),
      b.renamed(stem + (isEmbedding ? PEFTFormat.Part.embeddingB : .b).rawValue),
      bias?.renamed(stem + PEFTFormat.Part.bias.rawValue),
      magnitude?.renamed(stem + PEFTFormat.Part.magnitude.rawValue),
    ].compactMap { $0 }
  }
}

extension StoredAdapter {
  /// Writes the adapter as a PEFT directory, each tensor in the format in which it is stored.
  public func write(peft directory: URL) throws {
    // With bias "lora_only", the bias of an adapted module lies under its base_layer.
    let adapted = Set(modules.map(\.path))
    let replacements = replacements.map { tensor in
      guard adapted.contains(tensor.info.modulePath) else { return tensor }
      let leaf = tensor.name.dropFirst(tensor.info.modulePath.count)
      return tensor.renamed(tensor.info.modulePath + ".base_layer" + leaf)
    }
    let writer = try PEFTWriter(
      to: directory,
      expecting: modules.flatMap { $0.peftTensors.map(\.info) }
        + replacements.map { $0.renamed(PEFTFormat.prefix + $0.name).info })
    for module in modules { try writer.append(module) }
    for tensor in replacements { try writer.append(replacement: tensor) }
    try writer.finish(configuration)
  }
}
