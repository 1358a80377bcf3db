// Tensors whose elements stay bfloat16 in memory that they borrow: every operation sees the numbers that they stand for.
import LoRACKernels
import LoRATensors
import Testing

/// What keeps the memory of a narrow tensor.
private final class Halves: @unchecked Sendable {
  let elements: UnsafeMutableBufferPointer<UInt16>

  init(_ x: Tensor) {
    elements = .allocate(capacity: max(x.count, 1))
    x.withUnsafeBufferPointer { ck_f32_to_bf16($0.baseAddress, elements.baseAddress, $0.count) }
  }

  deinit { elements.deallocate() }
}

extension Tensor {
  /// Rounded to bfloat16 and kept so.
  fileprivate var narrowed: Tensor {
    let halves = Halves(self)
    return Tensor(shape: shape, borrowingBFloat16: halves.elements.baseAddress!, owner: halves)
  }
}

@Suite("Tensors of bfloat16")
struct NarrowTensorTests {
  private static func random(_ shape: [Int], seed: Int, in range: ClosedRange<Float> = -1.5...1.5) -> Tensor {
    var generator = SeededGenerator(seed: UInt64(seed))
    return .uniform(shape, from: range.lowerBound, to: range.upperBound, using: &generator)
  }

  /// Products may add in another order, nothing else may differ.
  private static func isClose(_ a: Tensor, _ b: Tensor) -> Bool {
    a.shape == b.shape && (a - b).norm <= 1e-6 * max(b.norm, 1e-3)
  }

  @Test("reading gives the rounded numbers, in half the memory")
  func reading() {
    // 1 + 2⁻⁸ lies in the middle of 1 and 1 + 2⁻⁷: ties go to even.
    let x = Tensor(shape: [2, 3], scalars: [1, -2.5, 1 + 0x1p-8, 0x1p100, -0.0, 3.140625]).narrowed
    #expect(x.byteCount == 12 && x.widened.byteCount == 24)
    #expect(x.scalars == [1, -2.5, 1, 0x1p100, -0.0, 3.140625])
    #expect(x[1, 2] == 3.140625 && x.reshaped([6])[1] == -2.5 && Tensor(7).narrowed.item == 7)
    #expect(x.isIdentical(to: x.widened) && x.widened.isIdentical(to: x) && !x.isIdentical(to: -x))
    #expect(x.reshaped([3, 2]).byteCount == 12 && x.detached.byteCount == 12)
    #expect(Tensor([3, 4]).narrowed.norm == 5)
    #expect(x.isFinite && !Tensor([1, .infinity]).narrowed.isFinite)
    #expect(Tensor(shape: [2, 2], scalars: [1, 2, 4, 3]).narrowed.argmaxRows() == [1, 0])
  }

  @Test("a change is made to a copy of float32, and leaves what is borrowed alone")
  func changing() {
    let x = Self.random([3, 5], seed: 1).narrowed
    var changed = x
    changed.updateInPlace { $0[4] = 1.0001 }
    #expect(changed.byteCount == 60 && changed[0, 4] == 1.0001)
    #expect(x.byteCount == 30 && !x.isIdentical(to: changed))
    changed.updateInPlace { $0[4] = x[0, 4] }
    #expect(x.isIdentical(to: changed))
  }

  @Test("every operation and its gradients are those of the widened inputs", arguments: Operation.allCases)
  func operations(_ operation: Operation) {
    for (number, example) in operation.examples.enumerated() {
      let inputs = example.shapes.enumerated().map { index, shape in
        Self.random(shape, seed: 10 * number + index, in: example.range).narrowed
      }
      let wide = inputs.map(\.widened)
      let expected = example.function(wide)
      let coefficients = Self.random(expected.shape, seed: 99)
      func value(_ inputs: [Tensor]) -> Tensor { (example.function(inputs) * coefficients).sum() }
      let gradients = valueAndGradients(at: wide, of: value).gradients
      // Each input alone, and all of them.
      for narrow in inputs.indices.map({ [$0] }) + [Array(inputs.indices)] {
        let mixed = inputs.indices.map { narrow.contains($0) ? inputs[$0] : wide[$0] }
        #expect(Self.isClose(example.function(mixed), expected), "\(operation) example \(number), inputs \(narrow)")
        for (found, wanted) in zip(valueAndGradients(at: mixed, of: value).gradients, gradients) {
          #expect(Self.isClose(found, wanted), "\(operation) example \(number), inputs \(narrow)")
        }
      }
    }
  }

  /// A weight is frozen: the gradient goes to the input, through the product with the weight the other way round.
  @Test(
    "a linear map by a narrow weight is that by the widened one, and so is the input's gradient",
    arguments: [1, 2, 10, 37, 70, 300], [(64, 96), (97, 53), (576, 1536), (3, 2)])
  func linear(rows: Int, sizes: (outputs: Int, inputs: Int)) {
    let weight = Self.random([sizes.outputs, sizes.inputs], seed: 1).narrowed
    let x = Self.random([rows, sizes.inputs], seed: 2)
    let (dy, bias) = (Self.random([rows, sizes.outputs], seed: 3), Self.random([sizes.outputs], seed: 4))
    func linear(_ weight: Tensor) -> (Tensor, [Tensor]) {
      valueAndGradients(at: [x]) { ($0[0].linear(weight, bias: bias) * dy).sum() }
    }
    func matmul(_ weight: Tensor) -> (Tensor, [Tensor]) {
      valueAndGradients(at: [dy]) { ($0[0].matmul(weight) * x).sum() }
    }
    #expect(Self.isClose(x.linear(weight, bias: bias), x.linear(weight.widened, bias: bias)))
    #expect(Self.isClose(dy.matmul(weight), dy.matmul(weight.widened)))
    #expect(Self.isClose(linear(weight).1[0], linear(weight.widened).1[0]))
    #expect(Self.isClose(matmul(weight).1[0], matmul(weight.widened).1[0]))
    // On the left, as the norms of DoRA have it.
    #expect(
      Self.isClose(weight.matmul(x, transposeOther: true), weight.widened.matmul(x, transposeOther: true)))
  }

  @Test("the loss over a vocabulary in blocks of rows reads a narrow weight as it is")
  func vocabulary() {
    let weight = Self.random([100_000, 8], seed: 1).narrowed
    let x = Self.random([70, 8], seed: 2)
    let targets = (0..<70).map { $0 % 7 == 0 ? -100 : $0 * 1009 }
    let narrow = valueAndGradients(at: [x]) { $0[0].linearCrossEntropy(weight, targets) }
    let wide = valueAndGradients(at: [x]) { $0[0].linearCrossEntropy(weight.widened, targets) }
    #expect(abs(narrow.value.item - wide.value.item) < 1e-5)
    #expect(Self.isClose(narrow.gradients[0], wide.gradients[0]))
  }
}
