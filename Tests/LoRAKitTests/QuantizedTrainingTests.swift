import Foundation
import LoRAKit
import TestSupport
import Testing

// Adapters trained on bases that stay quantised, against peft on bitsandbytes (Tests/Fixtures/quantized/make_qlora.py), and
// their gradients against those on the decoded base.

@Suite("Training on quantised bases") struct QuantizedTrainingTests {
  private struct Run: Decodable {
    var batches: [[[Int]]]
    var optimizer: Optimizer
    struct Optimizer: Decodable {
      var lr: Float
      var decay: Float

      enum CodingKeys: String, CodingKey {
        case lr
        case decay = "weight_decay"
      }
    }
  }
  private struct Reference: Decodable {
    var losses: [Float]
  }

  private static let shared = URL(fileURLWithPath: "../shared/data")
  private static let isThere = FileManager.default.fileExists(atPath: shared.path)

  @Test("losses on NF4 are those of peft on bitsandbytes", .enabled(if: isThere, "needs ../shared/data"))
  func losses() throws {
    let parity = Self.shared.appendingPathComponent("adapters/train-parity-stories260k-lora")
    func read<Value: Decodable>(_ type: Value.Type, _ url: URL) throws -> Value {
      try JSONDecoder().decode(type, from: Data(contentsOf: url))
    }
    let run = try read(Run.self, parity.appendingPathComponent("train.json"))
    let reference = try read(Reference.self, fixtures.appendingPathComponent("quantized/qlora.json"))
    try withTemporaryDirectory { folder in
      let start = folder.appendingPathComponent("start")
      try FileManager.default.createDirectory(at: start, withIntermediateDirectories: true)
      for (file, copy) in [
        ("adapter_config.json", "adapter_config.json"), ("adapter_init.safetensors", "adapter_model.safetensors"),
      ] {
        try FileManager.default.copyItem(
          at: parity.appendingPathComponent(file), to: start.appendingPathComponent(copy))
      }
      let base = try Checkpoint(Self.shared.appendingPathComponent("models/stories260K"))
      let quantized = folder.appendingPathComponent("nf4")
      let report = try Quantization(base, to: .normalFloat).run(to: quantized)
      #expect(report.tensors.count == 35 && abs(report.total.relativeError - 0.0915) < 0.001)
      let model = try languageModel(contentsOf: quantized)
      try StoredAdapter(peft: start).attach(to: model)
      let trainer = Trainer(
        Adam(
          model.trainableParameters, learningRate: run.optimizer.lr, weightDecay: .decoupled(run.optimizer.decay)
        ))
      for (batch, expected) in zip(run.batches, reference.losses) {
        let step = try trainer.step { model.loss(TokenRows(ids: batch)) }
        #expect(abs(step.loss - expected) < 1e-3, "step \(step.step)")
      }
    }
  }

  @Test(
    "an adapter's gradients are the same on a base that stays quantised and on the decoded one", arguments: [1, 40])
  func gradients(rows: Int) throws {
    var generator = SeededGenerator(seed: 5)
    let weight = Tensor.normal([70, 256], using: &generator)
    let stored = try StoredTensor(name: "w", weight, as: .q4K)
    let x = Tensor.normal([rows, 256], using: &generator)
    var results: [[Tensor]] = []
    for base in [try stored.sharedTensor(), try stored.tensor()] {
      let linear = Linear(weight: Parameter(base, isTrainable: false), bias: nil)
      var draw = SeededGenerator(seed: 9)
      let lora = LoRA(rank: 3, alpha: 5, for: linear.weight, using: &draw)
      try lora.b.assignOriginal(.normal(lora.b.shape, using: &draw))
      linear.weight.attach(lora)
      let input = Parameter(x)
      let parameters = [input, lora.a, lora.b].enumerated().map {
        NamedParameter(name: "\($0.offset)", parameter: $0.element)
      }
      let (loss, gradients) = parameters.valueAndGradients { (linear(input.value) * linear(input.value)).sum() }
      results.append([loss] + [input, lora.a, lora.b].map { gradients[$0]! })
    }
    for (kept, decoded) in zip(results[0], results[1]) { #expect(relativeDifference(kept, decoded) < 1e-5) }
  }
}
