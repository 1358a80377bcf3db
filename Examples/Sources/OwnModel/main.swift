// A model and a training loop of one's own: two spirals wound into each other are told apart.
//
// The program needs no system library: tensors, networks and training stand on the Swift runtime alone.

import Foundation
import LoRANetworks
import LoRATensors
import LoRATraining

/// Points in the plane [n, 2] → logits [n, 2]. Properties that hold parameters are all that a module needs.
final class SpiralClassifier: Module {
  let hidden: [Linear]
  let output: Linear

  init(width: Int, using generator: inout some RandomNumberGenerator) {
    hidden = [
      Linear(inputs: 2, outputs: width, using: &generator), Linear(inputs: width, outputs: width, using: &generator),
    ]
    output = Linear(inputs: width, outputs: 2, using: &generator)
  }

  func callAsFunction(_ points: Tensor) -> Tensor {
    output(hidden.reduce(points) { x, layer in layer(x).tanh() })
  }
}

/// Points along the two arms, one and a quarter turns each, and the arm of each.
func spirals(count: Int) -> (points: Tensor, arms: [Int]) {
  let arms = (0..<count).map { $0 % 2 }
  let points = arms.indices.flatMap { i -> [Float] in
    let radius = 0.1 + 0.9 * Float(i) / Float(count)
    let angle = 2.5 * Float.pi * radius + Float.pi * Float(arms[i])
    return [radius * cos(angle), radius * sin(angle)]
  }
  return (Tensor(shape: [count, 2], scalars: points), arms)
}

var generator = SeededGenerator(seed: 0)
let model = SpiralClassifier(width: 48, using: &generator)
let optimizer = Adam(model.trainableParameters, learningRate: 5e-3)
let (points, arms) = spirals(count: 400)

for step in 1...600 {
  let (loss, gradients) = model.valueAndGradients { model(points).crossEntropy(arms) }
  optimizer.update(gradients)
  if step % 200 == 0 { print("step \(step): loss \(String(format: "%.4f", loss.item))") }
}

// What the model makes of the whole square.
let (width, height) = (60, 26)
let square = (0..<width * height).flatMap { cell -> [Float] in
  [2.2 * Float(cell % width) / Float(width - 1) - 1.1, 1.1 - 2.2 * Float(cell / width) / Float(height - 1)]
}
let answers = model(Tensor(shape: [width * height, 2], scalars: square)).argmaxRows()
for row in 0..<height {
  print(String((0..<width).map { answers[row * width + $0] == 0 ? "·" : "█" }))
}

let right = zip(model(points).argmaxRows(), arms).count { $0 == $1 }
print("\(right) of \(arms.count) points are on the right side")
guard right >= 396 else { fatalError("the spirals should be told apart") }
