// Times a training step of a small convolutional network, and what one tiny operation costs, by one and by two threads.
// Prints `name value` lines, the median of several runs; Benchmarks/network_peers.py prints the same names for PyTorch.
//
//     swift run -c release --package-path Benchmarks network-bench [--only "cnn"]
//
// Lines that begin with = are results, not times: Benchmarks/compare.py checks that both sides computed the same.
import Foundation
import LoRAKit
import Measuring

let repeats = isShortest ? 1 : 15

func report(_ name: String, _ value: Double) { print("\(name) \(String(format: "%.5f", value))") }

/// The same numbers in Swift and Python.
func wave(_ shape: [Int], _ scale: Double, _ phase: Double) -> Tensor {
  Tensor(shape: shape, scalars: (0..<shape.reduce(1, *)).map { Float(scale * sin(1.7 * Double($0) + phase)) })
}

/// 1×28×28 → 16 channels, halved, → 32 channels, halved, → 10 classes.
func network() -> Sequential {
  func convolution(_ inputs: Int, _ outputs: Int) -> Conv2d {
    Conv2d(
      weight: Parameter(wave([outputs, inputs, 3, 3], 0.2, 0.3)), bias: Parameter(wave([outputs], 0.1, 0.7)), padding: 1
    )
  }
  return Sequential(
    convolution(1, 16), Activation.relu, MaxPool2d(2), convolution(16, 32), Activation.relu, MaxPool2d(2), Flatten(),
    Linear(weight: Parameter(wave([10, 1568], 0.03, 0.1)), bias: Parameter(wave([10], 0.1, 0.2))))
}

/// Milliseconds of each of some steps, and the last loss.
func train(batch: Int, steps: Int) -> (milliseconds: [Double], loss: Float) {
  let model = network()
  let optimizer = Adam(model.trainableParameters, learningRate: 1e-3)
  let images = wave([batch, 1, 28, 28], 1, 0.5)
  let labels = (0..<batch).map { $0 % 10 }
  var last: Float = 0
  let times = (0..<steps).map { _ in
    seconds {
      let (loss, gradients) = model.valueAndGradients { model(images).crossEntropy(labels) }
      optimizer.update(gradients)
      last = loss.item
    } * 1000
  }
  return (times, last)
}

for threads in [1, 2] {
  Threads.count = threads
  for batch in [32, 128] where isWanted("cnn") {
    let (times, loss) = train(batch: batch, steps: 5 + repeats)
    report("cnn-step-ms-batch-\(batch)-threads-\(threads)", median(Array(times.dropFirst(5))))
    report("=cnn-loss-batch-\(batch)-threads-\(threads)", Double(loss))
  }
}

Threads.count = 1
let (start, step) = (Tensor([1, 2, 3, 4]), Tensor([0.5, 0.5, 0.5, 0.5]))
/// 1,000 sums of four elements, one after another.
func chain(_ x: Tensor) -> Tensor { (0..<1000).reduce(x) { sum, _ in sum + step } }

if isWanted("add") {
  var (forward, both): ([Double], [Double]) = ([], [])
  for _ in 0..<repeats + 3 {
    var value = Tensor(0)
    forward.append(seconds { value = chain(start) } * 1000)
    check(value.scalars == [501, 502, 503, 504], "1,000 sums of a half are not 500")
    var gradient = Tensor(0)
    both.append(seconds { gradient = valueAndGradients(at: [start]) { chain($0[0]).sum() }.gradients[0] } * 1000)
    check(gradient.scalars == [1, 1, 1, 1], "the gradient of a sum is not one")
  }
  // Milliseconds for a thousand are microseconds for one.
  report("add-us-forward", median(Array(forward.dropFirst(3))))
  report("add-us-with-gradient", median(Array(both.dropFirst(3))))
}
