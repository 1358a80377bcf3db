// Times the digit experiment's parts: training steps of the base and of LoRA at batch 10 and 64, and the evaluation of
// 10,000 images. Prints `name value` lines, the median of several runs; Benchmarks/digits_peers.py prints the same
// names for PyTorch and peft.
//
// It checks its own results: the loss must fall, and the base must not move under LoRA.

import Foundation
import LoRAKit

let digits = try MNIST.sample().train
let repeats = 5
/// Only what begins with this, where given.
let wanted = CommandLine.arguments.dropFirst().first ?? ""

func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }

func stepsPerSecond(_ model: DigitClassifier, batch: Int, steps: Int, learningRate: Float) throws -> Double {
  let trainer = Trainer(Adam(model.trainableParameters, learningRate: learningRate))
  var sampler = ShuffledBatches(Array(0..<digits.count), batchSize: batch, seed: 1)
  func run(_ count: Int) throws {
    try trainer.run(model, steps: trainer.losses.count + count, drawing: &sampler) { indices in
      let batch = digits.batch(indices)
      return model(batch.inputs).crossEntropy(batch.labels)
    }
  }
  try run(20)
  let rates = try (0..<repeats).map { _ in
    let start = Date()
    try run(steps)
    return Double(steps) / Date().timeIntervalSince(start)
  }
  let losses = trainer.losses
  precondition(
    losses.suffix(steps).reduce(0, +) / Float(steps) < losses.prefix(20).reduce(0, +) / 20, "the loss did not fall")
  return median(rates)
}

func report(_ name: String, _ value: Double) { print("\(name) \(String(format: "%.4f", value))") }

var generator = SeededGenerator(seed: 1)
for batch in [10, 64] where "base-batch-\(batch)".hasPrefix(wanted) {
  let model = DigitClassifier(using: &generator)
  report("base-batch-\(batch)", try stepsPerSecond(model, batch: batch, steps: 200, learningRate: 1e-3))
}
for batch in [10, 64] where "lora-batch-\(batch)".hasPrefix(wanted) {
  let model = DigitClassifier(using: &generator)
  try model.attach(LoRAConfiguration(rank: 1, alpha: 1), using: &generator)
  let before = model.parameters.map(\.parameter.original)
  report("lora-batch-\(batch)", try stepsPerSecond(model, batch: batch, steps: 500, learningRate: 1e-3))
  precondition(zip(model.parameters, before).allSatisfy { $0.parameter.original.isIdentical(to: $1) })
}
let classifier = DigitClassifier(using: &generator)
let many = (0..<10_000).map { $0 % digits.count }
let times = (0...repeats).map { _ in
  let start = Date()
  let right = stride(from: 0, to: many.count, by: 500).reduce(0) { right, start in
    let batch = digits.batch(Array(many[start..<start + 500]))
    return right + zip(classifier(batch.inputs).argmaxRows(), batch.labels).count { $0 == $1 }
  }
  precondition((1..<10_000).contains(right))
  return 1000 * Date().timeIntervalSince(start)
}
report("evaluate-10000-ms", median(Array(times.dropFirst())))
