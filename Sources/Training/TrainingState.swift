import Foundation
import LoRAFiles
import LoRANetworks
import LoRATensors

/// Everything that a training run needs to go on bit for bit, in one safetensors file: the trained parameters, the
/// optimizer's moments, the history, the sampler's and the dropouts' random state.
///
/// Frozen parameters are not kept; whoever resumes brings the same base, and `purpose`, a text that describes the run
/// (model, data, seed, settings), must agree.
public enum TrainingState {
  private struct Record: Codable {
    var purpose: String
    var history: TrainingHistory
    var sampler: Data
    var generators: [String: SeededGenerator]
    var parts: Int?
    var note: Data?
  }

  private static let metadataKey = "training_state"

  /// Writes the state beside `url`, syncs and renames: what was there before stays until the new one is whole.
  ///
  /// - Parameters:
  ///   - trainer: the run, with its optimizer and losses.
  ///   - model: the model in memory.
  ///   - sampler: says which examples make a batch.
  ///   - purpose: what the run is; only one of the same purpose takes it up.
  ///   - parts: in how many parts it works on a batch.
  ///   - note: what else the run knows of itself.
  ///   - others: what else is kept, and given back, by name.
  ///   - url: the file that will be written.
  public static func save(
    _ trainer: Trainer, of model: some Module, sampler: some BatchSampler, purpose: String, parts: Int? = nil,
    note: Data? = nil, beside others: [String: Tensor] = [:], to url: URL
  ) throws {
    var tensors = try trainer.optimizer.parameters.map {
      try StoredTensor(name: "parameter.\($0.name)", $0.parameter.original)
    }
    for (name, tensor) in trainer.optimizer.state.sorted(by: { $0.key < $1.key }) {
      tensors.append(try StoredTensor(name: "optimizer.\(name)", tensor))
    }
    for (name, tensor) in others.sorted(by: { $0.key < $1.key }) {
      tensors.append(try StoredTensor(name: "beside.\(name)", tensor))
    }
    let generators = model.randomizedModules.map { ($0.path, $0.module.generator) }
    let record = Record(
      purpose: purpose, history: trainer.history, sampler: try JSONEncoder().encode(sampler),
      generators: Dictionary(uniqueKeysWithValues: generators), parts: parts, note: note)
    let text = String(decoding: try JSONEncoder().encode(record), as: UTF8.self)
    try SafetensorsWriter.write(tensors, to: url, metadata: [.init(metadataKey, .string(text))])
  }

  /// In how many parts the run of a state works on a batch; nil where the file is no state, or does not say.
  public static func parts(in url: URL) -> Int? { (try? SafetensorsFile(url)).flatMap(record)?.parts }

  /// What the run of a state noted of itself; nil where the file is no state, or has no note.
  public static func note(in url: URL) -> Data? { (try? SafetensorsFile(url)).flatMap(record)?.note }

  private static func record(_ file: SafetensorsFile) -> Record? {
    file.metadata.first { $0.key == metadataKey }?.value.string.flatMap {
      try? JSONDecoder().decode(Record.self, from: Data($0.utf8))
    }
  }

  /// Puts a saved state back, and returns what was kept beside it.
  ///
  /// Throws `CheckpointError` where the file is no training state, was made for another purpose, or holds other
  /// parameters; then nothing is changed.
  @discardableResult
  public static func restore<Sampler: BatchSampler>(
    _ trainer: Trainer, of model: some Module, sampler: inout Sampler, purpose: String, from url: URL
  ) throws -> [String: Tensor] {
    let file = try SafetensorsFile(url)
    guard let record = record(file),
      let restoredSampler = try? JSONDecoder().decode(Sampler.self, from: record.sampler)
    else {
      throw CheckpointError(
        .malformed, file: url.path, "is no training state", expected: "what a training has kept to go on from",
        advice: "Name such a file")
    }
    guard record.purpose == purpose else {
      throw CheckpointError(
        .mismatch, file: url.path, "was saved by another run (\(record.purpose))",
        expected: "one like this (\(purpose))", advice: .sameOptions)
    }
    guard restoredSampler.isLike(sampler) else {
      throw CheckpointError(
        .mismatch, file: url.path, "draws its batches from other examples, or in another size",
        expected: "those of this run", advice: "Resume with the same data and options")
    }
    let parameters = trainer.optimizer.parameters
    let values = try parameters.map { item in
      let found = file["parameter.\(item.name)"]
      guard let found, found.shape == item.parameter.shape else {
        throw CheckpointError(
          .mismatch, file: url.path, "'\(item.name)' has shape \(found?.shape.description ?? "none")",
          expected: "\(item.parameter.shape)", advice: .sameOptions)
      }
      return try found.tensor()
    }
    func tensors(_ prefix: String) throws -> [String: Tensor] {
      try file.tensors.reduce(into: [:]) { found, stored in
        guard stored.name.hasPrefix(prefix) else { return }
        found[String(stored.name.dropFirst(prefix.count))] = try stored.tensor()
      }
    }
    let (state, others) = (try tensors("optimizer."), try tensors("beside."))
    try trainer.optimizer.restore(state: state, step: record.history.steps.count)
    for (item, value) in zip(parameters, values) { try item.parameter.assignOriginal(value) }
    for (path, module) in model.randomizedModules {
      if let generator = record.generators[path] { module.generator = generator }
    }
    trainer.history = record.history
    sampler = restoredSampler
    return others
  }
}
