// A folder of sentence-transformers: which modules stand one after another, and what belongs to them.
//
//     modules.json                      Transformer, Pooling, Dense, Normalize: each with a folder of its own
//     sentence_bert_config.json         max_seq_length, do_lower_case
//     config_sentence_transformers.json prompts

import Foundation
import LoRAFiles
import LoRAFormats
import LoRANetworks
import LoRATensors

/// What becomes of token vectors, and of texts before.
public struct SentenceModules {
  /// What is done with a text's vector.
  enum Step {
    /// f(x Wᵀ + b), and x or another map of it added where the module says so.
    case dense(Linear, Activation, residual: Residual?)
    /// Scaled to length 1.
    case normalize
  }

  /// What a dense module adds to its output.
  enum Residual {
    case input
    case linear(Linear)
  }

  /// Where the transformer lies.
  let folder: URL
  /// Whether the folder says so; else it is the mean of token vectors, scaled to length 1.
  public let isDescribed: Bool
  /// How token vectors become one.
  public let pooling: SentencePooling
  let steps: [Step]
  /// The most tokens that are read at once, where the folder says so.
  public let maximumLength: Int?
  /// Whether texts are made lower case first.
  public let lowercases: Bool
  /// What is put before texts, by what it is called ("query").
  public let prompts: [String: String]
  /// The prompt that is put before texts where none is asked for.
  public let defaultPrompt: String?

  /// Without a modules.json it is the mean of token vectors, scaled to length 1.
  ///
  /// - Throws: `CheckpointError` where a file is malformed or a module is not known.
  public init(contentsOf folder: URL) throws {
    let list = try LoRAFiles.file("modules.json", in: folder)
    guard FileManager.default.fileExists(atPath: list.path) else {
      (self.folder, isDescribed, pooling, steps) = (folder, false, SentencePooling(.mean), [.normalize])
      (maximumLength, lowercases, prompts, defaultPrompt) = (nil, false, [:], nil)
      return
    }
    let modules = try Self.modules(list)
    guard let first = modules.first, first.kind == "Transformer" else {
      throw CheckpointError(
        .unsupported, file: list.path, "begins with \(modules.first?.kind ?? "nothing")", expected: "a Transformer",
        advice: .otherModel)
    }
    isDescribed = true
    self.folder = try Self.folder(first.path, in: folder, list)
    (maximumLength, lowercases) = try Self.reading(self.folder)
    var pooling: SentencePooling?
    var steps: [Step] = []
    for module in modules.dropFirst() {
      let place = try Self.folder(module.path, in: folder, list)
      switch module.kind {
      case "Pooling" where pooling == nil && steps.isEmpty: pooling = try Self.pooling(place)
      case "Dense" where pooling != nil: steps.append(try Self.dense(place))
      case "Normalize" where pooling != nil: steps.append(.normalize)
      case "Dropout": break
      default:
        throw CheckpointError(
          .unsupported, file: list.path, "has a module \(module.kind) at place \(module.place)",
          expected: "Transformer, Pooling, Dense and Normalize, in this order", advice: .otherModel)
      }
    }
    guard let pooling else {
      throw CheckpointError(.missing, file: list.path, "has no Pooling module", advice: .otherModel)
    }
    (self.pooling, self.steps) = (pooling, steps)
    (prompts, defaultPrompt) = try Self.prompts(folder)
  }

  // MARK: Files

  private static func configuration(_ name: String, in folder: URL) throws -> ModelConfiguration? {
    let file = try LoRAFiles.file(name, in: folder)
    guard FileManager.default.fileExists(atPath: file.path) else { return nil }
    return ModelConfiguration(try readJSON(file), file: file.path)
  }

  private static func modules(_ list: URL) throws -> [(kind: String, path: String, place: Int)] {
    let json = try readJSON(list)
    guard let items = json.array, items.count <= 100 else {
      throw CheckpointError(
        .malformed, file: list.path, "is no list, or one of more than 100 elements", expected: "a list of modules",
        advice: .fetchAgain)
    }
    return try items.enumerated().map { place, item in
      guard let type = item["type"]?.string, let path = item["path"]?.string else {
        throw CheckpointError(
          .malformed, file: list.path, "module \(place) has no type or no path", expected: "both, as texts",
          advice: .fetchAgain)
      }
      return (type.split(separator: ".").last.map(String.init) ?? type, path, item["idx"]?.integer ?? place)
    }.sorted { $0.place < $1.place }
  }

  private static func folder(_ path: String, in folder: URL, _ list: URL) throws -> URL {
    let parts = path.split(separator: "/", omittingEmptySubsequences: false)
    guard path.isEmpty || !parts.contains("..") && !parts.contains("") else {
      throw CheckpointError(
        .malformed, file: list.path, "\"\(path)\" lies elsewhere", expected: "a folder within this one",
        advice: .fetchAgain)
    }
    return path.isEmpty ? folder : try LoRAFiles.file(path, in: folder)
  }

  private static func reading(_ folder: URL) throws -> (maximumLength: Int?, lowercases: Bool) {
    var (length, lowercases): (Int?, Bool) = (nil, false)
    for kind in ["bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"] {
      guard let json = try configuration("sentence_\(kind)_config.json", in: folder) else { continue }
      try json.require("transformer_task", "feature-extraction")
      if json.json["max_seq_length"]?.isNull == false { length = try json.integer("max_seq_length") }
      lowercases = try json.flag("do_lower_case", default: false)
      break
    }
    // Newer folders leave it to the tokenizer, which has a huge number where it knows none.
    let tokenizer = try configuration("tokenizer_config.json", in: folder)?.json["model_max_length"]?.number
    return (length ?? tokenizer.flatMap { $0 >= 1 && $0 < 1e9 ? Int($0) : nil }, lowercases)
  }

  private static func pooling(_ folder: URL) throws -> SentencePooling {
    guard let json = try configuration("config.json", in: folder) else {
      throw CheckpointError(
        .missing, file: folder.path, "has no config.json, which says how vectors are pooled",
        advice: "Fetch it from where the rest comes from")
    }
    guard try json.flag("include_prompt", default: true) else {
      throw json.unsupported("include_prompt", false, supported: "true")
    }
    // Newer files have a name or a list of them, older ones a flag for each.
    if let found = json.json["pooling_mode"], !found.isNull {
      let modes = (found.array ?? [found]).map { $0.string.flatMap(SentencePooling.Mode.init) }
      guard !modes.isEmpty, !modes.contains(nil) else {
        throw json.unsupported(
          "pooling_mode", found, supported: SentencePooling.Mode.allCases.map(\.rawValue).joined(separator: ", "))
      }
      return SentencePooling(modes: modes.compactMap(\.self))
    }
    let flags: [(String, SentencePooling.Mode)] = [
      ("cls_token", .first), ("max_tokens", .maximum), ("mean_tokens", .mean), ("mean_sqrt_len_tokens", .sumOverRoot),
      ("weightedmean_tokens", .weightedMean), ("lasttoken", .last),
    ]
    for member in json.json.members where member.key.hasPrefix("pooling_mode_") {
      let isKnown = flags.contains { member.key == "pooling_mode_\($0.0)" }
      if !isKnown { try json.require(member.key, false) }
    }
    let modes = try flags.filter { try json.flag("pooling_mode_\($0.0)", default: false) }.map(\.1)
    return SentencePooling(modes: modes.isEmpty ? [.mean] : modes)
  }

  private static func dense(_ folder: URL) throws -> Step {
    let checkpoint = try Checkpoint(folder)
    let json = try ModelConfiguration(checkpoint)
    try json.require("module_input_name", "sentence_embedding")
    try json.require("module_output_name", "sentence_embedding")
    let (inputs, outputs) = (try json.integer("in_features"), try json.integer("out_features"))
    let name = try json.text("activation_function") ?? "Tanh"
    let activations: [String: Activation] = [
      "Tanh": .tanh, "Identity": .linear, "ReLU": .relu, "GELU": .gelu, "Sigmoid": .sigmoid, "SiLU": .silu,
    ]
    guard let activation = name.split(separator: ".").last.flatMap({ activations[String($0)] }) else {
      throw json.unsupported(
        "activation_function", .string(name), supported: activations.keys.sorted().joined(separator: ", "))
    }
    let weights = Weights(checkpoint, prefix: "linear")
    let linear = Linear(
      weights["linear"], inputs: inputs, outputs: outputs, bias: try json.flag("bias", default: true))
    var residual: Residual?
    if try json.flag("use_residual", default: false) {
      residual =
        inputs == outputs
        ? .input : .linear(Linear(weights["residual"], inputs: inputs, outputs: outputs, bias: false))
    }
    try weights.finish { _ in false }
    return .dense(linear, activation, residual: residual)
  }

  private static func prompts(_ folder: URL) throws -> (prompts: [String: String], defaultPrompt: String?) {
    guard let json = try configuration("config_sentence_transformers.json", in: folder) else { return ([:], nil) }
    var prompts: [String: String] = [:]
    for member in try json.object("prompts")?.json.members ?? [] {
      guard let text = member.value.string else {
        throw json.malformed("prompts", member.value, expected: "texts by their names")
      }
      prompts[member.key] = text
    }
    guard let name = try json.text("default_prompt_name") else { return (prompts, nil) }
    guard let text = prompts[name] else {
      throw json.malformed("default_prompt_name", .string(name), expected: "one of the prompts")
    }
    return (prompts, text)
  }

  // MARK: Use

  /// A text as the transformer's tokenizer gets it.
  ///
  /// - Parameter prompt: what is put before it; nil stands for the folder's default.
  func prepared(_ text: String, prompt: String?) -> String {
    let whole = (prompt ?? defaultPrompt ?? "") + text
    return lowercases ? whole.lowercased() : whole
  }

  /// A text's vector from its pooled one.
  static func vector(of pooled: [Float], through steps: [Step]) -> [Float] {
    var x = Tensor(shape: [1, pooled.count], scalars: pooled)
    for step in steps {
      switch step {
      case .normalize: x = x / max(Float(x.norm), 1e-12)
      case .dense(let linear, let activation, let residual):
        let output = activation(linear(x))
        switch residual {
        case nil: x = output
        case .input: x = output + x
        case .linear(let other): x = output + other(x)
        }
      }
    }
    return x.scalars
  }

  /// - Throws: `CheckpointError` where the modules don't fit one another.
  package func check(hidden: Int) throws {
    var size = hidden * pooling.modes.count
    for case .dense(let linear, _, _) in steps {
      guard linear.weight.shape[1] == size else {
        throw CheckpointError(
          .mismatch, file: folder.path, "a Dense module takes vectors of \(linear.weight.shape[1]) numbers",
          expected: "\(size), as it gets", advice: "Take modules that belong together")
      }
      size = linear.weight.shape[0]
    }
  }
}
