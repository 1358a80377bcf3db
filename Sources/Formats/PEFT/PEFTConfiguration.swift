// adapter_config.json: what Python peft knows about an adapter besides its weights.
//
// The fields that decide what an adapter computes are typed here; all others are kept as they were read and written
// back, so that nothing is lost on the way through.

import Foundation
import LoRAAdapters
import LoRAFiles

/// An adapter's configuration, as `adapter_config.json` of Python peft 0.21 holds it.
public struct PEFTConfiguration: Equatable, Sendable {
  /// Which biases of the base model an adapter brings along.
  public enum Bias: String, Sendable {
    /// None: all stay the base's.
    case none
    /// Every bias of the model is trained and saved.
    case all
    /// Those of the adapted modules alone.
    case loraOnly = "lora_only"
  }

  /// A rank or an alpha for the modules whose path ends in what `key` matches.
  public struct Exception<Value: Equatable & Sendable>: Equatable, Sendable {
    /// A regular expression as Python reads it, for the end of a path.
    public var key: String
    /// The rank or the alpha of what matches.
    public var value: Value

    /// An exception for the paths that `key` matches.
    public init(_ key: String, _ value: Value) {
      self.key = key
      self.value = value
    }
  }

  /// `peft_type`: "LORA", "LOHA", …
  public var peftType = "LORA"
  /// r, where no exception says otherwise.
  public var rank = 8
  /// α, where no exception says otherwise.
  public var alpha = 8.0
  /// α/r, or α/√r where the file says `use_rslora`.
  public var scaling = Scaling.standard
  /// DoRA: direction and magnitude apart.
  public var usesMagnitudes = false
  /// LoHa has a core for each convolution (`use_effective_conv2d`).
  package var hasLoHaCores = false
  /// B has a bias of its own.
  public var hasLoRABias = false
  /// Which biases the adapter brings along.
  public var bias = Bias.none
  /// The base's weights are stored as [in, out] (GPT-2's Conv1D).
  public var isFanInFanOut = false
  /// Which modules are adapted, which are brought whole.
  public var selection = ModuleSelection()
  /// A saved module that is tied to another (input embedding and output layer) stays tied to it.
  public var ensuresWeightTying = false
  /// The first key that matches counts.
  public var rankExceptions: [Exception<Int>] = []
  /// The same for α: the first key that matches counts.
  public var alphaExceptions: [Exception<Double>] = []
  /// Dropout of the adapter's input in training.
  public var dropout = 0.0
  /// `task_type`, by which peft chooses its model class: "SEQ_CLS", "CAUSAL_LM", …
  public var taskType: String?
  /// `base_model_name_or_path`: what the adapter was trained on, as its maker wrote it.
  public var baseModel: String?
  /// `init_lora_weights`: a Boolean or a method's name.
  public var initialization: JSON = true
  /// All fields as they were read, the typed ones included, in the file's order.
  public private(set) var fields: JSON = .object([])

  /// A LoRA of rank 8 and α 8 on what peft takes for the model's type: peft's defaults.
  public init() {}
}

extension PEFTConfiguration {
  /// Reads `adapter_config.json`.
  ///
  /// - Throws: `CheckpointError` where it is no LoRA configuration or a field has the wrong type.
  public init(contentsOf url: URL) throws {
    self = try PEFTConfiguration(readJSON(url), file: url.path)
  }

  /// - Parameters:
  ///   - json: the content of `adapter_config.json`.
  ///   - file: the name for errors.
  public init(_ json: JSON, file: String = "adapter_config.json") throws {
    guard case .object = json else {
      throw CheckpointError(
        .malformed, file: file, "is no JSON object", expected: "one, as peft writes it",
        advice: "Take the adapter_config.json of the adapter")
    }
    guard let type = json["peft_type"] else {
      throw CheckpointError(
        .malformed, file: file, "has no peft_type, so Python peft can't load it", expected: "\"LORA\" for a LoRA",
        advice: "Add it")
    }
    guard let peftType = type.string, AdapterMethods.peftTypes.contains(peftType) else {
      throw CheckpointError(
        .unsupported, file: file, "peft_type is \(type.shown)",
        expected: AdapterMethods.peftTypes.joined(separator: ", "), advice: "Take an adapter of one of these")
    }
    self.peftType = peftType
    fields = json
    let reader = FieldReader(json: json, file: file)
    // peft fails on a rank that is no integer, 4.0 included, and on what is null where it works with a value.
    let needed =
      [rankField, alphaField] + (peftType == "LORA" ? ["lora_dropout", "rank_pattern", "alpha_pattern"] : [])
    for field in needed where json[field]?.isNull == true {
      throw CheckpointError(
        .malformed, file: file, "\(field) is null, on which peft fails",
        expected: field.hasSuffix("_pattern") ? "an object" : "a number",
        advice: "Write the one with which it was trained, or remove the field")
    }
    rank = try reader.read(rankField, \.strictInteger, "an integer") ?? rank
    alpha = try reader.read(alphaField, \.number, "a number") ?? alpha
    scaling = try reader.read("use_rslora", \.bool, "true or false") ?? false ? .rankStabilized : .standard
    usesMagnitudes = try reader.read("use_dora", \.bool, "true or false") ?? false
    hasLoHaCores = try reader.read("use_effective_conv2d", \.bool, "true or false") ?? false
    hasLoRABias = try reader.read("lora_bias", \.bool, "true or false") ?? false
    isFanInFanOut = try reader.read("fan_in_fan_out", \.bool, "true or false") ?? false
    bias = try reader.read("bias", { $0.string.flatMap(Bias.init) }, "\"none\", \"all\" or \"lora_only\"") ?? .none
    selection.targets = try reader.read("target_modules", Targets.init, "a list of names or a pattern")
    selection.excluded = try reader.read("exclude_modules", Targets.init, "a list of names or a pattern")
    selection.saved = try reader.read("modules_to_save", \.strings, "a list of names") ?? []
    ensuresWeightTying = try reader.read("ensure_weight_tying", \.bool, "true or false") ?? false
    selection.layers =
      try reader.read("layers_to_transform", { Self.list($0, \.integer) }, "an integer or a list of them") ?? []
    selection.layersPatterns =
      try reader.read("layers_pattern", { Self.list($0, \.string) }, "a string or a list of them") ?? []
    // AdaLoRA's rank_pattern holds masks of what it kept.
    rankExceptions = peftType == "ADALORA" ? [] : try reader.exceptions("rank_pattern", \.strictInteger, "integers")
    alphaExceptions = try reader.exceptions("alpha_pattern", \.number, "numbers")
    // What is not above 0, NaN included, is none to peft.
    dropout =
      try reader.read("lora_dropout", { $0.number.flatMap { $0 > 1 ? nil : $0 > 0 ? $0 : 0 } }, "a share of at most 1")
      ?? 0
    taskType = try reader.read(
      "task_type", { $0.string.flatMap { Self.taskTypes.contains($0) ? $0 : nil } },
      "null or one of \(Self.taskTypes.joined(separator: ", "))")
    baseModel = try reader.read("base_model_name_or_path", \.string, "a string")
    initialization = json["init_lora_weights"] ?? true
    // OFT's may be 0 beside the size of its blocks.
    guard rank > 0 || rank == 0 && (json["oft_block_size"]?.integer ?? 0) > 0,
      rankExceptions.allSatisfy({ $0.value > 0 })
    else {
      throw CheckpointError(
        .malformed, file: file, "has a rank below 1", expected: "at least 1", advice: "Write the rank that A has rows")
    }
    guard alpha.isFinite, alphaExceptions.allSatisfy(\.value.isFinite) else {
      throw CheckpointError(
        .number, file: file, "\(alphaField) is no finite number, so the scale would be none",
        expected: "a finite number", advice: "Write the number with which it was trained")
    }
    if let contradiction {
      throw CheckpointError(
        .malformed, file: file, "\(contradiction.found), on which peft fails", expected: contradiction.expected,
        advice: "Correct it, or fetch the file again")
    }
  }

  /// Fields that exclude each other, as the configuration's class in peft has it.
  private var contradiction: (found: String, expected: String)? {
    func has(_ field: String) -> Bool { fields[field].map { !$0.isNull } ?? false }
    for field in ["layers_to_transform", "layers_pattern"] where has(field) {
      if fields["target_modules"]?.string != nil {
        return ("has \(field) beside a text in target_modules", "a list of names there")
      }
    }
    if !selection.layersPatterns.isEmpty, !has("layers_to_transform") {
      return ("has layers_pattern without layers_to_transform", "the layers' numbers there")
    }
    if hasLoRABias, usesMagnitudes { return ("has both lora_bias and use_dora", "one of the two") }
    if hasLoRABias, initialization.bool == nil {
      return ("has lora_bias beside init_lora_weights \(initialization.shown)", "true or false there")
    }
    if usesMagnitudes, fields["megatron_config"]?.members.isEmpty == false {
      return ("has both megatron_config and use_dora", "one of the two")
    }
    return nil
  }

  /// peft fails on others.
  private static let taskTypes = [
    "SEQ_CLS", "SEQ_2_SEQ_LM", "CAUSAL_LM", "TOKEN_CLS", "QUESTION_ANS", "FEATURE_EXTRACTION",
  ]

  /// The fields of the rank and of α, which methods call differently.
  private var rankField: String { peftType == "ADALORA" ? "init_r" : "r" }
  private var alphaField: String { ["LORA", "ADALORA"].contains(peftType) ? "lora_alpha" : "alpha" }

  private static func list<Value>(_ json: JSON, _ value: (JSON) -> Value?) -> [Value]? {
    if let values = json.array {
      let converted = values.compactMap(value)
      return converted.count == values.count ? converted : nil
    }
    return value(json).map { [$0] }
  }

  /// The file's content as Python peft writes it: all fields, sorted.
  public var json: JSON {
    // Of other methods what was read is written back, but for what says which modules; LoHa is also made here.
    var json = peftType == "LORA" ? Self.defaults : .object([])
    for member in fields.members { json[member.key] = member.value }
    json["target_modules"] = selection.targets?.json ?? .null
    json["exclude_modules"] = selection.excluded?.json ?? .null
    json["modules_to_save"] = selection.saved.isEmpty ? .null : .array(selection.saved.map(JSON.string))
    json["task_type"] = taskType.map(JSON.string) ?? .null
    json["base_model_name_or_path"] = baseModel.map(JSON.string) ?? .null
    json["inference_mode"] = true
    json["peft_type"] = .string(peftType)
    if ["LORA", "LOHA"].contains(peftType) {
      json[rankField] = .integer(rank)
      json[alphaField] = Self.number(alpha)
      // The order of the patterns' keys carries meaning; Python sorts what it writes, but nothing asks for that.
      json["rank_pattern"] = .object(rankExceptions.map { JSON.Member($0.key, .integer($0.value)) })
      json["alpha_pattern"] = .object(alphaExceptions.map { JSON.Member($0.key, Self.number($0.value)) })
    }
    if peftType == "LOHA" { json["use_effective_conv2d"] = .bool(hasLoHaCores) }
    guard peftType == "LORA" else { return .object(json.members.sorted { $0.key < $1.key }) }
    json["use_rslora"] = .bool(scaling == .rankStabilized)
    json["use_dora"] = .bool(usesMagnitudes)
    json["lora_bias"] = .bool(hasLoRABias)
    json["fan_in_fan_out"] = .bool(isFanInFanOut)
    json["bias"] = .string(bias.rawValue)
    // These two may be written as a list or as its only element: kept as read.
    if Self.list(json["layers_to_transform"]!, \.integer) ?? [] != selection.layers {
      json["layers_to_transform"] = selection.layers.isEmpty ? .null : .array(selection.layers.map(JSON.integer))
    }
    if Self.list(json["layers_pattern"]!, \.string) ?? [] != selection.layersPatterns {
      json["layers_pattern"] =
        selection.layersPatterns.isEmpty ? .null : .array(selection.layersPatterns.map(JSON.string))
    }
    json["ensure_weight_tying"] = .bool(ensuresWeightTying)
    json["lora_dropout"] = .number(dropout)
    json["init_lora_weights"] = initialization
    return .object(json.members.sorted { $0.key < $1.key })
  }

  /// An integer where it is one: `16`, not `16.0`.
  private static func number(_ value: Double) -> JSON { Int(exactly: value).map(JSON.integer) ?? .number(value) }

  /// Every field of peft 0.21 with its default.
  private static let defaults: JSON = [
    "alora_invocation_tokens": nil, "alpha_pattern": [:], "arrow_config": nil, "auto_mapping": nil,
    "base_model_name_or_path": nil, "bias": "none", "corda_config": nil, "ensure_weight_tying": false,
    "eva_config": nil, "exclude_modules": nil, "fan_in_fan_out": false, "inference_mode": true,
    "init_lora_weights": true, "kasa_config": nil, "layer_replication": nil, "layers_pattern": nil,
    "layers_to_transform": nil, "loftq_config": [:], "lora_alpha": 8, "lora_bias": false, "lora_dropout": 0.0,
    "lora_ga_config": nil, "megatron_config": nil, "megatron_core": "megatron.core", "modules_to_save": nil,
    "monteclora_config": nil, "peft_type": "LORA", "peft_version": "0.21.2", "qalora_group_size": 16, "r": 8,
    "rank_pattern": [:], "revision": nil, "target_modules": nil, "target_parameters": nil, "task_type": nil,
    "trainable_token_indices": nil, "use_bdlora": nil, "use_dora": false, "use_qalora": false, "use_rslora": false,
    "velora_config": nil,
  ]

  /// Fields that peft 0.21 does not know: it warns of them and ignores them.
  public var unknownFields: [String] {
    guard peftType == "LORA" else { return [] }
    return fields.members.map(\.key).filter { Self.defaults[$0] == nil && $0 != "runtime_config" }
  }

  /// Fields in use that change what the adapter computes in ways that are not reproduced here.
  public var unsupportedFields: [String] {
    [
      "layer_replication", "target_parameters", "use_qalora", "use_bdlora",
      "alora_invocation_tokens", "arrow_config", "kasa_config", "monteclora_config",
    ]
    .filter { field in
      switch fields[field] {
      case nil, .null?, .bool(false)?, .array([])?, .object([])?: false
      default: true
      }
    }
  }

  /// The name of an initialisation that also changes the base's weights: the adapter is then no update of the
  /// untouched base. `nil` for all others.
  public var baseChangingInitialization: String? {
    guard let name = initialization.string else { return nil }
    return ["pissa", "olora", "corda", "lora_ga", "loftq"].contains { name.lowercased().hasPrefix($0) } ? name : nil
  }
}

extension Targets {
  /// As configurations write it: a list, a pattern, or "all-linear".
  fileprivate init?(_ json: JSON) {
    if let names = json.strings {
      self = .names(names)
    } else if let pattern = json.string {
      self = pattern.lowercased() == "all-linear" ? .allLinear : .pattern(pattern)
    } else {
      return nil
    }
  }

  fileprivate var json: JSON {
    switch self {
    case .names(let names): .array(names.map(JSON.string))
    case .pattern(let pattern): .string(pattern)
    case .allLinear: "all-linear"
    }
  }
}

extension JSON {
  /// An integer that is written as one.
  fileprivate var strictInteger: Int? { if case .integer(let value) = self { value } else { nil } }
}

/// Reads optional fields and says what is wrong with one.
private struct FieldReader {
  let json: JSON
  let file: String

  func read<Value>(_ field: String, _ value: (JSON) -> Value?, _ expected: String) throws -> Value? {
    guard let found = json[field], !found.isNull else { return nil }
    guard let result = value(found) else {
      throw CheckpointError(
        .malformed, file: file, "\(field) is \(found.shown)", expected: expected,
        advice: "Correct it, or fetch the file again")
    }
    return result
  }

  func exceptions<Value>(
    _ field: String, _ value: (JSON) -> Value?, _ expected: String
  ) throws -> [PEFTConfiguration.Exception<Value>] {
    try read(
      field,
      { json in
        guard case .object(let members) = json else { return nil }
        let exceptions = members.compactMap { member in
          value(member.value).map { PEFTConfiguration.Exception(member.key, $0) }
        }
        return exceptions.count == members.count ? exceptions : nil
      }, "an object of \(expected)") ?? []
  }
}
