// The live page's engine against the library.
import Foundation
import LoRAKit
import LoRAPageEngine
import Testing

@Suite struct PageEngineParityTests {
  /// A small base, and few images: every 20th of the sample's.
  private func lesson() throws -> (experiment: DigitExperiment, base: DigitClassifier, classroom: Classroom) {
    let digits = try MNIST.sample()
    func every20th(_ images: LabelledImages) -> LabelledImages {
      images.selecting(stride(from: 0, to: images.count, by: 20))
    }
    var settings = DigitExperiment.Settings(for: digits.train)
    settings.hidden = (24, 12)
    settings.seed = 3
    settings.steps = 25
    let base = try DigitExperiment(train: digits.train, test: digits.test, settings: settings).trainBase().model
    let experiment = DigitExperiment(train: every20th(digits.train), test: every20th(digits.test), settings: settings)
    func images(_ images: LabelledImages) -> Images {
      Images(bytes: (0..<images.count).flatMap { images.pixels(at: $0) }, labels: images.labels.map { UInt8($0) })
    }
    let layers = [base.hidden1, base.hidden2, base.output].map { layer in
      Dense(
        inputs: layer.weight.shape[1], outputs: layer.weight.shape[0], weight: layer.weight.original.scalars,
        bias: layer.bias?.original.scalars ?? [])
    }
    let classroom = Classroom(
      base: Network(layers: layers), train: images(experiment.train), test: images(experiment.test))
    return (experiment, base, classroom)
  }

  @Test("The engine learns as the library does: losses, answers, factors and singular values")
  func parity() throws {
    let (experiment, base, classroom) = try lesson()
    let recipe = DigitExperiment.Recipe(
      rank: 3, alpha: 5, initialization: .kaimingUniform, learningRate: 1e-2, schedule: .linear, focusShare: 0.3)
    for (arm, reader) in [(DigitExperiment.Arm.loraReplay, Classroom.Reader.lowRank), (.fullReplay, .full)] {
      let outcome = try experiment.teach(4, to: base, arm, recipe)
      classroom.begin(Lesson(digit: 4, share: 0.3, seed: 3), rank: 3, scale: 5 / 3)
      #expect(classroom.trainedCount(reader) == outcome.trainableCount)
      for step in 0..<25 {
        let loss = classroom.step(reader, rate: 1e-2 * Float(1 - Double(step) / 25))
        // Adam divides by the gradient's size, so rounding grows from step to step.
        let tolerance: Float = step < 10 ? 1e-5 : 1e-3
        #expect(abs(loss - outcome.losses[step]) < tolerance * max(1, outcome.losses[step]), "\(arm), step \(step)")
      }
      let update = outcome.updates[0].update.tensor
      let delta = classroom.delta(reader, layer: 0)
      let largest = update.scalars.map(\.magnitude).max()!
      let difference = zip(update.scalars, delta).map { abs($0 - $1) }.max()!
      #expect(difference < 1e-2 * largest)
      let values = try Tensor(shape: update.shape, scalars: delta).singularValues()
      let spectrum = classroom.spectrum(reader, layer: 0)
      #expect(spectrum.count == (reader == .lowRank ? 3 : 24))
      for (found, expected) in zip(spectrum, values) { #expect(abs(found - expected) < 1e-5 * values[0]) }
    }
  }

  @Test("A new adapter and one that is switched off leave the base's bits; a merged one moves logits by rounding alone")
  func switching() throws {
    let (experiment, base, classroom) = try lesson()
    let logits = base(experiment.test.batch(0..<experiment.test.count).inputs).scalars
    let own = classroom.network(.base).logits(
      classroom.test.pixels(Array(0..<experiment.test.count)), rows: experiment.test.count)
    for (found, expected) in zip(own, logits) { #expect(abs(found - expected) < 1e-5 * max(1, abs(expected))) }

    classroom.begin(Lesson(digit: 4, share: 0.3, seed: 0), rank: 2, scale: 1)
    #expect(classroom.answers(.lowRank) == classroom.answers(.base))
    for _ in 0..<20 { _ = classroom.step(.lowRank, rate: 1e-2) }
    #expect(classroom.answers(.lowRank) != classroom.answers(.base))
    #expect(classroom.sameBits() == 10 * experiment.test.count)
    #expect(classroom.mergeError() < 1e-4)
    let beside = classroom.answers(.lowRank)
    classroom.merge(true)
    #expect(classroom.answers(.lowRank) == beside)
    #expect(classroom.network(.lowRank).adapters == nil)
    classroom.setScale(0)
    classroom.merge(false)
    #expect(classroom.answers(.lowRank) == classroom.answers(.base))
  }
}
