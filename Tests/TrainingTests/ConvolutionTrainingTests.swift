import LoRANetworks
import LoRATensors
import LoRATraining
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

@Suite("Training a convolutional network")
struct ConvolutionTrainingTests {
  @Test("a loop of one's own over a small network learns to tell upright from lying bars")
  func learns() {
    let (train, test) = (bars(256, seed: 1), bars(200, seed: 2))
    let model = network(seed: 3)
    #expect(accuracy(model, test) < 0.7)
    let optimizer = Adam(model.trainableParameters, learningRate: 1e-2)
    for step in 0..<60 {
      let places = (0..<32).map { (step * 32 + $0) % 256 }
      let images = Tensor.stacked(places.map { train.images.sliced(axis: 0, $0..<$0 + 1).reshaped([1, 6, 6]) })
      let labels = places.map { train.labels[$0] }
      let (_, gradients) = model.valueAndGradients { model(images).crossEntropy(labels) }
      optimizer.update(gradients)
    }
    #expect(accuracy(model, test) > 0.9)
  }
}
