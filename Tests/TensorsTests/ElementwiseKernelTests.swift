import Foundation
import LoRACKernels
import Testing

struct Function: CustomTestStringConvertible, Sendable {
  var operation: ck_unary_op
  var name: String
  var range: ClosedRange<Double>
  /// Errors are measured against max(|f(x)|, floor): a function with a zero is accurate in absolute terms there.
  var floor: Double
  var value: @Sendable (Double) -> Double
  var slope: @Sendable (Double) -> Double
  var testDescription: String { name }

  private static func sigmoid(_ x: Double) -> Double { 1 / (1 + exp(-x)) }
  private static func cdf(_ x: Double) -> Double { erfc(-x / 2.0.squareRoot()) / 2 }
  private static func density(_ x: Double) -> Double { exp(-x * x / 2) / (2 * Double.pi).squareRoot() }
  private static func inner(_ x: Double) -> Double { (2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x) }
  private static func innerSlope(_ x: Double) -> Double { (2 / Double.pi).squareRoot() * (1 + 3 * 0.044715 * x * x) }

  static let all: [Function] = [
    Function(operation: CK_NEGATE, name: "−x", range: -9...9, floor: 0) {
      -$0
    } slope: { _ in
      -1
    },
    Function(operation: CK_SIN, name: "sin", range: -9...9, floor: 1e-1) {
      sin($0)
    } slope: {
      cos($0)
    },
    Function(operation: CK_COS, name: "cos", range: -9...9, floor: 1e-1) {
      cos($0)
    } slope: {
      -sin($0)
    },
    Function(operation: CK_SOFTPLUS, name: "softplus", range: -80...80, floor: 0) {
      max($0, 0) + log1p(exp(-abs($0)))
    } slope: {
      sigmoid($0)
    },
    Function(operation: CK_EXP, name: "exp", range: -87...88, floor: 0) {
      exp($0)
    } slope: {
      exp($0)
    },
    Function(operation: CK_LOG, name: "log", range: 1e-30...50, floor: 1e-6) {
      log($0)
    } slope: {
      1 / $0
    },
    Function(operation: CK_TANH, name: "tanh", range: -12...12, floor: 1e-2) {
      tanh($0)
    } slope: {
      1 - tanh($0) * tanh($0)
    },
    Function(operation: CK_ERF, name: "erf", range: -5...5, floor: 1e-2) {
      erf($0)
    } slope: {
      2 / Double.pi.squareRoot() * exp(-$0 * $0)
    },
    Function(operation: CK_SIGMOID, name: "sigmoid", range: -80...80, floor: 1e-2) {
      sigmoid($0)
    } slope: {
      sigmoid($0) * (1 - sigmoid($0))
    },
    Function(operation: CK_RELU, name: "relu", range: -3...3, floor: 0) {
      max($0, 0)
    } slope: {
      $0 > 0 ? 1 : 0
    },
    Function(operation: CK_GELU, name: "gelu", range: -9...9, floor: 1) {
      $0 * cdf($0)
    } slope: {
      cdf($0) + $0 * density($0)
    },
    Function(operation: CK_GELU_TANH, name: "gelu, tanh form", range: -9...9, floor: 1) { x in
      0.5 * x * (1 + tanh(inner(x)))
    } slope: { x in
      let t = tanh(inner(x))
      return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * innerSlope(x)
    },
    Function(operation: CK_SILU, name: "silu", range: -30...30, floor: 1e-2) {
      $0 * sigmoid($0)
    } slope: {
      sigmoid($0) * (1 + $0 * (1 - sigmoid($0)))
    },
    Function(operation: CK_SQRT, name: "sqrt", range: 1e-6...1e6, floor: 0) {
      $0.squareRoot()
    } slope: {
      0.5 / $0.squareRoot()
    },
    Function(operation: CK_RSQRT, name: "1/sqrt", range: 1e-6...1e6, floor: 0) {
      1 / $0.squareRoot()
    } slope: {
      -0.5 / ($0 * $0.squareRoot())
    },
    Function(operation: CK_SQUARE, name: "square", range: -50...50, floor: 0) {
      $0 * $0
    } slope: {
      2 * $0
    },
    Function(operation: CK_ABS, name: "abs", range: -7...7, floor: 0) {
      abs($0)
    } slope: {
      $0 == 0 ? 0 : $0 < 0 ? -1 : 1
    },
    Function(operation: CK_RECIPROCAL, name: "1/x", range: 0.01...40, floor: 0) {
      1 / $0
    } slope: {
      -1 / ($0 * $0)
    },
  ]

  private init(
    operation: ck_unary_op, name: String, range: ClosedRange<Double>, floor: Double,
    value: @escaping @Sendable (Double) -> Double, slope: @escaping @Sendable (Double) -> Double
  ) {
    (self.operation, self.name, self.range, self.floor) = (operation, name, range, floor)
    (self.value, self.slope) = (value, slope)
  }
}

@Suite("Kernels: elementwise", .serialized)
struct ElementwiseKernelTests {
  @Test("a function and its derivative equal Foundation's to a part in a million", arguments: Function.all)
  func functions(function: Function) {
    // Enough that threads share it, and not a multiple of any register.
    let count = 70_001
    let (low, high) = (function.range.lowerBound, function.range.upperBound)
    let x = (0..<count).map { Float(low + (high - low) * Double($0) / Double(count - 1)) }
    let dy = [Float](repeating: 2, count: count)
    let y = withEveryThreadCount {
      var y = x
      y.withUnsafeMutableBufferPointer { ck_unary(function.operation, $0.baseAddress!, $0.baseAddress!, count) }
      return y
    }
    let dx = withEveryThreadCount {
      var dx = [Float](repeating: .nan, count: count)
      ck_unary_gradient(function.operation, x, dy, &dx, count)
      return dx
    }
    var worst = 0.0
    var worstSlope = 0.0
    for i in 0..<count {
      let value = function.value(Double(x[i]))
      worst = max(worst, abs(Double(y[i]) - value) / max(abs(value), function.floor, 1e-37))
      let slope = function.slope(Double(x[i]))
      worstSlope = max(worstSlope, abs(Double(dx[i]) / 2 - slope) / max(abs(slope), function.floor, 1e-37))
    }
    #expect(worst < 1e-6)
    #expect(worstSlope < (function.floor == 0 ? 1e-6 : 2e-5))
  }

  @Test("infinities, zeros and NaN come out as in the C library")
  func specialValues() {
    let x: [Float] = [0, -0.0, .infinity, -.infinity, .nan, .leastNonzeroMagnitude, 100, -110, 88.7]
    func apply(_ operation: ck_unary_op) -> [Float] {
      var y = x
      ck_unary(operation, x, &y, x.count)
      return y
    }
    func expect(_ operation: ck_unary_op, _ function: (Float) -> Float, within tolerance: Float) {
      for (found, input) in zip(apply(operation), x) {
        let value = function(input)
        #expect(
          found == value || (found.isNaN && value.isNaN) || abs(found - value) <= tolerance * abs(value), "at \(input)")
      }
    }
    expect(CK_EXP, { exp($0) }, within: 1e-6)
    expect(CK_LOG, { log($0) }, within: 1e-6)
    expect(CK_TANH, { tanh($0) }, within: 1e-6)
    expect(CK_ERF, { erf($0) }, within: 1e-6)
    expect(CK_SIGMOID, { 1 / (1 + exp(-$0)) }, within: 1e-6)
    expect(CK_GELU, { $0 == -.infinity ? 0 : $0 * erfc(-$0 / Float(2).squareRoot()) / 2 }, within: 1e-6)
    expect(CK_SILU, { $0 == -.infinity ? 0 : $0 / (1 + exp(-$0)) }, within: 1e-6)
  }

  @Test("operands broadcast by strides of zero, in any layout")
  func broadcasting() {
    var source = PlainSource(5)
    let shape = [5, 1, 37, 101]
    let a = source.values(5 * 37 * 101)
    let b = source.values(5 * 37 * 101)
    // Dense; a column; a row; a scalar; axes 0 and 2 exchanged.
    let layouts = [[3737, 3737, 101, 1], [37, 37, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0], [101, 0, 505, 1]]
    let operations: [(ck_binary_op, (Float, Float) -> Float)] = [
      (CK_ADD, { $0 + $1 }), (CK_SUBTRACT, { $0 - $1 }), (CK_MULTIPLY, { $0 * $1 }), (CK_DIVIDE, { $0 / $1 }),
      (CK_MAXIMUM, { max($0, $1) }), (CK_MINIMUM, { min($0, $1) }),
    ]
    for stridesA in layouts {
      for stridesB in layouts {
        for (operation, function) in operations {
          let out = withEveryThreadCount {
            var out = [Float](repeating: .nan, count: a.count)
            ck_binary(operation, 4, shape, a, stridesA, b, stridesB, &out)
            return out
          }
          var expected: [Float] = []
          expected.reserveCapacity(out.count)
          for i in 0..<5 {
            for j in 0..<37 {
              for l in 0..<101 {
                let atA = i * stridesA[0] + j * stridesA[2] + l * stridesA[3]
                let atB = i * stridesB[0] + j * stridesB[2] + l * stridesB[3]
                expected.append(function(a[atA], b[atB]))
              }
            }
          }
          #expect(bits(out) == bits(expected))
        }
      }
    }
  }
}
