// What changed between a base model and a fine-tune of it, and how an adapter can hold each change.

import CKernels
import Foundation
import LoRAAdapters
import LoRAFiles
import LoRAFormats
import LoRATensors

/// The changed tensors, sorted by what can be done with them.
struct ExtractionPlan: Sendable {
  /// A weight that changed and gets factors.
  struct Module: Sendable {
    /// The module's path in the model that peft sees.
    let path: String
    let kind: StoredModule.Kind
    let base: StoredTensor
    let tuned: StoredTensor
    /// Whether the stored weight is (BA)ᵀ.
    let isTransposed: Bool
    let biases: (base: StoredTensor, tuned: StoredTensor)?

    /// The stored weight as a matrix.
    var rows: Int { base.shape[0] }
    var columns: Int { base.shape.dropFirst().reduce(1, *) }
    var count: Int { base.count }

    func shapeOfA(rank: Int) -> [Int] {
      switch kind {
      case .convolution: [rank] + base.shape.dropFirst()
      case .linear, .embedding: [rank, isTransposed ? rows : columns]
      }
    }

    func shapeOfB(rank: Int) -> [Int] {
      switch kind {
      case .convolution: [rows, rank, 1, 1]
      case .linear, .embedding: [isTransposed ? columns : rows, rank]
      }
    }

    func peftTensors(rank: Int, format: NumberFormat, hasBias: Bool) -> [TensorInfo] {
      let stem = PEFTFormat.prefix + path
      let isEmbedding = kind == .embedding
      let factors = [
        TensorInfo(
          name: stem + (isEmbedding ? PEFTFormat.Part.embeddingA : .a).rawValue, format: format,
          shape: shapeOfA(rank: rank)),
        TensorInfo(
          name: stem + (isEmbedding ? PEFTFormat.Part.embeddingB : .b).rawValue, format: format,
          shape: shapeOfB(rank: rank)),
      ]
      let bias = TensorInfo(
        name: stem + PEFTFormat.Part.bias.rawValue, format: .f32, shape: [shapeOfB(rank: rank)[0]])
      return hasBias ? factors + [bias] : factors
    }

    /// tuned − base of the bias: B's bias at scale 1.
    func biasDifference() throws -> StoredTensor? {
      guard let biases else { return nil }
      return try StoredTensor(name: path, biases.tuned.tensor() - biases.base.tensor())
    }
  }

  let tuned: Checkpoint
  let modules: [Module]
  /// Weights that are kept whole, under the model's names.
  let replacements: [StoredTensor]
  let modulesToSave: [String]
  /// Whether B has biases: every adapted module has one in the base then.
  let hasLoRABias: Bool
  /// Whether biases of adapted modules are kept whole.
  let replacesBiases: Bool
  /// Whether a saved input embedding stays tied to the output layer.
  let tiesWeights: Bool
  /// Changed tensors that are not kept, and by how much they changed.
  let leftOut: [(name: String, norm: Double)]
  let findings: [Finding]
  private let architecture: NameTable
  private let adaptablePaths: [String]
  private let baseName: String

  init(base: Checkpoint, tuned: Checkpoint, keepsVectors: Bool) throws {
    self.tuned = tuned
    architecture = NameTable(configuration: tuned.configuration ?? base.configuration, names: tuned.tensors.map(\.name))
    baseName = base.url.lastPathComponent
    let architecture = architecture
    let tunedNames = Set(tuned.tensors.map(\.name))
    let renaming = Self.renaming(from: tuned, to: base)
    let tied = TiedEmbeddings(tuned)
    let heads = architecture.taskHeads
    var findings: [Finding] = []
    var modules: [Module] = []
    var saved: [String: [StoredTensor]] = [:]
    var leftOut: [(name: String, norm: Double)] = []
    var vectors: [(base: StoredTensor, tuned: StoredTensor)] = []
    var tiedOutput: StoredTensor?
    var added: [String] = []
    var grown: [String] = []
    var misshapen: [String] = []
    func path(_ tensor: StoredTensor) -> String {
      guard case .whole = architecture.place(of: tensor.name) else { return tensor.info.modulePath }
      return architecture.parameter(of: tensor.info.modulePath)
    }
    func save(_ tensor: StoredTensor) { saved[path(tensor), default: []].append(tensor) }

    for tensor in tuned.tensors.sorted(by: { isOrdered($0.name, $1.name) }) {
      let isHead = heads.contains { path(tensor).split(separator: ".").map(String.init).contains($0) }
      guard let original = base[renaming(tensor.name)] else {
        added.append(tensor.name)
        save(tensor)
        continue
      }
      guard tensor.format.isConvertible, original.format.isConvertible else {
        if !tensor.hasSameBytes(as: original) { misshapen.append("\(tensor.name): \(tensor.format.rawValue)") }
        continue
      }
      guard tensor.shape == original.shape else {
        if tensor.shape.count == 2, original.shape.count == 2, tensor.shape[1] == original.shape[1] {
          grown.append("\(tensor.name): \(original.shape) → \(tensor.shape)")
          save(tensor)
          if tied.contains(tensor.name), let output = tied.untied { tiedOutput = output }
        } else {
          misshapen.append("\(tensor.name): \(original.shape) → \(tensor.shape)")
        }
        continue
      }
      // A task's head is in the adapter whether it changed or not: peft looks for it.
      if isHead {
        save(tensor)
        continue
      }
      guard !(tensor.format == original.format && tensor.hasSameBytes(as: original)) else { continue }
      guard tensor.name.hasSuffix(".weight"), tensor.shape.count == 2 || tensor.shape.count == 4 else {
        vectors.append((original, tensor))
        continue
      }
      let modulePath = path(tensor)
      if tied.contains(tensor.name) {
        // Both ends of a tied pair change; peft wants the tensor under both names.
        save(tensor)
        if let output = tied.untied { tiedOutput = output }
        findings.append(
          Finding(
            .note,
            "the tied embedding changed: it is kept whole, for the input and the output layer (ensure_weight_tying)",
            [tensor.name]))
        continue
      }
      let isEmbedding = tensor.shape.count == 2 && architecture.isEmbedding(modulePath)
      modules.append(
        Module(
          path: modulePath, kind: tensor.shape.count == 4 ? .convolution : isEmbedding ? .embedding : .linear,
          base: original, tuned: tensor, isTransposed: isEmbedding || architecture.isConv1D(modulePath),
          biases: (tuned[tensor.info.modulePath + ".bias"]).flatMap { bias in
            base[renaming(bias.name)].map { ($0, bias) }
          }))
    }

    // Biases and norms.
    let adapted = Set(modules.map(\.path))
    let biases = vectors.filter { $0.tuned.name.hasSuffix(".bias") && adapted.contains(path($0.tuned)) }
    let allHaveBias = modules.allSatisfy { $0.kind == .linear && $0.biases != nil }
    hasLoRABias = keepsVectors && !biases.isEmpty && allHaveBias
    replacesBiases = keepsVectors && !biases.isEmpty && !allHaveBias
    let biasNames = Set(biases.map(\.tuned.name))
    var replacements: [StoredTensor] = []
    for vector in vectors {
      let isBias = biasNames.contains(vector.tuned.name)
      if keepsVectors && isBias && hasLoRABias { continue }
      if keepsVectors && isBias {
        replacements.append(vector.tuned.renamed(architecture.parameter(of: vector.tuned.name)))
      } else if keepsVectors {
        save(vector.tuned)
      } else {
        let change = try Self.norm(of: vector)
        if change > 0 { leftOut.append((vector.tuned.name, change)) }
      }
    }
    // What `modules_to_save` names is looked for in every module that the name matches, so all of them are kept.
    var names = Self.names(saving: Array(saved.keys), besides: adapted)
    if let tiedOutput, !names.contains("embed_tokens") {
      // peft recognises tied modules by these two names only: "embed_tokens" and "lm_head".
      names.append(tiedOutput.info.modulePath)
    }
    modulesToSave = names
    for tensor in tuned.tensors where modulesToSave.contains(where: { Self.matches($0, path(tensor)) }) {
      if !saved[path(tensor), default: []].contains(where: { $0.name == tensor.name }) { save(tensor) }
    }
    if let tiedOutput { replacements.append(tiedOutput) }
    tiesWeights = tiedOutput != nil
    replacements += saved.flatMap { path, tensors in tensors.map { $0.renamed(path + "." + lastComponent($0.name)) } }

    func report(_ severity: Finding.Severity, _ message: String, _ subjects: [String]) {
      if !subjects.isEmpty { findings.append(Finding(severity, message, subjects)) }
    }
    if renaming != .none { findings.append(Finding(.note, "the two checkpoints' names differ: \(renaming)")) }
    let renamed = modules.first { $0.path != $0.tuned.info.modulePath }
    if let renamed {
      let message = "the adapter's paths are those of the class \(architecture.className ?? "")"
      findings.append(Finding(.note, message, ["\(renamed.tuned.info.modulePath) → \(renamed.path)"]))
    }
    report(.note, "tensors that only the fine-tune has: kept whole (modules_to_save)", added)
    report(
      .warning,
      "the vocabulary grew: these are kept whole, and the base needs resize_token_embeddings before it takes the adapter",
      grown)
    report(.warning, "changes that no adapter can hold", misshapen)
    report(
      .warning, "biases and norms that changed and are not kept (keep them with --keep-vectors)", leftOut.map(\.name))
    let counterparts = Set(tunedNames.map { renaming($0) })
    let lost = base.tensors.filter { !counterparts.contains($0.name) }
    report(.note, "tensors that only the base has", lost.map(\.name))
    guard lost.count < base.tensorCount else {
      throw CheckpointError(
        .mismatch, file: tuned.url.path,
        "has no tensor in common with \(base.url.path): these are no versions of one model")
    }
    self.modules = modules.sorted { isOrdered($0.path, $1.path) }
    self.replacements = replacements.sorted { isOrdered($0.name, $1.name) }
    self.leftOut = leftOut
    self.findings = findings
    adaptablePaths = tuned.tensors.filter { $0.name.hasSuffix(".weight") && $0.shape.count >= 2 }.map(path)
  }

  /// The configuration that makes peft do what the factors say.
  func configuration(modules: [StoredModule]) -> PEFTConfiguration {
    var configuration = PEFTConfiguration()
    configuration.setRanks(of: modules)
    configuration.setTargets(
      modules.map(\.path), among: adaptablePaths.filter { path in !modulesToSave.contains { Self.matches($0, path) } })
    configuration.modulesToSave = modulesToSave
    configuration.hasLoRABias = hasLoRABias
    configuration.bias = replacesBiases ? .loraOnly : .none
    configuration.ensuresWeightTying = tiesWeights
    configuration.taskType = architecture.taskType
    configuration.baseModel = baseName
    let linear = self.modules.filter { $0.kind == .linear }
    configuration.isFanInFanOut = !linear.isEmpty && linear.count { $0.isTransposed } * 2 > linear.count
    return configuration
  }

  /// The change of prefix that gives most of the fine-tune's tensors their counterpart.
  private static func renaming(from tuned: Checkpoint, to base: Checkpoint) -> PathRenaming {
    let names = tuned.tensors.map(\.name)
    guard !names.contains(where: { base[$0] != nil }) else { return .none }
    var counts: [String: (renaming: PathRenaming, count: Int)] = [:]
    for name in names {
      for index in name.indices where name[index] == "." {
        let prefix = String(name[...index])
        if base[String(name.dropFirst(prefix.count))] != nil {
          counts["-" + prefix, default: (.dropping(prefix), 0)].count += 1
        }
      }
    }
    for tensor in base.tensors {
      for index in tensor.name.indices where tensor.name[index] == "." {
        let prefix = String(tensor.name[...index])
        if tuned[String(tensor.name.dropFirst(prefix.count))] != nil {
          counts["+" + prefix, default: (.adding(prefix), 0)].count += 1
        }
      }
    }
    return counts.values.max { $0.count < $1.count }?.renaming ?? .none
  }

  private static func norm(of vector: (base: StoredTensor, tuned: StoredTensor)) throws -> Double {
    try (vector.tuned.tensor() - vector.base.tensor()).norm
  }

  /// Short names for modules to save, or whole paths where a short name would take an adapted module along.
  private static func names(saving paths: [String], besides adapted: Set<String>) -> [String] {
    Set(
      paths.map { path in
        let name = lastComponent(path)
        return adapted.contains { matches(name, $0) } || Int(name) != nil ? path : name
      }
    ).sorted()
  }

  /// peft's rule: the name is one of the path's parts, or several in a row.
  private static func matches(_ name: String, _ path: String) -> Bool {
    ".\(path).".contains(".\(name).")
  }
}
