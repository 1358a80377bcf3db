import LoRAKit
import TestSupport
import Testing

/// A 6×6 picture of a bar, upright or lying, at a random place, in noise.
private func bars(_ count: Int, seed: UInt64) -> (images: Tensor, labels: [Int]) {
  var generator = SeededGenerator(seed: seed)
  let labels = (0..<count).map { _ in Int.random(in: 0...1, using: &generator) }
  let noise = Tensor.normal([count, 1, 6, 6], deviation: 0.3, using: &generator)
  var scalars = [Float](repeating: 0, count: count * 36)
  for (image, label) in labels.enumerated() {
    let place = Int.random(in: 0..<6, using: &generator)
    for i in 0..<6 { scalars[image * 36 + (label == 0 ? i * 6 + place : place * 6 + i)] = 1 }
  }
  return (Tensor(shape: [count, 1, 6, 6], scalars: scalars) + noise, labels)
}

private func network(seed: UInt64) -> Sequential {
  var generator = SeededGenerator(seed: seed)
  return Sequential(
    Conv2d(inputs: 1, outputs: 6, kernel: 3, padding: 1, using: &generator), Activation.relu, MaxPool2d(2),
    Conv2d(inputs: 6, outputs: 8, kernel: 3, using: &generator), GroupNorm(groups: 2, channels: 8), Activation.gelu,
    Flatten(), Linear(inputs: 8, outputs: 2, using: &generator))
}

private func accuracy(_ model: Sequential, _ data: (images: Tensor, labels: [Int])) -> Double {
  Double(zip(model(data.images).argmaxRows(), data.labels).count { $0 == $1 }) / Double(data.labels.count)
}

@Suite("Fine-tuning a convolutional network")
struct ConvolutionFineTuningTests {
  @Test("LoRA on the frozen convolutions of a random network learns it too")
  func adapters() throws {
    let (train, test) = (bars(256, seed: 1), bars(200, seed: 2))
    let model = network(seed: 4)
    model.setTrainable(false)
    var generator = SeededGenerator(seed: 5)
    for case let layer as Conv2d in model.layers {
      try layer.weight.parametrize(by: LoRA(rank: 4, alpha: 8, for: layer.weight, using: &generator))
    }
    (model.layers.last as! Linear).setTrainable(true)
    let frozen = (model.layers[0] as! Conv2d).weight.original
    let optimizer = Adam(model.trainableParameters, learningRate: 1e-2)
    for _ in 0..<60 {
      let (_, gradients) = model.valueAndGradients { model(train.images).crossEntropy(train.labels) }
      optimizer.update(gradients)
    }
    #expect(accuracy(model, test) > 0.9)
    #expect((model.layers[0] as! Conv2d).weight.original.isIdentical(to: frozen))
  }
}
