// What the digit experiment saves: the base, and an adapter that Python peft reads.

import Foundation
import LoRAAdapters
import LoRAFiles
import LoRAFormats
import LoRANetworks
import LoRATensors

extension DigitExperiment.Result {
  /// The arms' adapters of which one can be saved, the one with replay first.
  public var savable: DigitExperiment.Outcome? {
    outcomes.first { $0.arm == .loraReplay } ?? outcomes.first { $0.arm == .lora }
  }

  /// Writes the base and the adapter of an arm, as people keep them: `base.safetensors` and `config.json`, and a
  /// folder `adapter` as Python peft writes it. Everything in the toolbox reads them.
  ///
  /// - Returns: the bytes of the two weight files.
  public func save(_ outcome: DigitExperiment.Outcome, to directory: URL) throws -> (base: Int, adapter: Int) {
    let output = try OutputDirectory(directory)
    let tensors = try base.parameters.map { try StoredTensor(name: $0.name, $0.parameter.original) }
    try SafetensorsWriter.write(tensors, to: output.staging.appendingPathComponent("base.safetensors"))
    let layers = [base.hidden1, base.hidden2, base.output]
    let configuration = JSON.object([
      .init("model_type", "digit_classifier"),
      .init("layer_sizes", .array([.integer(layers[0].weight.inputs)] + layers.map { .integer($0.weight.outputs) })),
      .init("activation", "relu"),
      .init("pixel_mean", .number(0.1307)),
      .init("pixel_deviation", .number(0.3081)),
    ])
    try OutputFile.write(configuration.pretty, to: output.staging.appendingPathComponent("config.json"))

    let modules = try outcome.updates.map { path, update in
      guard case .factors(let a, let b, _) = update else {
        fatalError("save: the arm \(outcome.arm.rawValue) is no adapter")
      }
      return StoredModule(
        path: path, a: try StoredTensor(name: "a", a), b: try StoredTensor(name: "b", b),
        alpha: outcome.recipe.alpha.asWritten)
    }
    var peft = PEFTConfiguration()
    peft.baseModel = "base.safetensors"
    peft.describe(modules)
    peft.setTargets(modules, among: base.parameters.map(\.name))
    let folder = output.staging.appendingPathComponent("adapter")
    try StoredAdapter(url: folder, configuration: peft, modules: modules).write(peft: folder)
    func size(_ path: String) throws -> Int {
      try FileManager.default.attributesOfItem(atPath: output.staging.appendingPathComponent(path).path)[.size] as? Int
        ?? 0
    }
    let sizes = (base: try size("base.safetensors"), adapter: try size("adapter/adapter_model.safetensors"))
    try output.commit()
    return sizes
  }
}
