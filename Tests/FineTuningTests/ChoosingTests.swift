// What --auto is made of: advice by sizes, a search for the rate, a rank cut to what is needed.
import Foundation
import LoRAAdapters
import LoRADatasets
import LoRAFineTuning
import LoRALinearAlgebra
import LoRAModels
import LoRANetworks
import LoRATensors
import LoRATraining
import TestSupport
import Testing

/// y = W x with a W of rank 2, to be learnt by an adapter on a frozen layer of zeros; or something else instead.
private struct LineTask: LearningTask {
  let layer: Linear
  let (x, y): (Tensor, Tensor)
  var score: ((Linear) -> (score: Double, loss: Double))?
  /// By example.
  var weights: [Float]?
  /// Where B's norm is beyond it, nothing is learnt any more: the loss is a constant.
  var cliff = Float.infinity

  init(_ count: Int = 40, seed: UInt64 = 1) {
    var generator = SeededGenerator(seed: seed)
    layer = Linear(inputs: 6, outputs: 5, using: &generator)
    x = .normal([count, 6], using: &generator)
    let w = Tensor.normal([5, 2], using: &generator).matmul(.normal([2, 6], using: &generator))
    y = layer(x) + x.matmul(w, transposeOther: true)
  }

  var model: any Module { layer }
  var count: Int { x.shape[0] }
  var isEvaluated: Bool { score != nil }
  func weight(of example: Int) -> Float { weights?[example] ?? 1 }
  func evaluate() -> (score: Double, loss: Double) { score!(layer) }
  func loss(of examples: [Int]) -> Tensor {
    if let lora = layer.attachedAdapters.first?.adapter as? LoRA, lora.b.original.norm > Double(cliff) {
      return 0 * layer(x.rows(at: examples)).mean() + y.squared().mean().item
    }
    return (layer(x.rows(at: examples)) - y.rows(at: examples)).squared().mean()
  }

  /// With an adapter of a rank.
  func prepared(rank: Int = 4, dropout: Float = 0) throws -> FineTuningRecipe {
    var recipe = FineTuningRecipe()
    (recipe.rank, recipe.alpha, recipe.dropout) = (rank, Float(rank) * 1.5, dropout)
    var generator = SeededGenerator(seed: 7)
    try recipe.prepare(layer, using: &generator)
    return recipe
  }
}

@Suite("Choosing a recipe")
struct ChoosingTests {
  private func schedule(_ steps: Int, rate: Float) -> FineTuningSchedule {
    var schedule = FineTuningSchedule()
    (schedule.steps, schedule.batchSize, schedule.learningRate) = (steps, 8, rate)
    return schedule
  }

  // MARK: Advice

  @Test("the rate falls with the width as published, the rank grows with what there is to learn, within its bounds")
  func advice() {
    // 10 · 5e-5 · (2000/384)^0.781 = 5e-4 · exp(0.781 · 1.65026) = 5e-4 · 3.6286 = 1.8143e-3, to two digits.
    #expect(FineTuningAdvice.learningRate(hidden: 384) == 0.0018)
    // (2000/2000)^0.781 = 1, and 5e-4 · (2000/64)^0.781 = 5e-4 · exp(0.781 · 3.44202) = 5e-4 · 14.704.
    #expect(
      FineTuningAdvice.learningRate(hidden: 2000) == 0.0005 && FineTuningAdvice.learningRate(hidden: 64) == 0.0074)

    var generator = SeededGenerator(seed: 0)
    let model = DigitClassifier(hidden: (20, 30), using: &generator)
    func advice(_ kind: FineTuningAdvice.Sizes.Kind, _ examples: Int, bits: Double) -> FineTuningAdvice {
      FineTuningAdvice(
        for: .init(kind, examples: examples, bits: bits, hidden: 384, model: model, excluding: ["output"]))
    }
    // Rank 1 on 784 → 20 → 30 has 804 + 50 = 854 numbers, which hold 1,708 bits.
    #expect(advice(.classifier, 100, bits: 1).rank == 16)
    #expect(advice(.classifier, 100, bits: 16 * 1708).rank == 16)
    // 32 is more than the smaller side of the smaller layer.
    #expect(advice(.classifier, 100, bits: 16 * 1708 + 1).rank == 20)
    // At least 20 steps an epoch, or batches of 4; 100 / 4 = 25 steps, 300 in 12 epochs, of which there are 10 at most.
    let few = advice(.classifier, 100, bits: 1)
    #expect(few.batchSize == 4 && few.epochs == 10)
    // 20 · 16 = 320 examples are enough for the largest batch; 1,000 make 63 steps, of which 300 are 4.76 epochs.
    #expect(advice(.classifier, 319, bits: 1).batchSize == 8 && advice(.classifier, 320, bits: 1).batchSize == 16)
    #expect(advice(.classifier, 1000, bits: 1).epochs == 5)
    let many = advice(.classifier, 50_000, bits: 1)
    #expect(many.batchSize == 16 && many.epochs == 3)
    let long = advice(.decoder, 50_000, bits: 1)
    #expect(long.batchSize == 8 && long.epochs == 1)
    #expect(Set(few.reasons.keys) == Set(FineTuningAdvice.Setting.allCases))
    #expect(few == advice(.classifier, 100, bits: 1))
  }

  @Test("a search stays within its share of the run's work, and there is none where trials would be too short")
  func budget() throws {
    var schedule = schedule(400, rate: 0.001)
    schedule.batchSize = 16
    let search = try #require(FineTuningAdvice.search(examples: 1000, schedule))
    // 0.07 of 400 · 16 examples are 448, less a third of the 96 that are read: 416 examples, 26 steps.
    #expect(search == RateSearch(from: 0.001, trials: 3, steps: 26, heldOut: 96))
    schedule.steps = 100
    #expect(FineTuningAdvice.search(examples: 1000, schedule) == nil)
    schedule.steps = 100_000
    #expect(FineTuningAdvice.search(examples: 1000, schedule)?.steps == 100)
    #expect(FineTuningAdvice.search(examples: 60, schedule) == nil)
  }

  // MARK: The rate

  @Test("a rate far too low climbs, one that is too high comes down, a good one stays; the model is as it was before")
  func rates() throws {
    let task = LineTask()
    let recipe = try task.prepared(dropout: 0.1)
    let before = task.layer.trainableParameters.map(\.parameter.original.scalars)
    let generators = task.layer.randomizedModules.map(\.module.generator)
    func search(from rate: Float, trials: Int) throws -> RateSearch.Outcome {
      let search = RateSearch(from: rate, trials: trials, steps: 30, heldOut: 10)
      let found = try search.run(task, recipe, schedule(30, rate: 1))
      #expect(try search.run(task, recipe, schedule(30, rate: 1)) == found)
      #expect(task.layer.trainableParameters.map(\.parameter.original.scalars) == before)
      #expect(task.layer.randomizedModules.map(\.module.generator) == generators && generators.count == 1)
      let rates = found.trials.map(\.learningRate)
      #expect(zip(rates, rates.dropFirst()).allSatisfy { $1 == 2 * $0 } && rates.contains(rate))
      return found
    }
    // From each place where it climbs, every rate that was passed is clearly better than the one before.
    let climbs = try [Float(0.01), 0.03, 0.1].compactMap { rate in
      let found = try search(from: rate, trials: 8)
      return found.learningRate > rate ? found : nil
    }
    let low = try #require(climbs.first)
    let best = low.learningRate * (low.keepsDistance ? 2 : 1)
    for (lower, higher) in zip(low.trials, low.trials.dropFirst()) {
      #expect((higher.loss < 0.75 * lower.loss) == (higher.learningRate <= best), "\(low)")
    }
    let high = try search(from: 6, trials: 8)
    #expect(high.learningRate < 6 && high.trials.last?.learningRate == 12, "\(high)")
    let good = try search(from: low.learningRate, trials: 3)
    #expect(good.learningRate == low.learningRate, "\(good)")
    #expect(try search(from: low.trials[0].learningRate, trials: 2).trials.count == 2)
    // Each seed has a sample of its own.
    var other = schedule(30, rate: 1)
    other.seed = 9
    let again = RateSearch(from: low.trials[0].learningRate, trials: 8, steps: 30, heldOut: 10)
    #expect(try again.run(task, recipe, other) != low)
  }

  @Test("a rate is halved where twice of it gets less than half as far, and only there")
  func distance() throws {
    var task = LineTask()
    task.cliff = 2
    let recipe = try task.prepared()
    var halved: Set<Bool> = []
    for rate: Float in [0.01, 0.02, 0.04, 0.08, 0.16, 0.32] {
      let search = RateSearch(from: rate, trials: 3, steps: 30, heldOut: 10)
      let found = try search.run(task, recipe, schedule(30, rate: 1))
      let best = found.learningRate * (found.keepsDistance ? 2 : 1)
      let place = try #require(found.trials.firstIndex { $0.learningRate == best })
      guard place > 0, place + 1 < found.trials.count else {
        #expect(!found.keepsDistance)
        continue
      }
      let way = [place, place + 1].map { found.untrained - found.trials[$0].loss }
      #expect(found.keepsDistance == (way[1] < way[0] / 2), "\(found)")
      halved.insert(found.keepsDistance)
    }
    #expect(halved == [true, false])
  }

  @Test("a trial is a run at its rate, which stays, on the examples that are not kept back, by which it is judged")
  func trial() throws {
    var task = LineTask(24)
    task.weights = (0..<24).map { Float($0 % 5) }
    let recipe = try task.prepared()
    let found = try RateSearch(from: 0.01, trials: 2, steps: 5, heldOut: 12).run(task, recipe, schedule(80, rate: 1))
    // The same by hand.
    var generator = SeededGenerator(seed: 2)
    let order = Array(0..<24).shuffled(using: &generator)
    let rest = Array(order.dropFirst(12))
    struct Part: LearningTask {
      let whole: LineTask
      let places: [Int]
      var model: any Module { whole.model }
      var count: Int { places.count }
      func weight(of example: Int) -> Float { whole.weight(of: places[example]) }
      func loss(of examples: [Int]) -> Tensor { whole.loss(of: examples.map { places[$0] }) }
    }
    var short = schedule(5, rate: 0.01)
    short.shape = .constant
    _ = try FineTuning(recipe, short).run(Part(whole: task, places: rest))
    // Batches of 8 and 4, which count by the weights of their examples.
    let parts = [Array(order[..<8]), Array(order[8..<12])]
    let shares = parts.map { Double($0.map(task.weight).reduce(0, +)) }
    let losses = parts.map { Double(task.loss(of: $0).item) }
    let mean = (shares[0] * losses[0] + shares[1] * losses[1]) / (shares[0] + shares[1])
    #expect(abs(try #require(found.trials.first { $0.learningRate == 0.01 }).loss - mean) < 1e-6)
  }

  @Test("rates that diverge are worse than any other, and where all do it is the run's error; an interruption is one")
  func diverging() throws {
    let task = LineTask()
    let recipe = try task.prepared()
    let search = RateSearch(from: 3e37, trials: 3, steps: 4, heldOut: 10)
    #expect(throws: TrainingError.self) { try search.run(task, recipe, schedule(4, rate: 1)) }
    #expect(task.layer.trainableParameters.allSatisfy { $0.parameter.original.isFinite })
    #expect {
      try RateSearch(from: 0.1, steps: 4, heldOut: 10).run(
        task, recipe, schedule(4, rate: 1), shouldStop: { true })
    } throws: {
      guard case TrainingError.interrupted = $0 else { return false }
      return true
    }
  }

  // MARK: The rank

  @Test("an adapter is cut as far as it stays as good, to the best approximation; else it stays as it is, bit for bit")
  func narrowing() throws {
    var task = LineTask(60)
    let recipe = try task.prepared(rank: 4)
    _ = try FineTuning(recipe, schedule(300, rate: 0.05)).run(task)
    let lora = try #require(task.layer.attachedAdapters[0].adapter as? LoRA)
    let trained = (lora.a.original.scalars, lora.b.original.scalars, lora.delta)
    #expect(try Narrowing(of: task, from: 4) == nil)

    // By the error itself: W has rank 2.
    let copy = task
    task.score = { _ in
      let loss = Double(copy.loss(of: Array(0..<60)).item)
      return (-loss, loss + 1)
    }
    let narrowing = try #require(try Narrowing(of: task, from: 4))
    #expect(narrowing.steps.map(\.rank) == [4, 2, 1])
    #expect(narrowing.rank == 2)
    #expect(lora.a.shape == [4, 6] && lora.scale == 1.5)
    let best = try trained.2.svd().truncated(to: 2).reconstructed()
    #expect((lora.delta - best).scalars.allSatisfy { abs($0) < 1e-5 })
    let spectrum = try lora.delta.svd().singularValues
    #expect(spectrum[1] > 0.1 && spectrum[2] < 1e-5)

    // A score that nothing reaches again: it stays.
    var calls = 0
    task.score = { _ in
      calls += 1
      return (calls == 1 ? 1 : 0.9, 1)
    }
    let now = (lora.a.original.scalars, lora.b.original.scalars)
    let kept = try #require(try Narrowing(of: task, from: 4))
    #expect(kept.rank == 4 && kept.steps.count == 2)
    #expect(lora.a.original.scalars == now.0 && lora.b.original.scalars == now.1)
  }
}
