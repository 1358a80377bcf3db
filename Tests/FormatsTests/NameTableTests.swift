// The name table against transformers: Tests/Fixtures/names/models.json is what transformers itself says.

import Foundation
import LoRAAdapters
import LoRAFiles
import LoRAFormats
import TestSupport
import Testing

/// One class of transformers, as make.py recorded it.
private struct RecordedClass: CustomTestStringConvertible, Sendable {
  let type: String
  let name: String
  /// What stands before the body's parameters; `nil` for a class that is recorded in full.
  let body: String?
  let parameters: Set<String>
  /// The class's own stored names that differ, and the parameters they are.
  let renamed: [String: String]
  let earlier: [String: String]
  let tied: [String: String]
  let embeddings: [String]
  let conv1D: [String]
  let input: String?
  let output: String?
  let excluded: [String]
  /// The class without a head that comes before it in the record.
  let base: Base?

  struct Base: Sendable {
    let name: String
    let parameters: Set<String>
    let renamed: [String: String]
    let earlier: [String: String]
    /// Stored names and what they are.
    var places: [String: String] { Self.places(parameters, renamed) }

    /// A tensor that is stored under its parameter's name is what no renaming leads to.
    static func places(_ parameters: Set<String>, _ renamed: [String: String]) -> [String: String] {
      var result = renamed
      let moved = Set(renamed.values)
      for name in parameters where !moved.contains(name) { result[name] = name }
      return result
    }
  }

  var testDescription: String { "\(name) (\(type))" }

  static let all: [RecordedClass] = {
    guard let text = try? String(contentsOf: fixtures.appendingPathComponent("names/models.json"), encoding: .utf8),
      let entries = try? JSON(parsing: text).array
    else { return [] }
    var base: Base?
    return entries.map { entry in
      let body = entry["body"]?.string
      var parameters = Set(names(entry["parameters"] ?? .object([])))
      if let body, let base {
        let without = Set(entry["without"]?.strings ?? [])
        parameters.formUnion(base.parameters.subtracting(without).map { body + $0 })
      }
      let (renamed, earlier) = (pairs(entry["renamed"]), pairs(entry["earlier"]))
      let name = entry["class"]?.string ?? ""
      if body == nil { base = Base(name: name, parameters: parameters, renamed: renamed, earlier: earlier) }
      return RecordedClass(
        type: entry["type"]?.string ?? "", name: name, body: body, parameters: parameters, renamed: renamed,
        earlier: earlier, tied: pairs(entry["tied"]), embeddings: entry["embeddings"]?.strings ?? [],
        conv1D: entry["conv1d"]?.strings ?? [], input: entry["input"]?.string, output: entry["output"]?.string,
        excluded: entry["excluded"]?.strings ?? [], base: body == nil ? nil : base)
    }
  }()

  private static func names(_ tree: JSON) -> [String] {
    tree.members.flatMap { member in
      if let leaves = member.value.string {
        return leaves.split(separator: " ").map { member.key.isEmpty ? String($0) : "\(member.key).\($0)" }
      }
      return names(member.value).map { "\(member.key).\($0)" }
    }
  }

  private static func pairs(_ json: JSON?) -> [String: String] {
    Dictionary(uniqueKeysWithValues: (json?.members ?? []).map { ($0.key, $0.value.string ?? "") })
  }

  func table(_ names: some Collection<String>) -> NameTable {
    NameTable(modelType: type, className: name, names: names)
  }

  /// Checks all names of one file.
  func expect(_ places: [String: String], _ file: String, location: SourceLocation = #_sourceLocation) {
    let table = table(places.keys)
    for (stored, parameter) in places.sorted(by: { $0.key < $1.key }) {
      #expect(table.parameter(of: stored) == parameter, "\(file): \(stored)", sourceLocation: location)
    }
  }
}

@Suite struct NameTableTests {
  @Test("The record is there") func record() { #expect(RecordedClass.all.count > 150) }

  @Test("A file that transformers saved has the class's parameters", arguments: RecordedClass.all)
  private func saved(_ model: RecordedClass) {
    var places = RecordedClass.Base.places(model.parameters, model.renamed)
    if let base = model.base, let body = model.body, !model.renamed.values.contains(where: { $0.hasPrefix(body) }) {
      // The body's renamed tensors, with the body's attribute.
      let moved = Set(base.renamed.values.map { body + $0 })
      for name in moved { places[name] = nil }
      for (stored, parameter) in base.renamed where model.parameters.contains(body + parameter) {
        places[body + stored] = body + parameter
      }
    }
    model.expect(places, "saved")
    #expect(Set(places.keys.map(model.table(places.keys).parameter)).isSubset(of: model.parameters))
  }

  @Test("Today's names are their own", arguments: RecordedClass.all)
  private func today(_ model: RecordedClass) {
    model.expect(Dictionary(uniqueKeysWithValues: model.parameters.map { ($0, $0) }), "today's")
  }

  @Test("A file without a head serves a class with one", arguments: RecordedClass.all.filter { $0.base != nil })
  private func headless(_ model: RecordedClass) throws {
    let base = try #require(model.base)
    let body = try #require(model.body)
    // With the head's own tensors, as vision-language models are saved.
    let places = base.places.merging(base.earlier) { a, _ in a }.mapValues { body + $0 }
      .merging(model.renamed.filter { !$0.value.hasPrefix(body) }) { a, _ in a }
    model.expect(places.filter { model.parameters.contains($0.value) }, "headless")
  }

  @Test("A file with a head serves the class without one", arguments: RecordedClass.all.filter { $0.base != nil })
  private func headed(_ model: RecordedClass) throws {
    let base = try #require(model.base)
    let body = try #require(model.body)
    let names = model.parameters.filter { $0.hasPrefix(body) }
    let table = NameTable(modelType: model.type, className: base.name, names: model.parameters)
    for name in names where base.parameters.contains(String(name.dropFirst(body.count))) {
      #expect(table.parameter(of: name) == name.dropFirst(body.count))
    }
  }

  @Test("Names of earlier releases lead to today's", arguments: RecordedClass.all.filter { !$0.earlier.isEmpty })
  private func earlier(_ model: RecordedClass) { model.expect(model.earlier, "earlier") }

  @Test(
    "Spellings begin with today's name, hold the older ones and the file's, and no two parameters share one",
    arguments: RecordedClass.all)
  private func spellings(_ model: RecordedClass) {
    let places = RecordedClass.Base.places(model.parameters, model.renamed).merging(model.earlier) { a, _ in a }
    let table = model.table(places.keys)
    var owners: [String: String] = [:]
    for (stored, parameter) in places {
      let spellings = table.spellings(of: stored)
      #expect(spellings.first == parameter)
      #expect(spellings.contains(stored))
      for spelling in spellings {
        let owner = owners.updateValue(parameter, forKey: spelling)
        #expect(owner == nil || owner == parameter, "\(spelling)")
      }
      guard case .whole = table.place(of: stored) else { continue }
      // The same from the parameter's name: an adapter of an earlier release on a file of today's.
      let today = model.table(model.parameters).spellings(of: parameter)
      #expect(today.contains(stored), "\(parameter) has no spelling \(stored)")
    }
  }

  @Test("Embeddings, Conv1D, the input and the output are the class's", arguments: RecordedClass.all)
  private func modules(_ model: RecordedClass) {
    let table = model.table(model.parameters)
    if model.base == nil {
      let weights = model.parameters.filter { $0.hasSuffix(".weight") }.map { String($0.dropLast(7)) }
      #expect(Set(weights.filter(table.isEmbedding)).isSubset(of: model.embeddings))
      #expect(model.embeddings.allSatisfy(table.isEmbedding), "\(model.embeddings)")
      #expect(Set(weights.filter(table.isConv1D)) == Set(model.conv1D))
    }
    if let input = model.input, !model.type.hasPrefix("siglip") || model.name == "SiglipTextModel" {
      #expect(table.inputEmbedding == input)
    }
    #expect(table.outputLayer == model.output)
    for name in model.excluded { #expect(table.excludedFromAllLinear(taskType: table.taskType ?? "SEQ_CLS") == name) }
    for (copy, stored) in model.tied { #expect(table.tiedParameters[copy] == stored, "\(copy)") }
    if !model.tied.isEmpty { #expect(table.tiedParameters.count == model.tied.count) }
  }

  @Test(
    "A head's modules are what the class has besides its body",
    arguments: RecordedClass.all.filter { $0.body != nil && $0.body != "" && $0.name != "BartForCausalLM" })
  private func heads(_ model: RecordedClass) throws {
    let body = try #require(model.body)
    let table = model.table(model.parameters)
    let besides = Set(model.parameters.filter { !$0.hasPrefix(body) }.map { String($0.prefix { $0 != "." }) })
    #expect(besides.isSubset(of: table.headModules))
    if model.tied.isEmpty { #expect(besides == Set(table.headModules)) }
  }

  @Test("Parts of fused parameters and tensors that are split are said to be so")
  func parts() {
    let mixtral = NameTable(modelType: "mixtral", className: "MixtralForCausalLM", names: ["model.norm.weight"])
    let experts = "model.layers.3.block_sparse_moe.experts"
    #expect(
      mixtral.place(of: "\(experts).5.w3.weight")
        == .part(of: "model.layers.3.mlp.experts.gate_up_proj", expert: 5, slot: 1, slots: 2))
    #expect(
      mixtral.place(of: "\(experts).7.w2.weight")
        == .part(of: "model.layers.3.mlp.experts.down_proj", expert: 7, slot: 0, slots: 1))
    #expect(mixtral.parameter(of: "model.layers.3.block_sparse_moe.gate.weight") == "model.layers.3.mlp.gate.weight")
    #expect(mixtral.spellings(of: "\(experts).5.w3").contains("\(experts).5.w3"))
    let dinov2 = NameTable(modelType: "dinov2", className: "Dinov2Model", names: ["layernorm.weight"])
    #expect(
      dinov2.place(of: "encoder.layer.1.mlp.weights_in.bias")
        == .split(into: ["encoder.layer.1.mlp.gate_proj.bias", "encoder.layer.1.mlp.up_proj.bias"]))
  }

  @Test(
    "Adapters of vision-language models before 4.52, before 5 and today are known",
    arguments: [
      (
        "llava", "LlavaForConditionalGeneration", "language_model.model.layers.11.self_attn.q_proj.weight",
        ["model.language_model.layers.11.self_attn.q_proj.weight", "language_model.layers.11.self_attn.q_proj.weight"]
      ),
      (
        "gemma3", "Gemma3ForConditionalGeneration", "vision_tower.vision_model.encoder.layers.2.mlp.fc1.weight",
        [
          "model.vision_tower.encoder.layers.2.mlp.fc1.weight",
          "model.vision_tower.vision_model.encoder.layers.2.mlp.fc1.weight",
        ]
      ),
      (
        "qwen2_vl", "Qwen2VLForConditionalGeneration", "model.layers.4.mlp.up_proj.weight",
        ["model.language_model.layers.4.mlp.up_proj.weight", "language_model.layers.4.mlp.up_proj.weight"]
      ),
      (
        "qwen2_5_vl", "Qwen2_5_VLForConditionalGeneration", "visual.blocks.3.attn.qkv.weight",
        ["model.visual.blocks.3.attn.qkv.weight"]
      ),
      (
        "vit", "ViTForImageClassification", "vit.encoder.layer.10.attention.attention.value.weight",
        ["vit.layers.10.attention.v_proj.weight", "encoder.layer.10.attention.attention.value.weight"]
      ),
      (
        "clip_text_model", "CLIPTextModel", "text_model.encoder.layers.1.self_attn.k_proj.weight",
        ["encoder.layers.1.self_attn.k_proj.weight"]
      ),
      ("gpt_neox", "GPTNeoXForCausalLM", "embed_out.weight", ["lm_head.weight"]),
      (
        "bert", "BertModel", "bert.embeddings.LayerNorm.gamma",
        ["embeddings.LayerNorm.weight", "bert.embeddings.LayerNorm.weight"]
      ),
      ("gpt2", "GPT2LMHeadModel", "h.7.attn.c_attn.weight", ["transformer.h.7.attn.c_attn.weight"]),
    ])
  func older(type: String, name: String, stored: String, others: [String]) {
    let table = NameTable(modelType: type, className: name, names: [stored])
    #expect(table.parameter(of: stored) == others[0])
    let spellings = table.spellings(of: stored)
    #expect(Set(others + [stored]).isSubset(of: spellings))
    // Paths of modules are spelled alike.
    #expect(table.parameter(of: String(stored.dropLast(7))) == others[0].dropLast(7) || stored.hasSuffix("gamma"))
  }

  @Test("Names of a model without a configuration, or of an unknown type, are its own")
  func unknown() {
    let plain = NameTable(modelType: nil, className: nil, names: ["net..LayerNorm.gamma"])
    #expect(plain.parameter(of: "net..LayerNorm.gamma") == "net..LayerNorm.gamma")
    #expect(plain.spellings(of: "net..weight_g") == ["net..weight_g"])
    let other = NameTable(modelType: "newest", className: "NewestForCausalLM", names: ["layers.0.weight"])
    #expect(other.parameter(of: "layers.0.weight") == "layers.0.weight")
    // Known, but not of which class: an adapter may have the body's attribute.
    let classless = NameTable(modelType: "gpt2", className: nil, names: ["h.0.mlp.c_fc.weight"])
    #expect(classless.spellings(of: "h.0.mlp.c_fc") == ["h.0.mlp.c_fc", "transformer.h.0.mlp.c_fc"])
  }

  @Test("Task types are those whose wrapper in peft runs the model, and heads those of the class")
  func tasks() {
    func table(_ type: String, _ name: String) -> NameTable { NameTable(modelType: type, className: name, names: []) }
    #expect(table("whisper", "WhisperForConditionalGeneration").taskType == nil)
    #expect(table("clip_text_model", "CLIPTextModel").taskType == nil)
    #expect(table("wav2vec2", "Wav2Vec2ForSequenceClassification").taskType == "SEQ_CLS")
    #expect(table("t5", "T5ForConditionalGeneration").taskType == "SEQ_2_SEQ_LM")
    #expect(table("llava", "LlavaForConditionalGeneration").taskType == "CAUSAL_LM")
    #expect(table("bert", "BertModel").taskType == "FEATURE_EXTRACTION")
    #expect(table("bert", "BertModel").headClassName(for: "SEQ_CLS") == "BertForSequenceClassification")
    #expect(table("gpt2", "GPT2Model").headClassName(for: "CAUSAL_LM") == "GPT2LMHeadModel")
    #expect(table("gemma3_text", "Gemma3TextModel").headClassName(for: "CAUSAL_LM") == "Gemma3ForCausalLM")
    #expect(table("roformer", "RoFormerModel").headClassName(for: "TOKEN_CLS") == "RoFormerForTokenClassification")
    #expect(table("distilbert", "DistilBertModel").headModules(for: "SEQ_CLS") == ["pre_classifier", "classifier"])
    #expect(
      table("distilbert", "DistilBertForSequenceClassification").taskHeads == ["classifier", "score", "pre_classifier"])
  }

  @Test("Default targets are peft's, for every method and model")
  func defaults() throws {
    let url = fixtures.appendingPathComponent("names/defaults.json")
    let tables = try JSON(parsing: String(contentsOf: url, encoding: .utf8))
    let lora = try #require(tables["LORA"])
    for table in tables.members {
      var expected = table.value.members.filter { $0.key != "as" }
      if table.value["as"] != nil {
        expected += lora.members.filter { row in !expected.contains { $0.key == row.key } }
      }
      for row in expected {
        let names = row.value.strings
        if table.key == "IA3_FEEDFORWARD" {
          #expect(PEFTDefaults.feedForward(modelType: row.key) == names, "\(row.key)")
        } else {
          let selection: Targets = names.map { .names($0) } ?? .pattern(row.value.string ?? "")
          #expect(PEFTDefaults.targets(method: table.key, modelType: row.key) == selection, "\(table.key) \(row.key)")
        }
      }
      for row in lora.members where !expected.contains(where: { $0.key == row.key }) && table.key != "IA3_FEEDFORWARD" {
        #expect(PEFTDefaults.targets(method: table.key, modelType: row.key) == nil, "\(table.key) \(row.key)")
      }
    }
  }
}
