// Reading a PEFT directory: adapter_config.json and adapter_model.safetensors.

import Foundation
import LoRAAdapters
import LoRAFiles

/// Names and suffixes of the PEFT format.
package enum PEFTFormat {
  package static let configurationName = "adapter_config.json"
  package static let weightsName = "adapter_model.safetensors"
  package static let prefix = "base_model.model."

  /// What a tensor is to its module.
  package enum Part: String, CaseIterable {
    case a = ".lora_A.weight"
    case b = ".lora_B.weight"
    case bias = ".lora_B.bias"
    case embeddingA = ".lora_embedding_A"
    case embeddingB = ".lora_embedding_B"
    case magnitude = ".lora_magnitude_vector"
  }
}

extension StoredAdapter {
  /// Reads a PEFT directory. Files that peft would load only in part are read as far as they can be; what is wrong with
  /// them stands in ``findings``.
  ///
  /// - Throws: ``CheckpointError`` where there are no weights, or no module can be made of them.
  public init(peft directory: URL) throws {
    let weights = directory.appendingPathComponent(PEFTFormat.weightsName)
    let configurationFile = directory.appendingPathComponent(PEFTFormat.configurationName)
    let exists = { (url: URL) in FileManager.default.fileExists(atPath: url.path) }
    guard exists(directory) else { throw CheckpointError(.inputOutput, file: directory.path, "does not exist") }
    guard exists(weights) else {
      let pickle = directory.appendingPathComponent("adapter_model.bin")
      if exists(pickle) { try refusePickle(pickle) }
      throw CheckpointError(.missing, file: directory.path, "has no \(PEFTFormat.weightsName)")
    }
    guard exists(configurationFile) else {
      throw CheckpointError(
        .missing, file: directory.path, "has no \(PEFTFormat.configurationName), so rank, alpha and scale are unknown")
    }
    let configuration = try PEFTConfiguration(contentsOf: configurationFile)
    let file = try SafetensorsFile(weights)
    var parts = PEFTParts(file: file)
    let modules = try parts.modules(configuration: configuration, file: weights.path)
    guard !modules.isEmpty || !parts.replacements.isEmpty else {
      throw CheckpointError(
        .malformed, file: weights.path,
        "has no LoRA tensors; its \(file.tensors.count) names begin with \(file.tensors.first?.name ?? "nothing")")
    }
    self.init(
      format: .peft, url: directory, configuration: configuration, modules: modules,
      replacements: parts.replacements, findings: parts.findings, metadata: file.metadata)
  }
}

/// The tensors of a PEFT file sorted by module, and what is odd about them.
private struct PEFTParts {
  var replacements: [StoredTensor] = []
  var findings: [Finding] = []
  private var parts: [String: [PEFTFormat.Part: StoredTensor]] = [:]

  init(file: SafetensorsFile) {
    var unprefixed: [String] = []
    var named: [String] = []
    var unknown: [String] = []
    var copies: [String] = []
    for tensor in file.tensors {
      var name = tensor.name[...]
      if name.hasPrefix(PEFTFormat.prefix) {
        name = name.dropFirst(PEFTFormat.prefix.count)
      } else {
        unprefixed.append(tensor.name)
      }
      // peft strips the adapter's name; other programs leave it in.
      if name.contains(".default") {
        named.append(tensor.name)
        name = name.replacingOccurrences(of: ".default", with: "")[...]
      }
      if let part = PEFTFormat.Part.allCases.first(where: { name.hasSuffix($0.rawValue) }) {
        parts[String(name.dropLast(part.rawValue.count)), default: [:]][part] = tensor
      } else if name.contains(".lora_") || name.hasSuffix(".alpha") {
        unknown.append(tensor.name)
      } else if name.contains(".modules_to_save.") || name.contains(".original_module.") {
        // With bias "all", peft also saves the biases of a saved module's wrapper.
        copies.append(tensor.name)
      } else {
        replacements.append(tensor.renamed(name.replacingOccurrences(of: ".base_layer.", with: ".")))
      }
    }
    func report(_ message: String, _ names: [String], _ severity: Finding.Severity = .error) {
      if !names.isEmpty { findings.append(Finding(severity, message, names)) }
    }
    report(
      "names lack the prefix \"\(PEFTFormat.prefix)\": peft warns of missing keys and the adapter has no effect",
      unprefixed)
    report("names hold the adapter's name: peft ignores these tensors in silence", named)
    report("tensors that peft ignores in silence", unknown)
    report("copies inside peft's wrapper of a saved module: without effect", copies, .note)
  }

  mutating func modules(configuration: PEFTConfiguration, file: String) throws -> [StoredModule] {
    let matcher = try TargetMatcher(configuration, file: file)
    var modules: [StoredModule] = []
    var incomplete: [String] = []
    var otherRank: [String] = []
    for (path, parts) in parts {
      let isEmbedding = parts[.embeddingA] != nil || parts[.embeddingB] != nil
      guard let a = parts[isEmbedding ? .embeddingA : .a], let b = parts[isEmbedding ? .embeddingB : .b] else {
        incomplete += parts.values.map(\.name)
        continue
      }
      let kind: StoredModule.Kind = isEmbedding ? .embedding : a.shape.count == 4 ? .convolution : .linear
      let axes = kind == .convolution ? 4 : 2
      guard a.shape.count == axes, b.shape.count == axes, a.shape[0] == b.shape[1], a.shape[0] > 0,
        b.shape.dropFirst(2).allSatisfy({ $0 == 1 })
      else {
        throw CheckpointError(
          .malformed, file: file, "\(path): A \(a.shape) and B \(b.shape) are no pair; expected [r, in] and [out, r]")
      }
      guard a.format.isConvertible, b.format.isConvertible else {
        throw CheckpointError(
          .unsupported, file: file,
          "\(path): A and B are stored as \(a.format.rawValue) and \(b.format.rawValue); F32, F16, BF16 and F64 are read"
        )
      }
      let rank = a.shape[0]
      if matcher.rank(of: path) != rank { otherRank.append(path) }
      let alpha = matcher.alpha(of: path)
      // The magnitudes of a convolution are [1, out, 1, 1].
      if let magnitude = parts[.magnitude], magnitude.count != b.shape[0] {
        throw CheckpointError(
          .malformed, file: file, "\(path): magnitudes of shape \(magnitude.shape), expected \(b.shape[0]) numbers")
      }
      if let bias = parts[.bias], bias.shape != [b.shape[0]] {
        throw CheckpointError(
          .malformed, file: file, "\(path): lora_B.bias has shape \(bias.shape), expected [\(b.shape[0])]")
      }
      modules.append(
        StoredModule(
          path: path, kind: kind, a: a, b: b, bias: parts[.bias], magnitude: parts[.magnitude], alpha: alpha,
          scale: configuration.scale(rank: rank, alpha: alpha)))
    }
    report(.error, "A without B, or B without A", incomplete)
    report(
      .error, "the weights' rank is not the configuration's: peft fails to load these modules", otherRank)
    let withMagnitude = modules.filter { $0.magnitude != nil }
    if configuration.usesMagnitudes {
      report(
        .error, "use_dora is true, but these modules have no magnitudes",
        modules.filter { $0.magnitude == nil }.map(\.path))
    } else {
      report(.error, "use_dora is false: peft ignores these magnitudes in silence", withMagnitude.map(\.path))
    }
    if !configuration.hasLoRABias {
      report(
        .error, "lora_bias is false: peft ignores lora_B.bias in silence",
        modules.filter { $0.bias != nil }.map(\.path))
    }
    report(
      .error, "the configuration does not target these modules: peft ignores their weights in silence",
      modules.map(\.path).filter { !matcher.targets($0) })
    return modules
  }

  private mutating func report(_ severity: Finding.Severity, _ message: String, _ subjects: [String]) {
    if !subjects.isEmpty { findings.append(Finding(severity, message, subjects.sorted(by: isOrdered))) }
  }
}
