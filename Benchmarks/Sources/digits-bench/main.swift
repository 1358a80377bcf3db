// Times the digit experiment's parts: training steps of the base and of LoRA at batch 10 and 64, and the evaluation of
// 10,000 images. Prints `name value` lines, the median of several runs; Benchmarks/digits_peers.py prints the same
// names for PyTorch and peft.
//
//     swift run -c release --package-path Benchmarks digits-bench [--only "lora"]
//
// It checks its own results: the loss must fall, and the base must not move under LoRA.

import Foundation
import LoRAKit
import Measuring

let digits = try MNIST.sample().train
let repeats = isShortest ? 1 : 5

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
    Double(steps) / (try seconds { try run(steps) })
  }
  let losses = trainer.losses
  check(losses.suffix(20).reduce(0, +) < losses.prefix(20).reduce(0, +), "the loss did not fall")
  return median(rates)
}

func report(_ name: String, _ value: Double) { print("\(name) \(String(format: "%.4f", value))") }

var generator = SeededGenerator(seed: 1)
for batch in [10, 64] where isWanted("base-batch-\(batch)") {
  let model = DigitClassifier(using: &generator)
  report("base-batch-\(batch)", try stepsPerSecond(model, batch: batch, steps: 200, learningRate: 1e-3))
}
for batch in [10, 64] where isWanted("lora-batch-\(batch)") {
  let model = DigitClassifier(using: &generator)
  try model.attach(LoRAConfiguration(rank: 1, alpha: 1), using: &generator)
  let before = model.parameters.map(\.parameter.original)
  report("lora-batch-\(batch)", try stepsPerSecond(model, batch: batch, steps: 500, learningRate: 1e-3))
  check(zip(model.parameters, before).allSatisfy { $0.parameter.original.isIdentical(to: $1) }, "the base moved")
}
let classifier = DigitClassifier(using: &generator)
let many = (0..<10_000).map { $0 % digits.count }
let times = (0...repeats).map { _ in
  var right = 0
  let time = seconds {
    for start in stride(from: 0, to: many.count, by: 500) {
      let batch = digits.batch(Array(many[start..<start + 500]))
      right += zip(classifier(batch.inputs).argmaxRows(), batch.labels).count { $0 == $1 }
    }
  }
  // The classifier is not trained.
  check((1..<5000).contains(right), "\(right) of 10,000 images right by chance")
  return 1000 * time
}
report("evaluate-10000-ms", median(Array(times.dropFirst())))
