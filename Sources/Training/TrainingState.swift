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
  }

  private static let metadataKey = "training_state"

  /// Writes the state beside `url`, syncs and renames: what was there before stays until the new one is whole.
  ///
  /// - Parameters:
  ///   - trainer: the run, with its optimizer and losses.
  ///   - model: the model in memory.
  ///   - sampler: says which examples make a batch.
  ///   - purpose: what the run is; only one of the same purpose takes it up.
  ///   - url: the file that will be written.
  public static func save(
    _ trainer: Trainer, of model: some Module, sampler: some BatchSampler, purpose: String, to url: URL
  ) throws {
    var tensors = try trainer.optimizer.parameters.map {
      try StoredTensor(name: "parameter.\($0.name)", $0.parameter.original)
    }
    for (name, tensor) in trainer.optimizer.state.sorted(by: { $0.key < $1.key }) {
      tensors.append(try StoredTensor(name: "optimizer.\(name)", tensor))
    }
    let generators = model.randomizedModules.map { ($0.path, $0.module.generator) }
    let record = Record(
      purpose: purpose, history: trainer.history, sampler: try JSONEncoder().encode(sampler),
      generators: Dictionary(uniqueKeysWithValues: generators))
    let text = String(decoding: try JSONEncoder().encode(record), as: UTF8.self)
    try SafetensorsWriter.write(tensors, to: url, metadata: [.init(metadataKey, .string(text))])
  }

  /// Puts a saved state back.
  ///
  /// Throws `CheckpointError` where the file is no training state, was made for another purpose, or holds other
  /// parameters; then nothing is changed.
  public static func restore<Sampler: BatchSampler>(
    _ trainer: Trainer, of model: some Module, sampler: inout Sampler, purpose: String, from url: URL
  ) throws {
    let file = try SafetensorsFile(url)
    guard let text = file.metadata.first(where: { $0.key == metadataKey })?.value.string,
      let record = try? JSONDecoder().decode(Record.self, from: Data(text.utf8)),
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
    var state: [String: Tensor] = [:]
    for stored in file.tensors where stored.name.hasPrefix("optimizer.") {
      state[String(stored.name.dropFirst("optimizer.".count))] = try stored.tensor()
    }
    try trainer.optimizer.restore(state: state, step: record.history.steps.count)
    for (item, value) in zip(parameters, values) { try item.parameter.assignOriginal(value) }
    for (path, module) in model.randomizedModules {
      if let generator = record.generators[path] { module.generator = generator }
    }
    trainer.history = record.history
    sampler = restoredSampler
  }
}
