// Which learning rate: a few short runs on a sample, from the same start.

import Foundation
import LoRANetworks
import LoRATensors
import LoRATraining

/// A short search for the learning rate: runs of a few steps at several rates, all from the same start and on the same
/// batches, judged by their loss on examples that none of them learnt from.
///
/// It guards against a first rate that does not suit a model or its data. In so few steps a high rate is always ahead, which
/// falls behind later: so a rate twice as high must be clearly better to be taken, by a quarter of the loss; one half as high,
/// better at all, and it is only tried where the higher one is worse. And where twice the rate that was found gets less than
/// half as far, a longer run at that rate may come off as well: so half of it is taken. The outcome depends on task, recipe,
/// schedule and seed alone.
///
/// ```swift
/// let search = RateSearch(from: 1e-3, steps: 20, heldOut: 96)
/// schedule.learningRate = try search.run(task, recipe, schedule).learningRate
/// ```
public struct RateSearch: Sendable, Equatable {
  /// The rate that is tried first.
  public let first: Float
  /// How many runs there are at most, at least 2.
  public let trials: Int
  /// Steps of each.
  public let steps: Int
  /// Examples that are kept back, by which the runs are judged.
  public let heldOut: Int

  /// What a rate is multiplied or divided by to give the next one.
  private static let factor: Float = 2
  /// What a higher rate must make of the loss.
  private static let clearly = 0.75

  /// A short run at one rate.
  public struct Trial: Sendable, Equatable, Codable {
    /// The rate.
    public let learningRate: Float
    /// The mean loss on what was kept back; infinite where the run diverged.
    public let loss: Double
  }

  /// What was tried, and what follows.
  public struct Outcome: Sendable, Equatable, Codable {
    /// The mean loss on what was kept back before any training.
    public let untrained: Double
    /// By rate, the lowest first.
    public let trials: [Trial]
    /// The rate to train with.
    public let learningRate: Float
    /// Whether it is half of the one that was found, since twice that one hardly learns.
    public let keepsDistance: Bool
  }

  /// A search of at most `trials` runs of so many steps each, judged by so many examples.
  public init(from first: Float, trials: Int = 3, steps: Int, heldOut: Int) {
    expect(
      first > 0 && trials >= 2 && steps >= 1 && heldOut >= 1,
      "RateSearch: \(trials) trials of \(steps) steps from the rate \(first), judged by \(heldOut) examples")
    (self.first, self.trials, self.steps, self.heldOut) = (first, trials, steps, heldOut)
  }

  /// Tries, and leaves the task's model as it was.
  ///
  /// - Parameters:
  ///   - task: what is learnt, with more examples than are kept back; its model was prepared by `recipe`.
  ///   - recipe: what is trained.
  ///   - schedule: how, but for the number of steps and the rate, which stays at its height.
  ///   - shouldStop: asked after every step; where true, `TrainingError.interrupted` is thrown.
  ///   - onStep: is told of each step of each trial.
  /// - Throws: what the task throws; where every rate diverges, the last one's `TrainingError`.
  public func run(
    _ task: some LearningTask, _ recipe: FineTuningRecipe, _ schedule: FineTuningSchedule,
    shouldStop: () -> Bool = { false }, onStep: (StepReport) -> Void = { _ in }
  ) throws -> Outcome {
    expect(task.count > heldOut, "RateSearch: \(heldOut) of \(task.count) examples are to be kept back")
    var generator = SeededGenerator(seed: schedule.seed &+ 2)
    let order = Array(0..<task.count).shuffled(using: &generator)
    let (judges, sample) = (Array(order.prefix(heldOut)), TaskSample(task, Array(order.dropFirst(heldOut))))
    let start = StartingPoint(of: task.model)
    var short = schedule
    (short.steps, short.shape, short.patience, short.local) = (steps, .constant, nil, nil)
    var failure: TrainingError?
    let untrained = try task.meanLoss(of: judges, by: schedule.batchSize)

    func trial(_ rate: Float) throws -> Trial {
      short.learningRate = rate
      var loss = Double.infinity
      do {
        _ = try FineTuning(recipe, short).run(sample, shouldStop: shouldStop, onStep: onStep)
        loss = try task.meanLoss(of: judges, by: schedule.batchSize)
      } catch let error as TrainingError {
        if case .interrupted = error { throw error }
        failure = error
      }
      try start.restore()
      return Trial(learningRate: rate, loss: loss.isFinite ? loss : .infinity)
    }

    var best = try trial(first)
    var found = [best, try trial(first * Self.factor)]
    if found[1].loss < Self.clearly * best.loss {
      repeat {
        best = found.last!
        if found.count < trials { found.append(try trial(best.learningRate * Self.factor)) }
      } while found.last!.loss < Self.clearly * best.loss
    } else if found[1].loss >= best.loss {
      while found.count < trials {
        found.insert(try trial(best.learningRate / Self.factor), at: 0)
        guard found[0].loss < best.loss else { break }
        best = found[0]
      }
    }
    if let failure, found.allSatisfy({ $0.loss.isInfinite }) { throw failure }
    let place = found.firstIndex(of: best)!
    let isAtTheEdge = place + 1 < found.count && 2 * (untrained - found[place + 1].loss) < untrained - best.loss
    let keepsDistance = isAtTheEdge && place > 0
    return Outcome(
      untrained: untrained, trials: found, learningRate: found[keepsDistance ? place - 1 : place].learningRate,
      keepsDistance: keepsDistance)
  }
}

extension RateSearch.Outcome {
  /// As bytes, for a state or for other ranks; a loss may be infinite.
  public func encoded() throws -> Data {
    let encoder = JSONEncoder()
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "inf", negativeInfinity: "", nan: "")
    return try encoder.encode(self)
  }

  /// What `encoded` has written; nil for anything else.
  public init?(encoded data: Data) {
    let decoder = JSONDecoder()
    decoder.nonConformingFloatDecodingStrategy = .convertFromString(
      positiveInfinity: "inf", negativeInfinity: "", nan: "")
    guard let outcome = try? decoder.decode(Self.self, from: data) else { return nil }
    self = outcome
  }
}

/// Some examples of a task.
private struct TaskSample<Task: LearningTask>: LearningTask {
  let task: Task
  let places: [Int]

  init(_ task: Task, _ places: [Int]) { (self.task, self.places) = (task, places) }

  var model: any Module { task.model }
  var count: Int { places.count }
  func weight(of example: Int) throws -> Float { try task.weight(of: places[example]) }
  func loss(of examples: [Int]) throws -> Tensor { try task.loss(of: examples.map { places[$0] }) }
}

extension LearningTask {
  /// The mean loss of some examples, by their weights, worked on `size` at a time.
  func meanLoss(of examples: [Int], by size: Int) throws -> Double {
    var (sum, whole) = (0.0, 0.0)
    for start in stride(from: 0, to: examples.count, by: size) {
      let part = Array(examples[start..<min(start + size, examples.count)])
      let share = try part.reduce(0) { $0 + Double(try weight(of: $1)) }
      sum += share * Double(try loss(of: part).item)
      whole += share
    }
    return sum / whole
  }
}

/// A model's trained parameters and random states, to come back to.
private struct StartingPoint {
  private let parameters: [(parameter: Parameter, value: Tensor)]
  private let modules: [(module: any RandomizedModule, generator: SeededGenerator)]

  init(of model: some Module) {
    parameters = model.trainableParameters.map { ($0.parameter, $0.parameter.original) }
    modules = model.randomizedModules.map { ($0.module, $0.module.generator) }
  }

  func restore() throws {
    for item in parameters { try item.parameter.assignOriginal(item.value) }
    for item in modules { item.module.generator = item.generator }
  }
}
