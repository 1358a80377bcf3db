// Reading a PEFT directory: adapter_config.json and adapter_model.safetensors.

import Foundation
import LoRAAdapters
import LoRAFiles
import LoRATensors

extension StoredAdapter {
  /// Reads a PEFT directory. Files that peft would load only in part are read as far as they can be; what is wrong with
  /// them stands in ``findings``.
  ///
  /// - Throws: `CheckpointError` where there are no weights, or no module can be made of them.
  public init(peft directory: URL) throws {
    let exists = { (name: String) in
      FileManager.default.fileExists(atPath: directory.appendingPathComponent(name).path)
    }
    guard FileManager.default.fileExists(atPath: directory.path) else {
      throw CheckpointError(.inputOutput, file: directory.path, "does not exist", advice: "Check the path")
    }
    let names = [PEFTNames.weightsName, PEFTNames.legacyWeightsName]
    guard let name = names.first(where: exists) else {
      // A link to nothing is not the lack of a file.
      for name in names { _ = try LoRAFiles.file(name, in: directory) }
      throw CheckpointError(
        .missing, file: directory.path,
        "has no \(PEFTNames.weightsName)"
          + (exists(PEFTNames.configurationName)
            ? ", the weights of its \(PEFTNames.configurationName)" : " and is no folder of one LoRA file"),
        advice: exists(PEFTNames.configurationName)
          ? "Fetch the file from where the rest comes from" : "Name the folder of an adapter, or a LoRA file")
    }
    guard exists(PEFTNames.configurationName) else {
      throw CheckpointError(
        .missing, file: directory.path, "has no \(PEFTNames.configurationName), so rank, alpha and scale are unknown",
        advice: "Fetch it from where the weights come from")
    }
    let configuration = try PEFTConfiguration(
      contentsOf: file(PEFTNames.configurationName, in: directory))
    let file = try TensorFile(LoRAFiles.file(name, in: directory))
    try self.init(PEFTReading(file.tensors, configuration, file: file.url), directory, metadata: file.metadata)
  }

  private init(_ reading: PEFTReading, _ directory: URL, metadata: [JSON.Member]) throws {
    self.init(
      format: .peft, url: directory, configuration: reading.configuration, modules: reading.modules,
      replacements: reading.replacements, shared: reading.shared, findings: reading.findings, metadata: metadata)
  }
}

/// The tensors of a PEFT file sorted by module, and what is odd about them.
private struct PEFTReading {
  let configuration: PEFTConfiguration
  private(set) var modules: [StoredModule] = []
  private(set) var replacements: [StoredTensor] = []
  private(set) var shared: [StoredTensor] = []
  private(set) var findings: [Finding] = []

  init(_ tensors: [StoredTensor], _ configuration: PEFTConfiguration, file: URL) throws {
    self.configuration = configuration
    var reader = ModuleReader(file: file.path)
    var unprefixed: [String] = []
    var doubled: [String] = []
    var foreign: [ExactString: [String]] = [:]
    var unknown: [String] = []
    var copies: [String] = []
    var sharedByName: [String: StoredTensor] = [:]
    for tensor in tensors {
      var name = tensor.name[...]
      if name.hasPrefix(PEFTNames.prefix) {
        name = name.dropFirst(PEFTNames.prefix.count)
        if name.hasPrefix(PEFTNames.prefix) { doubled.append(tensor.name) }
      } else if AdapterMethods.sharedNames.contains(tensor.name) {
        sharedByName[tensor.name] = tensor
        shared.append(tensor)
        continue
      } else {
        unprefixed.append(tensor.name)
      }
      switch PEFTNames.meaning(of: name) {
      case .part(let part, let path): try reader.add(tensor, as: part, of: path)
      case .foreign(let adapter): foreign[adapter, default: []].append(tensor.name)
      case .copy: copies.append(tensor.name)
      case .unknown: unknown.append(tensor.name)
      case .replacement(let name): replacements.append(tensor.renamed(name))
      }
    }
    let matcher = try PEFTMatcher(configuration, file: file.path)
    let incomplete: [String]
    (modules, incomplete) = try reader.modules(shared: sharedByName, fields: configuration.fields) { path in
      ModuleScale(
        alpha: try matcher.alpha(of: path), scaling: configuration.scaling, rank: try matcher.rank(of: path))
    }
    guard !modules.isEmpty || !replacements.isEmpty || !incomplete.isEmpty else {
      let names = foreign.first.map { name, tensors in
        "holds the name of an adapter, \"\(name.text)\", in its tensors' names (\(tensors[0])): peft would ignore all of "
          + "them in silence"
      }
      throw CheckpointError(
        .malformed, file: file.path,
        names ?? "its \(tensors.count) names begin with \(tensors.first?.name ?? "nothing")",
        expected: "LoRA tensors that peft would load",
        advice: names == nil ? Advice("Look at its names", .inspect) : "Rename them")
    }

    findings.report(
      .error, "names lack the prefix \"\(PEFTNames.prefix)\": peft warns of missing keys and the adapter has no effect",
      unprefixed)
    findings.report(.error, "the prefix \"\(PEFTNames.prefix)\" stands twice: in peft these have no effect", doubled)
    for (adapter, names) in foreign {
      findings.report(
        .error, "names hold the name of an adapter, \"\(adapter.text)\": peft ignores these tensors in silence", names)
    }
    findings.report(.error, "tensors that peft ignores in silence", unknown)
    findings.report(.note, "copies inside peft's wrapper of a saved module: without effect", copies)
    findings.report(.error, "parts of a module without their counterpart (A without B, or B without A)", incomplete)
    findings.report(
      .error, "empty tensors, as DeepSpeed's ZeRO-3 saves what it did not gather: peft fails on them",
      replacements.filter { $0.count == 0 }.map(\.name))
    findings.report(
      .error, "the configuration does not target these modules: peft ignores their weights in silence",
      try modules.filter { try $0.isTargeted && !matcher.targets($0.path) }.map(\.path))
    let type = configuration.peftType
    findings.report(
      .error, "peft_type is \"\(type)\", these are of another method: peft would ignore them",
      modules.filter { $0.isTargeted && $0.method.peftType != type }.map(\.path))
    let namesTokens = ["trainable_token_indices", "token_indices"].contains {
      configuration.fields[$0].map { !$0.isNull } ?? false
    }
    if namesTokens, modules.allSatisfy({ $0.isTargeted }) {
      findings.append(
        Finding(.error, "the configuration names trained tokens, the weights hold none: peft fails on them"))
    }
    if type == "LORA" { try reportLoRA(matcher) }
  }

  private mutating func reportLoRA(_ matcher: PEFTMatcher) throws {
    findings.report(
      .error, "the weights' rank is not the configuration's: peft fails to load these modules",
      try modules.filter { try $0.rank > 0 && matcher.rank(of: $0.path) != $0.rank }.map(\.path))
    let withMagnitude = modules.filter { $0.method is StoredDoRA }
    if configuration.usesMagnitudes {
      findings.report(
        .error, "use_dora is true, but these modules have no magnitudes",
        modules.filter { $0.method is StoredLoRA }.map(\.path))
    } else {
      findings.report(.error, "use_dora is false: peft ignores these magnitudes in silence", withMagnitude.map(\.path))
    }
    if !configuration.hasLoRABias {
      findings.report(
        .error, "lora_bias is false: peft ignores lora_B.bias in silence",
        modules.filter(\.method.changesBias).map(\.path))
    }
  }
}
