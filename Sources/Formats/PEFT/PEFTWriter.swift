// Writing a PEFT directory, module by module, so that an adapter need never be in memory whole.
//
// Before the directory takes its name it is read again by peft's rules: every module must have the rank and the scale
// that were meant, and nothing may be passed over.

import Foundation
import LoRAAdapters
import LoRAFiles
import LoRATensors

/// Writes a PEFT directory. It appears when ``finish(_:)`` is called; without it nothing is left behind.
public final class PEFTWriter: @unchecked Sendable {
  private let output: OutputDirectory
  private let weights: SafetensorsWriter
  private let lock = NSLock()
  private var meant: [ExactString: (rank: Int, scale: Double)] = [:]

  /// - Parameters:
  ///   - directory: the folder that will be written.
  ///   - expected: what may be appended, at most.
  ///   - metadata: the header's `__metadata__`.
  ///   - reserves: whether room for all that is expected is reserved on the disk.
  public init(
    to directory: URL, expecting expected: [TensorInfo], metadata: [JSON.Member] = SafetensorsWriter.pythonMetadata,
    reserves: Bool = true
  ) throws {
    output = try OutputDirectory(directory)
    weights = try SafetensorsWriter(
      to: output.staging.appendingPathComponent(PEFTNames.weightsName), expecting: expected,
      metadata: metadata, reserves: reserves)
  }

  /// Writes a module's tensors; may be called from several threads.
  public func append(_ module: StoredModule) throws {
    for tensor in module.peftTensors { try weights.append(tensor) }
    lock.withLock { meant[module.path] = (module.rank, module.scale) }
  }

  /// Writes a weight that takes the place of the base's.
  public func append(replacement tensor: StoredTensor) throws {
    try weights.append(tensor.renamed(PEFTNames.prefix + tensor.name))
  }

  /// Writes a tensor that all modules share, under its own name.
  func append(shared tensor: StoredTensor) throws { try weights.append(tensor) }

  /// Writes the configuration, reads the folder again by peft's rules, and gives it its name.
  ///
  /// - Throws: `CheckpointError` where a module's rank or scale would not be what was meant; nothing is left then.
  public func finish(_ configuration: PEFTConfiguration) throws {
    try weights.finish()
    try OutputFile.write(
      configuration.json.pretty, to: output.staging.appendingPathComponent(PEFTNames.configurationName))
    try verify()
    try output.commit()
  }

  private func verify() throws {
    let written = try StoredAdapter(peft: output.staging)
    var problems = written.findings.filter { $0.severity == .error }.map {
      "\($0.message): \($0.subjects.prefix(3).joined(separator: ", "))"
    }
    for module in written.modules {
      guard let expected = meant[module.path], expected.rank == module.rank,
        abs(expected.scale - module.scale) <= 1e-9 * abs(expected.scale)
      else {
        problems.append("\(module.path) would be read with rank \(module.rank) and scale \(module.scale)")
        continue
      }
    }
    if written.modules.count != meant.count {
      problems.append("\(written.modules.count) of \(meant.count) modules would be read")
    }
    guard problems.isEmpty else {
      throw CheckpointError(
        .mismatch, file: output.url.path,
        "peft would read something else (nothing was written): " + problems.prefix(5).joined(separator: "; "),
        expected: "what was meant", advice: "Report this with the files: it is a fault of this program")
    }
  }
}

extension StoredModule {
  /// Its tensors under the names that peft gives them.
  package var peftTensors: [StoredTensor] {
    method.tensors.map { $0.tensor.renamed(PEFTNames.prefix + path + $0.part.suffix) }
  }
}

extension StoredAdapter {
  /// Writes the adapter as a PEFT directory, each tensor in the format in which it is stored.
  public func write(peft directory: URL) throws {
    // With bias "lora_only", the bias of an adapted module lies under its base_layer.
    let adapted = Set<ExactString>(names: modules.map(\.path))
    let replacements = replacements.map { tensor in
      guard adapted.contains(tensor.info.modulePath) else { return tensor }
      return tensor.renamed(tensor.info.modulePath + ".base_layer." + lastComponent(tensor.name))
    }
    // With lora_bias, every B has a bias.
    let modules =
      !configuration.hasLoRABias
      ? modules
      : try modules.map { module in
        var module = module
        if let lora = module.lora, lora.outputBias == nil {
          module.lora?.outputBias = try StoredTensor(name: "", .zeros([lora.outputs]))
        }
        return module
      }
    let writer = try PEFTWriter(
      to: directory,
      expecting: modules.flatMap { $0.peftTensors.map(\.info) }
        + replacements.map { $0.renamed(PEFTNames.prefix + $0.name).info } + shared.map(\.info),
      metadata: SafetensorsWriter.pythonMetadata + notes)
    for module in modules { try writer.append(module) }
    for tensor in replacements { try writer.append(replacement: tensor) }
    for tensor in shared { try writer.append(shared: tensor) }
    try writer.finish(configuration)
  }
}
