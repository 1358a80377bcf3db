import Foundation
import LoRAFiles
import LoRANetworks
import LoRATensors

/// The parameters at the best evaluation so far, in memory and, where a state is kept, in a file beside it.
struct BestParameters {
  private let parameters: [NamedParameter]
  private let file: URL?
  private(set) var evaluation: Evaluation?
  private var values: [Tensor] = []

  init(_ parameters: [NamedParameter], beside state: URL?) {
    self.parameters = parameters
    file = state.map(Self.file)
  }

  private static func file(beside state: URL) -> URL { state.appendingPathExtension("best") }

  /// Keeps the parameters as they are now.
  mutating func keep(_ new: Evaluation) throws {
    evaluation = new
    values = parameters.map(\.parameter.original)
    try write()
  }

  private func write() throws {
    guard let file, let evaluation else { return }
    let tensors = try zip(parameters, values).map { try StoredTensor(name: $0.name, $1) }
    let record = String(decoding: try JSONEncoder().encode(evaluation), as: UTF8.self)
    try SafetensorsWriter.write(tensors, to: file, metadata: [.init("evaluation", .string(record))])
  }

  /// Takes up what lies beside a state. It may be of a later evaluation than the state's last, where the run ended
  /// without keeping its state; that evaluation will then come again.
  mutating func restore(beside state: URL) throws {
    let file = Self.file(beside: state)
    guard FileManager.default.fileExists(atPath: file.path) else {
      throw CheckpointError(
        .missing, file: file.path,
        "is not there; it holds the best parameters so far and belongs to the state beside it",
        advice: "Put it back beside the state, or begin anew")
    }
    let stored = try SafetensorsFile(file)
    guard let text = stored.metadata.first(where: { $0.key == "evaluation" })?.value.string,
      let record = try? JSONDecoder().decode(Evaluation.self, from: Data(text.utf8))
    else {
      throw CheckpointError(
        .malformed, file: file.path, "holds no evaluation", expected: "one, as a run's best parameters have",
        advice: "Begin anew, or keep another state")
    }
    values = try parameters.map { item in
      guard let tensor = stored[item.name], tensor.shape == item.parameter.shape else {
        throw CheckpointError(
          .mismatch, file: file.path,
          "has \(stored[item.name].map { "\(item.name) of shape \($0.shape)" } ?? "no \(item.name)")",
          expected: "one of shape \(item.parameter.shape)", advice: .sameOptions)
      }
      return try tensor.tensor()
    }
    evaluation = record
    if file.standardizedFileURL != self.file?.standardizedFileURL { try write() }
  }

  func putBack() throws {
    for (item, value) in zip(parameters, values) { try item.parameter.assignOriginal(value) }
  }
}
