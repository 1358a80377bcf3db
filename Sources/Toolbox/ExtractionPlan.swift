// What changed between a base model and a fine-tune of it, and how an adapter can hold each change.

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
    let base: StoredTensor
    let tuned: StoredTensor
    let isEmbedding: Bool
    /// Whether the stored weight is (BA)ᵀ.
    let isTransposed: Bool
    let biases: (base: StoredTensor, tuned: StoredTensor)?

    /// The stored weight as a matrix.
    var rows: Int { base.shape[0] }
    var columns: Int { base.shape.dropFirst().reduce(1, *) }
    var count: Int { base.count }
    private var kernel: [Int] { Array(base.shape.dropFirst(2)) }

    /// The LoRA that these factors of the stored matrix make.
    func lora(_ b: Tensor, _ a: Tensor, bias: StoredTensor?, format: NumberFormat) throws -> StoredLoRA {
      // A weight that is stored transposed has its two factors change places.
      let (b, a) = isTransposed ? (a.transposed(), b.transposed()) : (b, a)
      let rank = a.shape[0]
      return StoredLoRA(
        a: try StoredTensor(
          name: path, kernel.isEmpty ? a : a.reshaped([rank] + base.shape.dropFirst()), as: format),
        b: try StoredTensor(name: path, b.reshaped(b.shape + kernel.map { _ in 1 }), as: format), outputBias: bias,
        isEmbedding: isEmbedding, alpha: Double(rank))
    }

    /// What will be written at a rank.
    func expected(rank: Int, format: NumberFormat, hasBias: Bool) throws -> [TensorInfo] {
      let outputs = isTransposed ? columns : rows
      let stem = PEFTNames.prefix + path
      let a = isTransposed ? [rank, rows] : [rank] + base.shape.dropFirst()
      let factors = [
        TensorInfo(
          name: stem + (isEmbedding ? StoredLoRA.embeddingA : StoredLoRA.a).suffix, format: format, shape: a),
        TensorInfo(
          name: stem + (isEmbedding ? StoredLoRA.embeddingB : StoredLoRA.b).suffix, format: format,
          shape: [outputs, rank] + kernel.map { _ in 1 }),
      ]
      let bias = TensorInfo(name: stem + StoredLoRA.outputBias.suffix, format: .f32, shape: [outputs])
      return hasBias ? factors + [bias] : factors
    }

    /// The LoRA whose tensors another process has made: those that were expected, byte by byte, one after the other.
    func lora(_ expected: [TensorInfo], _ bytes: [UInt8]) -> StoredLoRA {
      var place = 0
      let tensors = expected.map { info in
        defer { place += info.byteCount }
        return StoredTensor(info: info) { $0.copyBytes(from: bytes[place..<place + info.byteCount]) }.renamed(path)
      }
      return StoredLoRA(
        a: tensors[0], b: tensors[1], outputBias: tensors.dropFirst(2).first, isEmbedding: isEmbedding,
        alpha: Double(tensors[0].shape[0]))
    }

    /// tuned − base of the bias: B's bias at scale 1.
    func biasDifference() throws -> StoredTensor? {
      guard let biases else { return nil }
      return try StoredTensor(name: path, biases.tuned.tensor() - biases.base.tensor())
    }
  }

  /// What can be done with a parameter.
  private enum Change {
    case none
    /// Kept whole: what only the fine-tune has, a task's head, a grown vocabulary.
    case added, head, grown
    /// One of a tied pair.
    case tied
    case vector
    case matrix
    /// Nothing, for this reason.
    case impossible(String)
  }

  let tuned: Checkpoint
  private(set) var modules: [Module] = []
  /// Weights that are kept whole, under the model's names.
  private(set) var replacements: [StoredTensor] = []
  private(set) var modulesToSave: [String] = []
  /// Whether B has biases: every adapted module has one in the base then.
  private(set) var hasLoRABias = false
  /// Whether biases of adapted modules are kept whole.
  private(set) var replacesBiases = false
  /// Whether anything that is kept whole differs from the base's.
  var hasChangedReplacements: Bool {
    let base = Dictionary(byName: pair.parameters, \.name)
    return replacements.contains { tensor in
      base[tensor.name]?.base.map { !tensor.hasSameNumbers(as: $0) } ?? true
    }
  }

  /// Whether a saved input embedding stays tied to the output layer.
  private(set) var tiesWeights = false
  /// Changed tensors that are not kept, and by how much they changed.
  private(set) var leftOut: [(name: String, norm: Double)] = []
  /// Tensors whose change no adapter can hold, and why.
  private var impossible: [String] = []
  private(set) var findings: [Finding] = []
  private let pair: CheckpointPair
  private let baseName: String

  init(base: Checkpoint, tuned: Checkpoint, keepsVectors: Bool) throws {
    self.tuned = tuned
    baseName = base.url.lastPathComponent
    pair = try CheckpointPair(base: base, tuned: tuned)
    let sorted = pair.parameters.map { (parameter: $0, change: change(of: $0)) }
    func all(_ isIncluded: (Change) -> Bool) -> [CheckpointPair.Parameter] {
      sorted.filter { isIncluded($0.change) }.map(\.parameter)
    }
    modules = all { if case .matrix = $0 { true } else { false } }.map(module)
    let whole = all {
      switch $0 {
      case .added, .head, .grown, .tied: true
      default: false
      }
    }
    let vectors = try sort(all { if case .vector = $0 { true } else { false } }, keepsVectors: keepsVectors)
    save(whole + vectors)
    report(sorted)
  }

  private func change(of parameter: CheckpointPair.Parameter) -> Change {
    let (tuned, name) = (parameter.tuned, parameter.name)
    guard let base = parameter.base else { return tuned.count > 0 ? .added : .impossible("empty") }
    guard tuned.format.isConvertible, base.format.isConvertible else {
      return tuned.hasSameNumbers(as: base) ? .none : .impossible(tuned.format.rawValue)
    }
    guard tuned.shape == base.shape else {
      // What has fewer rows is kept whole where rows are tokens or classes; anything else is another model's.
      let hasRows =
        pair.architecture.isEmbedding(parameter.path) || pair.architecture.isOutputLayer(parameter.path)
        || pair.architecture.isHead(parameter.path, of: pair.architecture.taskType)
      let isGrown =
        tuned.shape.count == 2 && base.shape.count == 2 && tuned.shape[1] == base.shape[1]
        && (hasRows || tuned.shape[0] > base.shape[0])
      return isGrown ? .grown : .impossible("\(base.shape) → \(tuned.shape)")
    }
    if parameter.isPart {
      return tuned.hasSameNumbers(as: base) ? .none : .impossible("transformers makes one parameter of it and others")
    }
    // A task's head is in the adapter whether it changed or not: peft looks for it.
    if pair.architecture.isHead(parameter.path, of: pair.architecture.taskType) { return .head }
    if tuned.hasSameNumbers(as: base) { return .none }
    // Both ends of a tied pair change; peft wants the tensor under both names.
    if pair.tied?.contains(tuned.name) == true { return .tied }
    return name.hasSuffix(".weight") && (2...5).contains(tuned.shape.count) ? .matrix : .vector
  }

  private func module(_ parameter: CheckpointPair.Parameter) -> Module {
    let (tuned, base) = (parameter.tuned, parameter.base!)
    let isEmbedding = tuned.shape.count == 2 && pair.architecture.isEmbedding(parameter.path)
    let bias = pair.parameters.first { $0.name == parameter.path + ".bias" }
    return Module(
      path: parameter.path, base: base, tuned: tuned, isEmbedding: isEmbedding,
      isTransposed: isEmbedding || pair.architecture.isConv1D(parameter.path),
      biases: bias.flatMap { bias in
        bias.base.flatMap { bias.tuned.shape == $0.shape && bias.tuned.format.isConvertible ? ($0, bias.tuned) : nil }
      })
  }

  /// Biases and norms: those that are kept as modules to save are returned.
  private mutating func sort(
    _ vectors: [CheckpointPair.Parameter], keepsVectors: Bool
  ) throws -> [CheckpointPair.Parameter] {
    guard keepsVectors else {
      for vector in vectors {
        let norm = try (vector.tuned.tensor() - vector.base!.tensor()).norm
        if norm > 0 { leftOut.append((vector.tuned.name, norm)) }
      }
      return []
    }
    let adapted = Set<ExactString>(names: modules.map(\.path))
    let isOwnBias = { (vector: CheckpointPair.Parameter) in
      vector.name.hasSuffix(".bias") && adapted.contains(vector.path)
    }
    let biases = vectors.filter(isOwnBias)
    let allHaveBias = modules.allSatisfy { !$0.isEmbedding && $0.base.shape.count == 2 && $0.biases != nil }
    hasLoRABias = !biases.isEmpty && allHaveBias
    replacesBiases = !biases.isEmpty && !allHaveBias
    if replacesBiases { replacements += biases.map { $0.tuned.renamed($0.name) } }
    return vectors.filter { !isOwnBias($0) }
  }

  /// Keeps parameters whole, with all that peft expects beside them.
  private mutating func save(_ parameters: [CheckpointPair.Parameter]) {
    let adapted = Set(modules.map(\.path))
    // What `modules_to_save` names is looked for in every module that the name matches, so all of them are kept.
    var names = Set(
      parameters.map(\.path).map { path in
        if let head = pair.architecture.head(around: path, of: pair.architecture.taskType) { return head }
        let name = lastComponent(path)
        return adapted.contains { Self.matches(name, $0) } || Int(name) != nil ? path : name
      }
    ).sorted()
    var output: StoredTensor?
    if let tied = pair.tied, let input = parameters.first(where: { $0.tuned.name == tied.input }) {
      tiesWeights = true
      if !parameters.contains(where: { $0.tuned.name == tied.output }) { output = input.tuned.renamed(tied.output) }
      // peft recognises tied modules by these two names only: "embed_tokens" and "lm_head".
      let outputPath = String(tied.output.dropLast(".weight".count))
      if !names.contains("embed_tokens"), !names.contains(lastComponent(outputPath)) { names.append(outputPath) }
    }
    modulesToSave = names
    // A parameter of a module around others takes these along whole.
    modules.removeAll { module in names.contains { Self.matches($0, module.path) } }
    replacements += pair.parameters.filter { parameter in
      names.contains { Self.matches($0, parameter.path) } && parameter.tuned.name != output?.name
    }.map { $0.tuned.renamed($0.name) }
    if let output { replacements.append(output) }
    replacements.sort { isOrdered($0.name, $1.name) }
  }

  private mutating func report(_ sorted: [(parameter: CheckpointPair.Parameter, change: Change)]) {
    var subjects: [String: [String]] = [:]
    for (parameter, change) in sorted {
      let shapes = "\(parameter.tuned.name): \(parameter.base?.shape ?? []) → \(parameter.tuned.shape)"
      switch change {
      case .added: subjects["added", default: []].append(parameter.tuned.name)
      case .grown: subjects["grown", default: []].append(shapes)
      case .impossible(let reason): subjects["impossible", default: []].append("\(parameter.tuned.name): \(reason)")
      case .tied: subjects["tied", default: []].append(parameter.tuned.name)
      default: break
      }
    }
    if pair.renaming != .none {
      findings.append(Finding(.note, "the two checkpoints' names differ: \(pair.renaming)"))
    }
    let renamed = pair.parameters.first { $0.name != $0.tuned.name }
    if let renamed {
      findings.append(
        Finding(
          .note, "paths are those of the class \(pair.architecture.className ?? "") as transformers builds it today",
          ["\(renamed.tuned.name) is \(renamed.name)"]))
    }
    findings.report(
      .note, "the tied embedding changed: it is kept whole, for the input and the output layer (ensure_weight_tying)",
      subjects["tied"] ?? [])
    findings.report(
      .note, "tensors that only the fine-tune has: kept whole (modules_to_save)", subjects["added"] ?? [])
    findings.report(
      .warning,
      "the vocabulary grew: these are kept whole, and the base needs resize_token_embeddings before it takes the adapter",
      subjects["grown"] ?? [])
    impossible = subjects["impossible"] ?? []
    findings.report(.warning, "changes that no adapter can hold", impossible)
    findings.report(.warning, "biases and norms that changed and are not kept", leftOut.map(\.name))
    findings.report(.note, "tensors that only the base has", pair.onlyInBase)
  }

  /// Why there is nothing to extract.
  func nothingToExtract(from base: Checkpoint) -> CheckpointError {
    func error(_ found: String, _ subjects: [String], _ expected: String, _ advice: Advice) -> CheckpointError {
      let more = subjects.count > 5 ? " and \(subjects.count - 5) more" : ""
      let listed = subjects.isEmpty ? "" : ": \(subjects.prefix(5).joined(separator: ", "))\(more)"
      return CheckpointError(.mismatch, file: tuned.url.path, found + listed, expected: expected, advice: advice)
    }
    if !leftOut.isEmpty {
      return error(
        "differs from \(base.url.path) in biases and norms alone, which are not kept", leftOut.map(\.name),
        "a changed matrix", "Have biases and norms kept too")
    }
    if !impossible.isEmpty {
      return error(
        "differs from \(base.url.path) in what no adapter can hold", impossible, "changed weights of the same shape",
        "Convert them to the base's format, if that is what differs")
    }
    return error(
      "has the same weights as \(base.url.path)" + (pair.onlyInBase.isEmpty ? "" : ", but for what it lacks"),
      pair.onlyInBase, "a difference to extract", "Name the fine-tune and the base that it came from")
  }

  /// The configuration that makes peft do what the factors say.
  func configuration(modules: [StoredModule]) -> PEFTConfiguration {
    var configuration = PEFTConfiguration()
    configuration.describe(modules)
    configuration.setTargets(
      modules,
      among: pair.parameters.map(\.path).filter { path in !modulesToSave.contains { Self.matches($0, path) } })
    configuration.selection.saved = modulesToSave
    configuration.bias = replacesBiases ? .loraOnly : .none
    configuration.ensuresWeightTying = tiesWeights
    configuration.taskType = pair.architecture.taskType
    configuration.baseModel = baseName
    let linear = self.modules.filter { !$0.isEmbedding && $0.base.shape.count == 2 }
    configuration.isFanInFanOut = !linear.isEmpty && linear.count { $0.isTransposed } * 2 > linear.count
    return configuration
  }

  /// peft's rule: the name is one of the path's parts, or several in a row.
  private static func matches(_ name: String, _ path: String) -> Bool {
    ".\(path).".contains(".\(name).")
  }
}
