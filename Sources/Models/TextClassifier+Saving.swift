// A classifier with its adapters in one folder.

import Foundation
import LoRAAdapters
import LoRAFiles
import LoRAFormats
import LoRANetworks
import LoRATensors

extension TextClassifier {
  /// What stands in the folder beside the model's own files.
  private struct Record: Codable {
    static let name = "classifier.json"
    var maximumLength: Int
    var longTexts: String
    /// Each is a PEFT folder of this name in `adapters`.
    var adapters: [String]
    /// Those that are on.
    var enabled: [String]
  }

  /// Writes the classifier whole: the model as it is without adapters, its tokenizer, its classes, every adapter as a
  /// PEFT folder with its classes, and which of them are on. The folder appears at once or not at all, and
  /// `init(contentsOf:)` reads it.
  public func save(to directory: URL) throws {
    let output = try OutputDirectory(directory)
    try writeModelFiles(
      model.parameters.map { try StoredTensor(name: $0.name, $0.parameter.original) }, like: folder,
      labels: model.written,
      to: output.staging)
    for name in adapterNames { try saveAdapter(named: name, to: TextClassifier.place(name, in: output.staging)) }
    let record = Record(
      maximumLength: maximumLength, longTexts: longTexts.rawValue, adapters: adapterNames,
      enabled: adapterNames.filter { name in
        model.attachedAdapters.contains { $0.adapter.name == name && $0.adapter.isEnabled }
      })
    try OutputFile.write(
      String(decoding: try JSONEncoder().encode(record), as: UTF8.self),
      to: output.staging.appendingPathComponent(Record.name))
    try output.commit()
  }

  /// Reads what `save` wrote.
  ///
  /// - Throws: `CheckpointError` where something of it is missing or does not fit.
  public convenience init(contentsOf directory: URL) throws {
    let file = directory.appendingPathComponent(Record.name)
    guard let data = try contents(of: file) else {
      throw CheckpointError(
        .missing, file: file.path, "is not there; a classifier that was saved whole has it",
        advice: "Name such a folder, or give model and adapters apart")
    }
    guard let record = try? JSONDecoder().decode(Record.self, from: data),
      let longTexts = LongTexts(rawValue: record.longTexts), record.maximumLength > 0
    else {
      throw CheckpointError(
        .malformed, file: file.path, "does not say how the classifier was saved",
        expected: "\"adapters\", \"enabled\", \"maximumLength\" and \"longTexts\"", advice: "Save the classifier again")
    }
    try self.init(
      model: directory, named: record.adapters.map { ($0, TextClassifier.place($0, in: directory)) },
      maximumLength: record.maximumLength, longTexts: longTexts)
    try model.enableAdapters(record.enabled)
  }

  private static func place(_ adapter: String, in directory: URL) -> URL {
    directory.appendingPathComponent("adapters").appendingPathComponent(adapter)
  }

  /// peft's `modules_to_save`: its own for classifiers, and what else of the head is trained whole.
  public var savedModules: [String] {
    let own = model.headModules.compactMap { $0.split(separator: ".").first.map(String.init) }
    return Set(own).union(["classifier", "score"]).sorted()
  }

  /// Writes one adapter as a PEFT folder, with the names of its classes.
  ///
  /// - `configuration`: what is known of it besides (its base, its dropout).
  /// - Throws: `AttachmentError.noMatch` where there is no such adapter, `CheckpointError` where it can't be written.
  public func saveAdapter(
    named name: String = "default", configuration: PEFTConfiguration? = nil, to directory: URL
  ) throws {
    var found = try configuration ?? PEFTConfiguration(["peft_type": "LORA"])
    found.taskType = "SEQ_CLS"
    if configuration == nil { found.selection.saved = savedModules }
    try FileManager.default.createDirectory(
      at: directory.deletingLastPathComponent(), withIntermediateDirectories: true)
    let output = try OutputDirectory(directory)
    try StoredAdapter(of: model, named: name, configuration: found, url: directory).write(peft: output.staging)
    try OutputFile.write(
      model.written.json.pretty, to: output.staging.appendingPathComponent(Self.labelsName))
    try output.commit()
  }
}
