// A run that was interrupted and resumed is the run that was not: parameters, early stopping, history.
import Foundation
import LoRAFiles
import LoRAFineTuning
import LoRAModels
import LoRANetworks
import LoRATensors
import LoRATraining
import TestSupport
import Testing

/// A task by closures.
private struct ScriptedTask: LearningTask {
  let model: any Module
  let count: Int
  var scores: (() -> (Double, Double))?
  let loss: ([Int]) throws -> Tensor

  var isEvaluated: Bool { scores != nil }
  func evaluate() -> (score: Double, loss: Double) { scores!() }
  func loss(of examples: [Int]) throws -> Tensor { try loss(examples) }
}

@Suite("Resumed fine-tuning")
struct ResumeTests {
  private struct Failure: Error {}

  /// By step, so that a resumed run meets the same ones: the best at 5, met again at 7, and then never.
  private static let scores = [1: 0.1, 2: 0.5, 3: 0.4, 4: 0.4, 5: 0.6, 6: 0.5, 7: 0.6, 8: 0.5, 9: 0.9, 10: 0.9]

  private struct Run {
    var parameters: [Tensor]
    var outcome: TrainingOutcome
  }

  /// - Parameters:
  ///   - interruptedAt: the step after which the run is asked to stop.
  ///   - failingAt: the step in which it dies without keeping anything.
  private func train(
    state: URL? = nil, resumeFrom: URL? = nil, interruptedAt: Int? = nil, failingAt: Int? = nil, patience: Int? = 3,
    keepEvery: Int = 3
  ) throws -> Run {
    let model = try languageModel(contentsOf: fixtures.appendingPathComponent("models/tiny-llama"))
    var recipe = FineTuningRecipe()
    (recipe.rank, recipe.alpha, recipe.dropout) = (2, 3, 0.2)
    var generator = SeededGenerator(seed: 4)
    try recipe.prepare(model, using: &generator)
    var schedule = FineTuningSchedule()
    (schedule.steps, schedule.batchSize, schedule.evaluateEvery, schedule.patience) = (10, 2, 1, patience)
    schedule.learningRate = 1e-2
    let sequences = [[3, 17, 5, 29, 8], [1, 6, 6, 13], [9, 2, 4], [7, 7, 11, 20]]
    var step = 0
    let keeping = (state ?? resumeFrom).map { StateKeeping(url: $0, everySteps: keepEvery, purpose: "test") }
    let task = ScriptedTask(
      model: model, count: sequences.count, scores: { (ResumeTests.scores[step]!, Double(step)) },
      loss: { indices in
        if step + 1 == failingAt { throw Failure() }
        return model.loss(TokenRows(ids: indices.map { sequences[$0] }))
      })
    let outcome = try FineTuning(recipe, schedule).run(
      task, keeping: keeping, resumeFrom: resumeFrom, shouldStop: { step == interruptedAt },
      onStep: { step = $0.step })
    return Run(parameters: model.trainableParameters.map(\.parameter.original), outcome: outcome)
  }

  /// Everything but the seconds.
  private func expectSame(_ a: Run, _ b: Run, _ comment: Comment, sourceLocation: SourceLocation = #_sourceLocation) {
    func timeless(_ history: TrainingHistory) -> [StepReport] {
      history.steps.map { step in
        var step = step
        step.seconds = 0
        return step
      }
    }
    #expect(
      zip(a.parameters, b.parameters).allSatisfy { $0.isIdentical(to: $1) }, comment, sourceLocation: sourceLocation)
    #expect(timeless(a.outcome.history) == timeless(b.outcome.history), comment, sourceLocation: sourceLocation)
    #expect(a.outcome.evaluations == b.outcome.evaluations, comment, sourceLocation: sourceLocation)
    #expect(a.outcome.best == b.outcome.best, comment, sourceLocation: sourceLocation)
    #expect(a.outcome.stoppedEarly == b.outcome.stoppedEarly, comment, sourceLocation: sourceLocation)
  }

  @Test("patience counts evaluations since the best one, the first of equals, across an interruption after any step")
  func interruptions() throws {
    let whole = try train()
    #expect(whole.outcome.stoppedEarly && whole.outcome.history.steps.count == 8)
    #expect(whole.outcome.best == Evaluation(step: 5, score: 0.6, loss: 5))
    #expect(whole.outcome.history.evaluationsSinceBest == 3)
    for step in 1...8 {
      let temporary = try TemporaryFolder()
      let state = temporary.file("state")
      #expect(throws: TrainingError.self) { try train(state: state, interruptedAt: step) }
      // Resumed under another name, whose state is then as whole, and interrupted a second time.
      let other = temporary.file("other")
      if step < 7 {
        #expect(throws: TrainingError.self) { try train(state: other, resumeFrom: state, interruptedAt: step + 1) }
        expectSame(try train(resumeFrom: other), whole, "interrupted after steps \(step) and \(step + 1)")
      }
      expectSame(try train(resumeFrom: state), whole, "interrupted after step \(step)")
    }
  }

  @Test("a run that died goes on from its last state, though better parameters were kept since")
  func deaths() throws {
    let whole = try train()
    for step in 4...8 {
      let temporary = try TemporaryFolder()
      let state = temporary.file("state")
      #expect(throws: Failure.self) { try train(state: state, failingAt: step) }
      expectSame(try train(resumeFrom: state), whole, "died in step \(step)")
    }
    // The parameters of a later best evaluation than any in the state: 5 is kept, the state is that of step 4.
    let temporary = try TemporaryFolder()
    let state = temporary.file("state")
    #expect(throws: Failure.self) { try train(state: state, failingAt: 6, keepEvery: 4) }
    expectSame(try train(resumeFrom: state, keepEvery: 4), whole, "died after a new best")
  }

  @Test("a run that is over stays as it is; a best that is gone is an error")
  func over() throws {
    let temporary = try TemporaryFolder()
    let state = temporary.file("state")
    let whole = try train(state: state)
    expectSame(try train(resumeFrom: state), whole, "over")
    // More patience lets it go on.
    #expect(try train(resumeFrom: state, patience: 9).outcome.best?.step == 9)
    try FileManager.default.removeItem(at: temporary.file("state.best"))
    let error = #expect(throws: CheckpointError.self) { try train(resumeFrom: state) }
    #expect(error?.description.contains("state.best: is not there") == true)
  }

  @Test("seconds go on counting, and a state without a history is refused")
  func seconds() throws {
    let temporary = try TemporaryFolder()
    let state = temporary.file("state")
    #expect(throws: TrainingError.self) { try train(state: state, interruptedAt: 4) }
    let seconds = try train(resumeFrom: state).outcome.history.steps.map(\.seconds)
    #expect(seconds == seconds.sorted() && seconds[0] > 0)

    let file = try SafetensorsFile(state)
    let metadata = file.metadata.map { item in
      JSON.Member(item.key, .string(item.value.string!.replacing("\"history\"", with: "\"story\"")))
    }
    try SafetensorsWriter.write(Array(file.tensors), to: state, metadata: metadata)
    let error = #expect(throws: CheckpointError.self) { try train(resumeFrom: state) }
    #expect(error?.description.contains("is no training state") == true)
  }

  @Test("a run without examples is an error, of which the model knows nothing")
  func empty() throws {
    let model = try languageModel(contentsOf: fixtures.appendingPathComponent("models/tiny-llama"))
    let before = model.parameters.map(\.parameter.original)
    let error = #expect(throws: TrainingError.self) {
      try FineTuning(FineTuningRecipe(), FineTuningSchedule()).run(
        ScriptedTask(model: model, count: 0) { _ in Tensor(0) })
    }
    #expect(error?.description.contains("no example") == true)
    var replay = ReplayBatches(focus: [], replay: [1, 2], focusCount: 1, replayCount: 1, seed: 1)
    #expect(throws: TrainingError.self) {
      try Trainer(Adam(model.parameters, learningRate: 1)).run(model, steps: 1, drawing: &replay) { _ in Tensor(0) }
    }
    #expect(zip(model.parameters, before).allSatisfy { $0.parameter.original.isIdentical(to: $1) })
  }

  @Test("a run that diverges says at which step, and of what", arguments: [Float(1e30), 1e38])
  func divergence(rate: Float) throws {
    let model = try languageModel(contentsOf: fixtures.appendingPathComponent("models/tiny-llama"))
    var recipe = FineTuningRecipe()
    (recipe.rank, recipe.alpha) = (2, 3)
    var generator = SeededGenerator(seed: 4)
    try recipe.prepare(model, using: &generator)
    var schedule = FineTuningSchedule()
    (schedule.steps, schedule.learningRate, schedule.warmUp, schedule.clipping) = (5, rate, 0, nil)
    let temporary = try TemporaryFolder()
    let error = #expect(throws: TrainingError.self) {
      try FineTuning(recipe, schedule).run(
        ScriptedTask(model: model, count: 2) { _ in model.loss(TokenRows(ids: [[3, 17, 5, 29, 8]])) },
        keeping: StateKeeping(url: temporary.file("state"), everySteps: 1, purpose: "test"))
    }
    let text = try #require(error?.description)
    #expect(text.contains("at step") && text.contains("Try a smaller one"), "\(text)")
  }
}
