// Classifiers, decoders and digits as tasks of the one loop.
import Foundation
import LoRADatasets
import LoRAFineTuning
import LoRAModels
import LoRANetworks
import LoRATensors
import LoRATraining
import TestSupport
import Testing

@Suite("Learning tasks")
struct LearningTaskTests {
  private let folder = fixtures.appendingPathComponent("models")

  /// A folder of a tiny encoder with its tokenizer.
  private func classifier(_ temporary: TemporaryFolder, labels: [String], problem: ProblemType? = nil) throws
    -> TextClassifier
  {
    let url = temporary.file("model")
    try FileManager.default.copyItem(at: folder.appendingPathComponent("small-encoder"), to: url)
    try FileManager.default.copyItem(
      at: folder.appendingPathComponent("tokenizer-wordpiece.json"), to: url.appendingPathComponent("tokenizer.json"))
    return try TextClassifier(
      model: url, labels: labels, problem: problem, maximumLength: 12, longTexts: .windows, seed: 5)
  }

  private let texts = ["the quick fox", "a lazy dog and then some more of it", "jumps over", "they said", "so it did"]
  private let labels: SmallIntegers = [2, 0, 1, 2, 1]

  @Test("a classifier's loss is the mean cross entropy of its logits, its score the share of right answers")
  func classification() throws {
    let temporary = try TemporaryFolder()
    let classifier = try classifier(temporary, labels: ["a", "b", "c"])
    var encoded = try classifier.noTexts()
    try encoded.append(texts)
    let examples = TextClassificationTask.Examples(encoded, labels: labels)
    let task = try TextClassificationTask(classifier, examples: examples, evaluation: examples)
    #expect(task.count == 5 && task.isEvaluated && task.weight(of: 3) == 1)
    #expect(try !TextClassificationTask(classifier, examples: examples).isEvaluated)
    let predictions = try classifier.predict(texts)
    func loss(_ index: Int) -> Double { Double(predictions[index].loss(of: labels[index])) }
    let expected = (loss(1) + loss(3) + loss(4)) / 3
    #expect(abs(Double(try task.loss(of: [3, 1, 4]).item) - expected) < 1e-5)
    let (score, mean) = try task.evaluate()
    let right = predictions.indices.filter { predictions[$0].label == labels[$0] }.count
    #expect(score == Double(right) / 5)
    let sum = predictions.indices.reduce(0) { $0 + loss($1) }
    #expect(abs(mean - sum / 5) < 1e-5)
  }

  @Test("class weights weigh examples in the loss and in parts of a batch; balanced, each class counts the same")
  func classWeights() throws {
    let temporary = try TemporaryFolder()
    let classifier = try classifier(temporary, labels: ["a", "b", "c"])
    let examples = TextClassificationTask.Examples(try classifier.encode(texts), labels: labels)
    // 5 texts, of which the classes have 1, 2 and 2.
    let weights = TextClassificationTask.balancedWeights(of: labels, classCount: 3)
    let (one, two): (Float, Float) = (5.0 / 3, 5.0 / 6)
    #expect(weights == [one, two, two])
    let task = try TextClassificationTask(classifier, examples: examples, classWeights: weights)
    let predictions = try classifier.predict(texts)
    func loss(_ index: Int) -> Double { Double(predictions[index].loss(of: labels[index])) }
    let (w1, w3) = (Double(task.weight(of: 1)), Double(task.weight(of: 3)))
    #expect(abs(w1 - 5.0 / 3) < 1e-6)
    #expect(abs(w3 - 5.0 / 6) < 1e-6)
    let expected: Double = (w1 * loss(1) + w3 * loss(3)) / (w1 + w3)
    #expect(abs(Double(try task.loss(of: [1, 3]).item) - expected) < 1e-5)
  }

  @Test("a regression's loss is the squared error of its one number; that of labels the binary cross entropy of each")
  func otherTargets() throws {
    let temporary = try TemporaryFolder()
    let scorer = try classifier(temporary, labels: ["score"], problem: .regression)
    let scores: [Float] = [0.5, -2, 3.25, 1, 0]
    let scored = TextClassificationTask.Examples(try scorer.encode(texts), targets: .scores(scores))
    let regression = try TextClassificationTask(scorer, examples: scored, evaluation: scored)
    let answers = try scorer.predict(texts).map { $0.logits[0] }
    #expect(try scorer.predict(texts).map { $0.probabilities[0] } == answers && scorer.problem == .regression)
    let errors: [Double] = zip(answers, scores).map { Double(($0 - $1) * ($0 - $1)) }
    let pair: Double = (errors[2] + errors[0]) / 2
    #expect(abs(Double(try regression.loss(of: [2, 0]).item) - pair) < 1e-4)
    let result = try regression.evaluate()
    #expect(abs(result.loss - errors.reduce(0, +) / 5) < 1e-4)

    let other = try TemporaryFolder()
    let tagger = try classifier(other, labels: ["a", "b", "c"], problem: .multiLabel)
    let sets = LabelSets([[0, 2], [], [1], [2], [0, 1, 2]])
    let tagged = TextClassificationTask.Examples(try tagger.encode(texts), targets: .sets(sets))
    let labelling = try TextClassificationTask(tagger, examples: tagged, evaluation: tagged)
    let logits = try tagger.predict(texts).map(\.logits)
    func loss(_ text: Int) -> Double {
      var sum = 0.0
      for label in 0..<3 {
        let probability: Double = 1 / (1 + exp(-Double(logits[text][label])))
        sum -= log(sets[text].contains(label) ? probability : 1 - probability)
      }
      return sum / 3
    }
    let half: Double = (loss(4) + loss(1)) / 2
    #expect(abs(Double(try labelling.loss(of: [4, 1]).item) - half) < 1e-5)
    var mean = 0.0
    for text in 0..<5 { mean += loss(text) / 5 }
    #expect(abs(try labelling.evaluate().loss - mean) < 1e-5)
    #expect(tagger.problem == .multiLabel)
  }

  @Test("a run of a task is the loop with that task's loss, bit for bit, and learns its examples")
  func run() throws {
    func train(byTask: Bool) throws -> (TrainingOutcome, TextClassificationTask) {
      let temporary = try TemporaryFolder()
      let classifier = try classifier(temporary, labels: ["a", "b", "c"])
      var encoded = try classifier.noTexts()
      try encoded.append(texts)
      let examples = TextClassificationTask.Examples(encoded, labels: labels)
      let task = try TextClassificationTask(classifier, examples: examples, evaluation: examples)
      var recipe = FineTuningRecipe()
      (recipe.rank, recipe.alpha, recipe.wholeModules) = (3, 5, ["classifier"])
      var generator = SeededGenerator(seed: 4)
      try recipe.prepare(classifier.model, using: &generator)
      var schedule = FineTuningSchedule()
      (schedule.steps, schedule.batchSize, schedule.evaluateEvery, schedule.learningRate) = (40, 2, 10, 2e-2)
      if byTask { return (try FineTuning(recipe, schedule).run(task), task) }
      let trainer = Trainer(
        Adam(classifier.model.trainableParameters, learningRate: 2e-2, weightDecay: .decoupled(0.01)),
        schedule: Schedule(.linear, learningRate: 2e-2, warmUpSteps: 2, totalSteps: 40), clipping: 1)
      var plan = TrainingPlan(steps: 40)
      plan.evaluateEvery = 10
      var sampler = ShuffledBatches(count: 5, batchSize: 2, seed: 0)
      return (
        try trainer.run(
          classifier.model, plan, drawing: &sampler, evaluate: { try task.evaluate() },
          loss: { try classifier.logits(of: encoded, at: $0).crossEntropy($0.map { labels[$0] }) }), task
      )
    }
    let (byTask, task) = try train(byTask: true)
    let byLoop = try train(byTask: false).0
    #expect(byTask.losses == byLoop.losses && byTask.evaluations == byLoop.evaluations)
    #expect(byTask.evaluations.count == 4 && byTask.best?.score == 1)
    #expect(try task.evaluate().score == 1)
  }

  @Test("a decoder's examples count by the tokens that they predict, and its score is its loss turned round")
  func decoding() throws {
    let decoder = try languageModel(contentsOf: folder.appendingPathComponent("small-decoder"))
    let tokenizer = try Tokenizer(contentsOf: folder.appendingPathComponent("tokenizer-metaspace.json"))
    let temporary = try TemporaryFolder()
    let file = temporary.file("pairs.jsonl")
    try Data(
      #"{"prompt":"a","completion":" fox jumps"}\#n{"text":"the dog and the fox"}\#n{"prompt":"so","completion":" it"}\#n"#
        .utf8
    ).write(to: file)
    let windows = try TokenWindows(contentsOf: file, tokenizer: tokenizer, length: 16)
    let task = LanguageModelingTask(decoder, windows: windows, evaluation: windows)
    #expect(task.count == 3 && task.isEvaluated)
    #expect(!LanguageModelingTask(decoder, windows: windows).isEvaluated)
    let weights = try (0..<3).map { try task.weight(of: $0) }
    #expect(Set(weights).count > 1 && weights.reduce(0, +) == Float(windows.predictions))
    // The mean over all tokens is that of the examples' means, by their weights.
    let losses = try (0..<3).map { Double(try task.loss(of: [$0]).item) }
    var mean = 0.0
    for (loss, weight) in zip(losses, weights) { mean += loss * Double(weight) / Double(windows.predictions) }
    #expect(abs(Double(try task.loss(of: [0, 1, 2]).item) - mean) < 1e-5)
    let (score, loss) = try task.evaluate()
    #expect(abs(loss - mean) < 1e-5 && score == -loss)
  }

  @Test("digits are a task too: the mean cross entropy of some images")
  func digits() throws {
    var generator = SeededGenerator(seed: 2)
    let images = try MNIST.sample().train
    let classifier = DigitClassifier(hidden: (64, 32), using: &generator)
    let task = DigitTask(classifier, images: images)
    #expect(task.count == images.count && !task.isEvaluated && task.model === classifier)
    let mean = [3, 99, 41].reduce(Float(0)) { $0 + task.loss(of: [$1]).item } / 3
    #expect(abs(task.loss(of: [3, 99, 41]).item - mean) < 1e-5)
    var sampler = ShuffledBatches(count: task.count, batchSize: 20, seed: 1)
    let outcome = try Trainer(Adam(classifier.parameters, learningRate: 1e-2)).run(
      task, TrainingPlan(steps: 60), drawing: &sampler)
    let (first, last) = (outcome.losses.prefix(10).reduce(0, +), outcome.losses.suffix(10).reduce(0, +))
    #expect(last < 0.6 * first)
  }
}
