// The files around a merged model's weights, so that it loads as the model that it has become.
//
// A classifier that an adapter adds makes another class of the model: config.json names it and its labels, and the tensors
// get the names that this class has.

import Foundation
import LoRAAdapters
import LoRAFiles
import LoRAFormats

/// config.json and the other files of a merged model.
struct MergedModel: Sendable {
  let findings: [Finding]
  private let base: Checkpoint
  /// config.json as it has to be; nil where the base has none.
  private let configuration: JSON?
  /// Files from the adapters' folders that say what the model's outputs mean.
  private let companions: [URL]
  /// The names of the class that it has become; nil where that is the base's own.
  private let names: NameTable?

  /// Files beside an adapter that a merged model needs.
  private static let labelsName = "labels.json"

  init(_ plan: MergePlan, format: NumberFormat?, adapters: [StoredAdapter]) throws {
    base = plan.base
    let files = FileManager.default
    companions = adapters.filter { $0.format == .peft }
      .map { $0.url.appendingPathComponent(Self.labelsName) }
      .filter { files.fileExists(atPath: $0.path) && !liesOutside($0, $0.deletingLastPathComponent()) }
    guard var configuration = base.configuration else {
      (self.configuration, names, findings) = (nil, nil, [])
      return
    }
    for key in ["quantization_config", "quantization"] where configuration[key] != nil { configuration[key] = nil }
    if plan.isUntied { configuration["tie_word_embeddings"] = false }
    if let format {
      let names: [NumberFormat: String] = [.f16: "float16", .bf16: "bfloat16", .f32: "float32", .f64: "float64"]
      for key in ["torch_dtype", "dtype"] where configuration[key] != nil {
        configuration[key] = names[format].map(JSON.string)
      }
    }
    let task = adapters.compactMap(\.configuration.taskType).first
    let architecture = NameTable(configuration: configuration, names: base.tensors.map(\.name))
    let head = plan.additions.values.filter { architecture.isHead($0.info.modulePath, of: task) }
    // The rows of the last weight of the head are its classes.
    let rows = head.filter { $0.shape.count == 2 }.sorted { isOrdered($0.name, $1.name) }.last { tensor in
      ["classifier", "score", "out_proj", "qa_outputs"].contains(lastComponent(tensor.info.modulePath))
    }?.shape[0]
    guard let rows, let task, let className = architecture.headClassName(for: task) else {
      (self.configuration, names, findings) = (configuration, nil, [])
      return
    }
    configuration["architectures"] = [.string(className)]
    var labels = (0..<rows).map { "LABEL_\($0)" }
    if let file = companions.first, let found = try readJSON(file).strings, found.count == rows { labels = found }
    configuration["id2label"] = .object(labels.enumerated().map { JSON.Member("\($0)", .string($1)) })
    configuration["label2id"] = .object(labels.enumerated().map { JSON.Member($1, .integer($0)) })
    configuration["num_labels"] = nil
    self.configuration = configuration
    names = NameTable(configuration: configuration, names: base.tensors.map(\.name))
    findings = [Finding(.note, "the model is now a \(className) with \(rows) classes")]
  }

  /// What a tensor is called in the merged model.
  func name(of tensor: String) -> String {
    guard let names, base[tensor] != nil else { return tensor }
    return names.parameter(of: tensor)
  }

  /// Copies what belongs to the model, weights excepted.
  func write(to directory: URL) throws {
    let files = FileManager.default
    if let source = base.directory {
      for name in try files.contentsOfDirectory(atPath: source.path).sorted() where !name.hasPrefix(".") {
        let file = source.appendingPathComponent(name)
        // What a link brings in from elsewhere is not the model's.
        guard !liesOutside(file, source), !Self.holdsWeights(file), !name.hasPrefix("adapter_"), name != "config.json"
        else { continue }
        try files.copyItem(at: file.resolvingSymlinksInPath(), to: directory.appendingPathComponent(name))
      }
    }
    if let configuration {
      try OutputFile.write(configuration.pretty + "\n", to: directory.appendingPathComponent("config.json"))
    }
    for file in companions.prefix(1) {
      try OutputFile.write(Data(contentsOf: file), to: directory.appendingPathComponent(file.lastPathComponent))
    }
  }

  /// Whether a file, or one below a directory, is weights: those of another format would contradict the merged ones.
  private static func holdsWeights(_ url: URL) -> Bool {
    if isDirectory(url) {
      let names = FileManager.default.enumerator(atPath: url.path)?.compactMap { $0 as? String } ?? []
      return names.contains { holdsWeights(URL(fileURLWithPath: $0)) }
    }
    let suffixes = [
      ".safetensors", ".bin", ".pt", ".pth", ".index.json", ".gguf", ".onnx", ".onnx_data", ".h5", ".msgpack",
    ]
    return suffixes.contains(where: url.lastPathComponent.hasSuffix)
  }
}
