import LoRACKernels
import LoRATensors
import Testing

/// One convolution: of images of an odd size, with outputs that fill no tile.
struct Convolution: CustomTestStringConvertible, Sendable {
  var images = 2
  var inputs = 3
  var size = (height: 9, width: 7)
  var outputs = 5
  var kernel = (height: 3, width: 3)
  var stride = 1
  var padding = 0
  var dilation = 1
  var groups = 1

  var testDescription: String {
    "\(images)×\(inputs)×\(size) by \(outputs)×\(kernel), stride \(stride), padding \(padding), dilation \(dilation), "
      + "\(groups) groups"
  }

  var x: Tensor { random([images, inputs, size.height, size.width], 1) }
  var weight: Tensor { random([outputs, inputs / groups, kernel.height, kernel.width], 2) }
  var bias: Tensor { random([outputs], 3) }

  private func random(_ shape: [Int], _ seed: UInt64) -> Tensor {
    var generator = SeededGenerator(seed: seed)
    return .uniform(shape, from: -1, to: 1, using: &generator)
  }

  func callAsFunction(_ x: Tensor, _ weight: Tensor, _ bias: Tensor) -> Tensor {
    x.conv2d(weight, bias: bias, stride: stride, padding: padding, dilation: dilation, groups: groups)
  }

  /// Calls `body` for every product of the definition: with indices of x, of the weight and of the output.
  func forEachProduct(_ shape: [Int], _ body: (_ x: Int, _ weight: Int, _ y: Int) -> Void) {
    let (perGroup, outputsPerGroup) = (inputs / groups, outputs / groups)
    for n in 0..<images {
      for o in 0..<outputs {
        for c in 0..<perGroup {
          for i in 0..<kernel.height {
            for j in 0..<kernel.width {
              for oy in 0..<shape[2] {
                for ox in 0..<shape[3] {
                  let (y, x) = (oy * stride + i * dilation - padding, ox * stride + j * dilation - padding)
                  guard y >= 0, y < size.height, x >= 0, x < size.width else { continue }
                  let channel = o / outputsPerGroup * perGroup + c
                  body(
                    ((n * inputs + channel) * size.height + y) * size.width + x,
                    ((o * perGroup + c) * kernel.height + i) * kernel.width + j,
                    ((n * outputs + o) * shape[2] + oy) * shape[3] + ox)
                }
              }
            }
          }
        }
      }
    }
  }

  static let all = [
    Convolution(), Convolution(padding: 1), Convolution(stride: 2, padding: 1), Convolution(stride: 3, padding: 4),
    Convolution(padding: 2, dilation: 2), Convolution(stride: 2, padding: 3, dilation: 3),
    Convolution(stride: 4, padding: 1, dilation: 2), Convolution(kernel: (1, 1)),
    Convolution(kernel: (1, 1), stride: 2), Convolution(kernel: (1, 1), padding: 2), Convolution(kernel: (2, 5)),
    Convolution(kernel: (5, 2), stride: 2, padding: 1), Convolution(kernel: (9, 7)),
    Convolution(kernel: (3, 3), stride: 5, padding: 1), Convolution(size: (1, 1), padding: 1),
    Convolution(inputs: 4, outputs: 6, padding: 1, groups: 2), Convolution(inputs: 6, outputs: 6, stride: 2, groups: 6),
    Convolution(inputs: 3, outputs: 9, padding: 2, dilation: 2, groups: 3), Convolution(inputs: 1, outputs: 1),
    // More places than a block, and more than one vector of taps.
    Convolution(images: 3, inputs: 5, size: (33, 29), outputs: 7, padding: 1),
    Convolution(images: 40, inputs: 2, size: (11, 13), outputs: 4, kernel: (4, 3), stride: 2, padding: 2),
  ]
}

@Suite("Convolution and pooling", .serialized)
struct ConvolutionTests {
  @Test("a convolution and its gradients are sums over the definition's products", arguments: Convolution.all)
  func definition(_ convolution: Convolution) {
    let (x, weight, bias) = (convolution.x, convolution.weight, convolution.bias)
    let y = convolution(x, weight, bias)
    var generator = SeededGenerator(seed: 4)
    let dy = Tensor.uniform(y.shape, from: -1, to: 1, using: &generator)
    let gradients = valueAndGradients(at: [x, weight, bias]) {
      (convolution($0[0], $0[1], $0[2]) * dy).sum()
    }.gradients

    var sums = [y, x, weight].map { [Double](repeating: 0, count: $0.count) }
    let (xs, ws, dys) = (x.scalars, weight.scalars, dy.scalars)
    convolution.forEachProduct(y.shape) { i, k, o in
      sums[0][o] += Double(xs[i]) * Double(ws[k])
      sums[1][i] += Double(dys[o]) * Double(ws[k])
      sums[2][k] += Double(dys[o]) * Double(xs[i])
    }
    let plane = y.shape[2] * y.shape[3]
    for o in sums[0].indices { sums[0][o] += Double(bias.scalars[o / plane % convolution.outputs]) }
    for (found, expected) in zip([y, gradients[0], gradients[1]], sums) {
      let largest = expected.reduce(1) { max($0, abs($1)) }
      let worst = zip(found.scalars, expected).reduce(0) { max($0, abs(Double($1.0) - $1.1)) }
      #expect(worst < 1e-6 * largest)
    }
  }

  @Test("a convolution has the same bits at any number of threads", arguments: [1, 2])
  func threads(stride: Int) {
    let convolution = Convolution(
      images: 9, inputs: 6, size: (31, 17), outputs: 10, stride: stride, padding: 1, groups: 2)
    let result = withEveryThreadCount {
      let (value, gradients) = valueAndGradients(at: [convolution.x, convolution.weight, convolution.bias]) {
        convolution($0[0], $0[1], $0[2]).tanh().sum()
      }
      return value.scalars + gradients.flatMap(\.scalars)
    }
    #expect(result.allSatisfy { $0.isFinite })
  }

  @Test("pooling has the same bits at any number of threads, and NaN wins")
  func poolingThreads() {
    let x = Convolution(images: 3, inputs: 8, size: (37, 41)).x
    let result = withEveryThreadCount {
      let largest = valueAndGradients(at: [x]) { $0[0].maxPool2d(3, stride: 2, padding: 1).squared().sum() }
      let mean = valueAndGradients(at: [x]) { $0[0].averagePool2d(2).squared().sum() }
      return largest.gradients[0].scalars + mean.gradients[0].scalars
    }
    #expect(result.count { $0 != 0 } > x.count)
    let broken = Tensor(shape: [2, 4], scalars: [1, .nan, 3, 4, 5, 6, 7, -.infinity]).maxPool2d(2)
    #expect(broken[0, 0].isNaN && broken[0, 1] == 7)
    #expect(Tensor.full([2, 2], -.infinity).maxPool2d(2).item == -.infinity)
  }

  @Test("a window's first largest element takes its gradient, and padding none")
  func ties() {
    let x = Tensor([[2, 2, 1], [2, 0, 1], [-5, -5, -4]])
    let (value, gradients) = valueAndGradients(at: [x]) { $0[0].maxPool2d(2, padding: 1).sum() }
    // Windows: (0,0); (0,1)(0,2); (1,0)(2,0); (1,1)(1,2)(2,1)(2,2): 2 + 2 + 2 + 1.
    #expect(value.item == 7)
    #expect(gradients[0] == Tensor([[1, 1, 0], [1, 0, 1], [0, 0, 0]]))
  }
}
