import Foundation
import LoRANetworks
import LoRATensors
import LoRATraining
import TestSupport
import Testing

/// Ten steps of PyTorch's optimizers (Tests/Fixtures/training/make.py).
private struct Runs: Decodable {
  let start: [Float]
  let gradients: [[Float]]
  let runs: [String: [[Float]]]
  let norm: Float
  let clipped: [Float]
}

private func fixture() throws -> Runs {
  try JSONDecoder().decode(
    Runs.self, from: Data(contentsOf: fixtures.appendingPathComponent("training/optimizers.json")))
}

@Suite("Optimizers")
struct OptimizerTests {
  private static let make: [String: @Sendable ([NamedParameter]) -> any Optimizer] = [
    "adam": { Adam($0, learningRate: 1e-2) },
    "adam-coupled": {
      Adam($0, learningRate: 1e-2, betas: (0.8, 0.95), epsilon: 1e-6, weightDecay: .coupled(0.1))
    },
    "adamw": { Adam($0, learningRate: 1e-2, weightDecay: .decoupled(0.1)) },
    "sgd": { SGD($0, learningRate: 0.1) },
    "sgd-momentum": { SGD($0, learningRate: 0.1, momentum: 0.9, weightDecay: 0.05) },
    "sgd-nesterov": { SGD($0, learningRate: 0.1, momentum: 0.9, isNesterov: true) },
  ]

  @Test("ten steps agree with PyTorch to 1e-6", arguments: make.keys.sorted())
  func agreesWithPyTorch(_ name: String) throws {
    let fixture = try fixture()
    let parameter = Parameter(Tensor(fixture.start))
    let optimizer = Self.make[name]!([NamedParameter(name: "p", parameter: parameter)])
    for (gradient, expected) in zip(fixture.gradients, try #require(fixture.runs[name])) {
      var gradients = Gradients()
      gradients[parameter] = Tensor(gradient)
      optimizer.update(gradients)
      for (found, wanted) in zip(parameter.original.scalars, expected) {
        #expect(abs(found - wanted) < 1e-6 * max(1, abs(wanted)), "step \(optimizer.step)")
      }
    }
  }

  @Test("a kept state goes on bit for bit", arguments: make.keys.sorted())
  func state(_ name: String) throws {
    let fixture = try fixture()
    func run(_ optimizer: any Optimizer, _ parameter: Parameter, _ steps: Range<Int>) {
      for step in steps {
        var gradients = Gradients()
        gradients[parameter] = Tensor(fixture.gradients[step])
        optimizer.update(gradients)
      }
    }
    let whole = Parameter(Tensor(fixture.start))
    run(Self.make[name]!([NamedParameter(name: "p", parameter: whole)]), whole, 0..<10)

    let half = Parameter(Tensor(fixture.start))
    let first = Self.make[name]!([NamedParameter(name: "p", parameter: half)])
    run(first, half, 0..<5)
    let second = Self.make[name]!([NamedParameter(name: "p", parameter: half)])
    try second.restore(state: first.state, step: first.step)
    run(second, half, 5..<10)
    #expect(half.original.isIdentical(to: whole.original))
  }

  @Test("clipping scales all gradients to the asked norm, as PyTorch does")
  func clipping() throws {
    let fixture = try fixture()
    let parameter = Parameter(Tensor(fixture.start))
    // With SGD at rate 1 the step is the clipped gradient.
    let trainer = Trainer(SGD([NamedParameter(name: "p", parameter: parameter)], learningRate: 1), clipping: 0.5)
    let report = try trainer.step { (parameter.value * Tensor(fixture.gradients[0])).sum() }
    #expect(abs(report.gradientNorm! - fixture.norm) < 1e-5)
    for (index, clipped) in fixture.clipped.enumerated() {
      #expect(abs(fixture.start[index] - parameter.original[index] - clipped) < 1e-6)
    }
  }

  @Test("a loss that is not finite stops before anything changes, and says at which step")
  func notFinite() throws {
    let parameter = Parameter(Tensor([1, 2]))
    let trainer = Trainer(Adam([NamedParameter(name: "p", parameter: parameter)], learningRate: 0.1))
    try trainer.step { parameter.value.sum() }
    let before = parameter.original
    let error = #expect(throws: TrainingError.self) { try trainer.step { parameter.value.sum() / 0 - 1 / Tensor(0) } }
    #expect(error?.description.contains("step 2") == true)
    #expect(parameter.original.isIdentical(to: before))
  }

  @Test("the rate rises in the warm-up and falls as its shape says")
  func schedules() {
    let linear = Schedule(.linear, learningRate: 1, warmUpSteps: 3, totalSteps: 7)
    #expect((0..<8).map(linear.rate) == [0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25, 0])
    let cosine = Schedule(.cosine, learningRate: 2, totalSteps: 4)
    // 2 · ½(1 + cos(πt/4)) at t = 0, 2, 4
    #expect(abs(cosine.rate(at: 2) - 1) < 1e-6)
    #expect(cosine.rate(at: 0) == 2 && abs(cosine.rate(at: 4)) < 1e-6)
    #expect((0..<5).allSatisfy { Schedule(learningRate: 0.5, totalSteps: 3).rate(at: $0) == 0.5 })
  }
}

@Suite("Sampling and metrics")
struct SamplingTests {
  @Test("an epoch holds every example once, and the next another order")
  func shuffled() {
    var batches = ShuffledBatches(Array(10..<21), batchSize: 4, seed: 1)
    #expect(batches.batchesPerEpoch == 3)
    let first = (0..<3).flatMap { _ in batches.next() }
    let second = (0..<3).flatMap { _ in batches.next() }
    #expect(first.sorted() == Array(10..<21) && second.sorted() == Array(10..<21))
    #expect(first != second)
  }

  @Test("a sampler's state that is no order of its examples is refused")
  func brokenSampler() throws {
    var batches = ShuffledBatches(count: 5, batchSize: 2, seed: 4)
    _ = batches.next()
    let text = String(decoding: try JSONEncoder().encode(batches), as: UTF8.self)
    func decode(_ pattern: String, _ replacement: String) throws {
      let changed = text.replacing(try Regex(pattern), with: replacement)
      #expect(changed != text)
      _ = try JSONDecoder().decode(ShuffledBatches.self, from: Data(changed.utf8))
    }
    for (pattern, replacement) in [
      ("\"order\":\\[[0-9]", "\"order\":[7"), ("\"order\":\\[[0-9],", "\"order\":["),
      ("\"batchSize\":2", "\"batchSize\":0"),
      ("\"position\":2", "\"position\":6"), ("\"position\":2", "\"position\":-1"), ("\"count\":5", "\"count\":4"),
    ] {
      #expect(throws: DecodingError.self, "\(replacement)") { try decode(pattern, replacement) }
    }
    #expect(!batches.isLike(ShuffledBatches(count: 6, batchSize: 2, seed: 4)))
  }

  @Test(
    "of more than a million examples too, an epoch holds each once, in another order each time, and goes on from a state"
  )
  func manyExamples() throws {
    let count = 1 << 20 + 3
    var batches = ShuffledBatches(count: count, batchSize: 70_001, seed: 7)
    var firsts: [[Int]] = []
    for _ in 0..<2 {
      var seen = [Bool](repeating: false, count: count)
      for step in 0..<batches.batchesPerEpoch {
        let batch = batches.next()
        if step == 0 { firsts.append(batch) }
        for index in batch {
          #expect(!seen[index])
          seen[index] = true
        }
      }
      #expect(seen.allSatisfy { $0 })
    }
    #expect(firsts[0] != firsts[1] && firsts[0] != firsts[0].sorted())
    // Neighbours go apart: the mean distance of two random numbers below n is n/3.
    let distance = zip(firsts[0], firsts[0].dropFirst()).reduce(0.0) { $0 + abs(Double($1.0 - $1.1)) } / 70_000
    #expect(abs(distance / Double(count) - 1 / 3) < 0.01)
    let state = try JSONEncoder().encode(batches)
    #expect(state.count < 1000)
    var restored = try JSONDecoder().decode(ShuffledBatches.self, from: state)
    #expect(restored.next() == batches.next())
  }

  @Test("a batch with replay holds as many of each group as asked")
  func replay() {
    var batches = ReplayBatches(focus: [1, 2, 3], replay: Array(100..<110), focusCount: 3, replayCount: 7, seed: 1)
    for _ in 0..<5 {
      let batch = batches.next()
      #expect(batch.count { $0 < 10 } == 3 && batch.count { $0 >= 100 } == 7)
    }
  }

  @Test("a sampler that was kept draws on as if nothing had happened")
  func codable() throws {
    var batches = ShuffledBatches(Array(0..<9), batchSize: 2, seed: 4)
    for _ in 0..<7 { _ = batches.next() }
    var restored = try JSONDecoder().decode(ShuffledBatches.self, from: JSONEncoder().encode(batches))
    for _ in 0..<9 { #expect(batches.next() == restored.next()) }
  }

  @Test("accuracy, errors and confusion by hand")
  func classification() {
    let result = ClassificationResult(labels: [0, 0, 1, 2, 2, 2], predictions: [0, 1, 1, 0, 2, 1], classCount: 3)
    #expect(result.accuracy == 0.5)
    #expect(result.errors == [1, 0, 2])
    #expect(result.worstClass == 2)
    #expect(result.confusion == [[1, 1, 0], [0, 1, 0], [1, 1, 1]])
  }

  @Test("errors mended and new ones are told apart")
  func changes() {
    let before = ClassificationResult(labels: [0, 1, 1, 0, 2], predictions: [0, 0, 1, 2, 1], classCount: 3)
    let after = ClassificationResult(labels: [0, 1, 1, 0, 2], predictions: [1, 1, 1, 0, 0], classCount: 3)
    let changes = after.changes(since: before)
    #expect(changes.mended == [1, 3] && changes.broken == [0])
  }
}
