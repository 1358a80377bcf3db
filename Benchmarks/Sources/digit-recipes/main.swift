// Tries recipes for teaching a digit with LoRA and replay, over several seeds, and prints what each does to the errors
// on the digit and to overall accuracy. The results are recorded in docs/digits.md.
//
//     swift run -c release --package-path Benchmarks digit-recipes [--mnist FOLDER] [--seeds 5] [--digit 8]
//
// Without a folder of MNIST it takes the embedded sample, without a digit the one with most errors.

import Foundation
import LoRAKit
import Measuring

let digits = try option("--mnist").map { try MNIST(directory: URL(fileURLWithPath: $0)) } ?? MNIST.sample()
let seeds = isShortest ? 1 : option("--seeds").flatMap { Int($0) } ?? 5
let chosen = option("--digit").flatMap { Int($0) }

struct Trial {
  let name: String
  let arm: DigitExperiment.Arm
  let recipe: DigitExperiment.Recipe
  var after: [Int] = []
  var share: [Double] = []
  var accuracyChange: [Double] = []
}

var trials: [Trial] = [
  Trial(name: "full, the digit alone, 1e-3", arm: .full, recipe: .naive),
  Trial(name: "LoRA r 1 α 1 normal, the digit alone, 1e-3", arm: .lora, recipe: .naive),
]
for (schedule, rate) in [(Schedule.Shape.linear, Float(1e-3)), (.linear, 3e-4), (.constant, 1e-3)] {
  for share: Float in [0.2, 0.3, 0.5] {
    trials.append(
      Trial(
        name: "full, share \(share), \(schedule) \(rate)", arm: .fullReplay,
        recipe: .init(learningRate: rate, schedule: schedule, focusShare: share)))
  }
}
for initialization in [LoRA.Initialization.kaimingUniform, .standardNormal] {
  for (rank, alpha) in [(1, Float(1)), (1, 2), (4, 8), (8, 8), (8, 16)] {
    for share: Float in [0.2, 0.3, 0.5] {
      for (schedule, rate) in [
        (Schedule.Shape.constant, Float(1e-3)), (.linear, 1e-3), (.linear, 3e-3), (.cosine, 3e-3),
      ] {
        trials.append(
          Trial(
            name: "LoRA r \(rank) α \(alpha) \(initialization), share \(share), \(schedule) \(rate)", arm: .loraReplay,
            recipe: .init(
              rank: rank, alpha: alpha, initialization: initialization, learningRate: rate, schedule: schedule,
              focusShare: share)))
      }
    }
  }
}
if isShortest {
  trials = DigitExperiment.Arm.allCases.compactMap { arm in trials.first { $0.arm == arm } }
}

for seed in 0..<seeds {
  var settings = DigitExperiment.Settings(for: digits.train)
  settings.seed = UInt64(seed)
  let experiment = DigitExperiment(train: digits.train, test: digits.test, settings: settings)
  let base = try experiment.trainBase()
  let test = experiment.evaluate(base.model)
  let digit = chosen ?? test.worstClass
  print("seed \(seed): accuracy \(test.accuracy), errors \(test.errors), digit \(digit)")
  for index in trials.indices {
    let outcome = try experiment.teach(digit, to: base.model, trials[index].arm, trials[index].recipe)
    if trials[index].recipe == .naive {
      check(outcome.test.errors[digit] < test.errors[digit], "\(trials[index].name): \(digit) was not learned")
    }
    trials[index].after.append(outcome.test.errors[digit])
    trials[index].share.append(Double(outcome.test.errors[digit]) / Double(max(1, test.errors[digit])))
    trials[index].accuracyChange.append(100 * (outcome.test.accuracy - test.accuracy))
  }
}

func text(_ x: Double) -> String { String(format: "%.2f", x) }
print("\nerrors left on the digit (share: mean, worst) | accuracy change in points (mean, worst) | recipe")
for trial in trials.sorted(by: { $0.accuracyChange.min()! > $1.accuracyChange.min()! }) {
  let mean = trial.share.reduce(0, +) / Double(seeds)
  let change = trial.accuracyChange.reduce(0, +) / Double(seeds)
  print(
    "\(text(mean)) \(text(trial.share.max()!)) | \(text(change)) \(text(trial.accuracyChange.min()!)) | \(trial.name)")
}
