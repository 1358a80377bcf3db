import CKernels
import Foundation
import Testing

// The oracle throughout is the same formula in double precision, written as plainly as it goes.

/// A small generator of its own, so that these tests depend on nothing but the kernels.
private struct Source {
  var state: UInt64
  init(_ seed: Int) { state = UInt64(seed) &* 0x9E37_79B9_7F4A_7C15 | 1 }
  mutating func next() -> UInt64 {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return state
  }
  /// Uniform in −1 ..< 1.
  mutating func value() -> Float { Float(Double(next() >> 11) / Double(1 << 53) * 2 - 1) }
  mutating func values(_ count: Int, scale: Float = 1) -> [Float] { (0..<count).map { _ in value() * scale } }
}

private func bits(_ values: [Float]) -> [UInt32] { values.map(\.bitPattern) }

/// What `body` gives with 1, 2 and 3 threads, if it is the same bits.
private func withEveryThreadCount(_ body: () -> [Float]) -> [Float] {
  let before = ck_thread_count()
  defer { ck_set_thread_count(before) }
  let results = [Int32(1), 2, 3].map { count in
    ck_set_thread_count(count)
    return body()
  }
  #expect(bits(results[0]) == bits(results[1]))
  #expect(bits(results[0]) == bits(results[2]))
  return results[0]
}

// MARK: - Matrix products

struct ProductShape: CustomTestStringConvertible, Sendable {
  var m: Int, n: Int, k: Int
  var testDescription: String { "\(m)×\(n)×\(k)" }

  // One for every way through the code, and its edges: few rows, few columns, a small and a large depth, more than one
  // block along each side, sizes around a register and a tile.
  static let all = [
    (1, 1, 1), (3, 5, 2), (10, 77, 1000), (7, 200, 65), (33, 40, 100), (40, 65, 300), (100, 70, 300), (15, 33, 16),
    (2, 129, 2100), (200, 4, 500), (300, 3, 17), (64, 64, 64), (65, 31, 63), (350, 70, 20), (5, 2100, 3), (1, 300, 70),
    (300, 1, 70), (13, 17, 0), (0, 4, 4), (4, 0, 4), (70, 2100, 270),
  ].map { ProductShape(m: $0.0, n: $0.1, k: $0.2) }
}

@Suite("Kernels: matrix products", .serialized)
struct ProductKernelTests {
  /// Σ_p op(A)[i, p] · op(B)[p, j], and the sum of magnitudes that bounds its rounding error.
  private static func reference(
    _ a: [Float], _ rowA: Int, _ stepA: Int, _ b: [Float], _ stepB: Int, _ columnB: Int, _ k: Int, _ i: Int, _ j: Int
  ) -> (sum: Double, magnitude: Double) {
    var sum = 0.0
    var magnitude = 0.0
    for p in 0..<k {
      let term = Double(a[i * rowA + p * stepA]) * Double(b[p * stepB + j * columnB])
      sum += term
      magnitude += abs(term)
    }
    return (sum, magnitude)
  }

  @Test(
    "a product equals its double-precision sum, however operands lie and threads share it", arguments: ProductShape.all)
  func products(shape: ProductShape) {
    let (m, n, k) = (shape.m, shape.n, shape.k)
    var source = Source(m * 7919 + n * 104729 + k)
    for layout in 0..<8 {
      let (transposeA, transposeB, narrow) = (layout & 1 != 0, layout & 2 != 0, layout & 4 != 0)
      let lda = (transposeA ? m : k) + layout % 3 + 1
      let ldb = (transposeB ? k : n) + layout % 2 + 1
      let ldc = n + 2
      let a = source.values((transposeA ? k : m) * lda + 1)
      var b = source.values((transposeB ? n : k) * ldb + 1)
      var halves = [UInt16](repeating: 0, count: b.count)
      if narrow {
        ck_f32_to_bf16(b, &halves, b.count)
        ck_bf16_to_f32(halves, &b, b.count)
      }
      let (alpha, beta): (Float, Float) = [(1, 0), (-1.5, 1), (0.5, 0.75), (0, 0.5)][layout % 4]
      // With beta = 0, C is written without being read.
      let before = beta == 0 ? [Float](repeating: .nan, count: m * ldc + 1) : source.values(m * ldc + 1)
      let result = withEveryThreadCount {
        var c = before
        if narrow {
          ck_gemm_bf16(transposeA, transposeB, m, n, k, alpha, a, lda, halves, ldb, beta, &c, ldc)
        } else {
          ck_gemm(transposeA, transposeB, m, n, k, alpha, a, lda, b, ldb, beta, &c, ldc)
        }
        return c
      }
      var worst = 0.0
      var untouched = true
      for i in 0..<m {
        for j in 0..<n {
          var (sum, magnitude) = Self.reference(
            a, transposeA ? 1 : lda, transposeA ? lda : 1, b, transposeB ? 1 : ldb, transposeB ? ldb : 1, k, i, j)
          sum *= Double(alpha)
          magnitude *= abs(Double(alpha))
          if beta != 0 {
            sum += Double(beta) * Double(before[i * ldc + j])
            magnitude += abs(Double(beta) * Double(before[i * ldc + j]))
          }
          let error = abs(Double(result[i * ldc + j]) - sum) / max(magnitude, 1e-30)
          worst = error.isNaN ? .infinity : max(worst, error)
        }
        for j in n..<ldc { untouched = untouched && result[i * ldc + j].bitPattern == before[i * ldc + j].bitPattern }
      }
      #expect(worst < 1e-6, "transposed \(transposeA) \(transposeB), bfloat16 \(narrow)")
      #expect(untouched)
    }
  }

  @Test(
    "a batched product is each product", arguments: [(5, 64, 64, 32), (3, 20, 130, 90), (40, 3, 4, 5), (1, 9, 9, 9)])
  func batched(count: Int, m: Int, n: Int, k: Int) {
    var source = Source(count)
    let a = source.values(count * m * k)
    for repeatsB in [false, true] {
      let b = source.values((repeatsB ? 1 : count) * n * k)
      let strideB = repeatsB ? 0 : n * k
      let result = withEveryThreadCount {
        var c = [Float](repeating: .nan, count: count * m * n)
        ck_gemm_batched(count, false, true, m, n, k, 1, a, k, m * k, b, k, strideB, 0, &c, n, m * n)
        return c
      }
      var worst = 0.0
      for index in 0..<count {
        for i in 0..<m {
          for j in 0..<n {
            let (sum, magnitude) = Self.reference(
              Array(a[index * m * k..<(index + 1) * m * k]), k, 1, Array(b[index * strideB..<index * strideB + n * k]),
              1,
              k, k, i, j)
            worst = max(worst, abs(Double(result[(index * m + i) * n + j]) - sum) / magnitude)
          }
        }
      }
      #expect(worst < 1e-6)
    }
  }
}

// MARK: - Elementwise

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
    var source = Source(5)
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

// MARK: - Reductions, moves, rows

@Suite("Kernels: reductions and rows", .serialized)
struct RowKernelTests {
  @Test(
    "sums and maxima over an axis equal the double-precision ones",
    arguments: [(1, 200_000, 1), (7, 1000, 1), (30, 5, 1), (3, 400, 700), (1, 10, 2000), (50, 3, 7), (2, 9000, 3)])
  func reduction(outer: Int, axis: Int, inner: Int) {
    var source = Source(axis)
    let x = source.values(outer * axis * inner)
    for operation in [CK_SUM, CK_MAX] {
      let y = withEveryThreadCount {
        var y = [Float](repeating: .nan, count: outer * inner)
        ck_reduce(operation, x, &y, outer, axis, inner)
        return y
      }
      var worst = 0.0
      for o in 0..<outer {
        for i in 0..<inner {
          var sum = 0.0
          var largest = -Float.infinity
          for a in 0..<axis {
            sum += Double(x[(o * axis + a) * inner + i])
            largest = max(largest, x[(o * axis + a) * inner + i])
          }
          let expected = operation == CK_SUM ? sum : Double(largest)
          worst = max(worst, abs(Double(y[o * inner + i]) - expected) / (operation == CK_SUM ? Double(axis) : 1e-9))
        }
      }
      #expect(worst < 1e-7)
    }
  }

  @Test("the first largest element wins, and NaN before all")
  func argmax() {
    let x: [Float] = [1, 3, 3, 2, -1, -2, -1, -3, 0, .nan, 5, .nan]
    var index = [Int32](repeating: -1, count: 3)
    ck_argmax_rows(x, &index, 3, 4)
    #expect(index == [1, 0, 1])
    var source = Source(1)
    let long = source.values(5 * 1003)
    var indices = [Int32](repeating: -1, count: 5)
    ck_argmax_rows(long, &indices, 5, 1003)
    for row in 0..<5 {
      let values = long[row * 1003..<(row + 1) * 1003]
      #expect(Int(indices[row]) == values.firstIndex(of: values.max()!)! - row * 1003)
    }
  }

  @Test("a norm's square is summed in double precision; one infinity or NaN is found anywhere")
  func wholeArrays() {
    var source = Source(3)
    var x = source.values(100_003, scale: 1e3)
    let expected = x.reduce(0.0) { $0 + Double($1) * Double($1) }
    #expect(abs(ck_sum_of_squares(x, x.count) / expected - 1) < 1e-12)
    #expect(ck_all_finite(x, x.count))
    for place in [0, 1, 50_000, 100_002] {
      for bad in [Float.nan, .infinity, -.infinity] {
        let good = x[place]
        x[place] = bad
        #expect(!ck_all_finite(x, x.count))
        x[place] = good
      }
    }
    #expect(ck_all_finite(x, 0))
  }

  @Test(
    "a permutation reads by strides",
    arguments: [[0, 1, 2], [1, 0, 2], [2, 1, 0], [0, 2, 1], [1, 2, 0], [2, 0, 1]])
  func permutation(axes: [Int]) {
    let shape = [29, 41, 67]
    let strides = [41 * 67, 67, 1]
    var source = Source(2)
    let x = source.values(29 * 41 * 67)
    let newShape = axes.map { shape[$0] }
    let newStrides = axes.map { strides[$0] }
    let out = withEveryThreadCount {
      var out = [Float](repeating: .nan, count: x.count)
      ck_permute(3, newShape, x, newStrides, &out)
      return out
    }
    var expected: [Float] = []
    for i in 0..<newShape[0] {
      for j in 0..<newShape[1] {
        for l in 0..<newShape[2] { expected.append(x[i * newStrides[0] + j * newStrides[1] + l * newStrides[2]]) }
      }
    }
    #expect(out == expected)
  }

  @Test("scattering adds what gathering took, also where an index repeats")
  func gatherAndScatter() {
    var source = Source(4)
    let table = source.values(50 * 300)
    let index = (0..<200).map { Int32(($0 * 7) % 13) }
    let rows = withEveryThreadCount {
      var rows = [Float](repeating: .nan, count: 200 * 300)
      ck_gather_rows(table, index, &rows, 200, 300)
      return rows
    }
    #expect(
      (0..<200).allSatisfy {
        Array(rows[$0 * 300..<($0 + 1) * 300]) == Array(table[Int(index[$0]) * 300..<(Int(index[$0]) + 1) * 300])
      })
    let sums = withEveryThreadCount {
      var sums = [Float](repeating: 1, count: 50 * 300)
      ck_scatter_add_rows(rows, index, &sums, 200, 300)
      return sums
    }
    var expected = [Float](repeating: 1, count: 50 * 300)
    for i in 0..<200 { for j in 0..<300 { expected[Int(index[i]) * 300 + j] += rows[i * 300 + j] } }
    #expect(sums == expected)
  }

  @Test("softmax and cross-entropy equal their definitions", arguments: [(3, 10), (200, 333), (1, 1), (40, 16)])
  func softmax(rows: Int, columns: Int) {
    var source = Source(columns)
    let x = source.values(rows * columns, scale: 20)
    let target = (0..<rows).map { Int32($0 % 5 == 4 ? -100 : $0 % columns) }
    let found = withEveryThreadCount {
      var y = [Float](repeating: .nan, count: x.count)
      var logs = y
      var losses = [Float](repeating: .nan, count: rows)
      var gradient = y
      ck_softmax_rows(false, x, &y, rows, columns)
      ck_softmax_rows(true, x, &logs, rows, columns)
      ck_cross_entropy_rows(x, target, -100, &losses, &gradient, rows, columns)
      return y + logs + gradient + losses
    }
    var lossesAlone = [Float](repeating: .nan, count: rows)
    ck_cross_entropy_rows(x, target, -100, &lossesAlone, nil, rows, columns)
    var worst = 0.0
    for row in 0..<rows {
      let values = x[row * columns..<(row + 1) * columns].map(Double.init)
      let largest = values.max()!
      let logSum = log(values.reduce(0) { $0 + exp($1 - largest) }) + largest
      for j in 0..<columns {
        let at = row * columns + j
        let probability = exp(values[j] - logSum)
        worst = max(worst, abs(Double(found[at]) - probability))
        worst = max(worst, abs(Double(found[x.count + at]) - (values[j] - logSum)) / 40)
        let gradient = target[row] == -100 ? 0 : probability - (Int(target[row]) == j ? 1 : 0)
        worst = max(worst, abs(Double(found[2 * x.count + at]) - gradient))
      }
      let loss = target[row] == -100 ? 0 : logSum - values[Int(target[row])]
      worst = max(worst, abs(Double(found[3 * x.count + row]) - loss) / 40, abs(Double(lossesAlone[row]) - loss) / 40)
    }
    #expect(worst < 5e-7)
  }

  @Test("layer normalisation keeps its accuracy far from zero, and its gradient is that of finite differences")
  func layerNorm() {
    let (rows, columns) = (150, 70)
    var source = Source(8)
    let x = source.values(rows * columns).map { $0 + 100 }
    let dy = source.values(rows * columns)
    let weight = source.values(columns)
    let bias = source.values(columns)
    let found = withEveryThreadCount {
      var y = x
      var mean = [Float](repeating: 0, count: rows)
      var rstd = mean
      var dx = x
      var dweight = weight
      var dbias = bias
      ck_layer_norm(x, weight, bias, 1e-5, &y, &mean, &rstd, rows, columns)
      ck_layer_norm_gradient(x, weight, mean, rstd, dy, &dx, &dweight, &dbias, rows, columns)
      return y + dx + dweight + dbias
    }
    func normalized(_ row: [Double]) -> [Double] {
      let mean = row.reduce(0, +) / Double(columns)
      let variance = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(columns)
      return row.map { ($0 - mean) / (variance + 1e-5).squareRoot() }
    }
    var dweight = [Double](repeating: 0, count: columns)
    var dbias = dweight
    for row in 0..<rows {
      let values = x[row * columns..<(row + 1) * columns].map(Double.init)
      let n = normalized(values)
      func loss(_ values: [Double]) -> Double {
        zip(normalized(values), 0..<columns).reduce(0) {
          $0 + ($1.0 * Double(weight[$1.1]) + Double(bias[$1.1])) * Double(dy[row * columns + $1.1])
        }
      }
      for j in 0..<columns {
        let y = n[j] * Double(weight[j]) + Double(bias[j])
        #expect(abs(Double(found[row * columns + j]) - y) < 1e-4)
        dweight[j] += n[j] * Double(dy[row * columns + j])
        dbias[j] += Double(dy[row * columns + j])
      }
      for j in [0, 13, 69] where row % 10 == 0 {
        var more = values
        var less = values
        more[j] += 1e-4
        less[j] -= 1e-4
        let slope = (loss(more) - loss(less)) / 2e-4
        #expect(abs(Double(found[x.count + row * columns + j]) - slope) < 1e-3)
      }
    }
    for j in 0..<columns {
      #expect(abs(Double(found[2 * x.count + j]) - dweight[j]) < 1e-3)
      #expect(abs(Double(found[2 * x.count + columns + j]) - dbias[j]) < 1e-4)
    }
  }
}

// MARK: - Optimizers, formats, memory and threads

@Suite("Kernels: optimizers, formats, memory, threads", .serialized)
struct StorageKernelTests {
  @Test("Adam follows PyTorch's rule over several steps", arguments: [false, true])
  func adam(decoupled: Bool) {
    let count = 40_003
    var source = Source(6)
    let start = source.values(count)
    let gradients = (0..<3).map { _ in source.values(count) }
    let (rate, beta1, beta2, epsilon, decay) = (1e-2, 0.9, 0.999, 1e-8, 0.1)
    let found = withEveryThreadCount {
      var weight = start
      var m = [Float](repeating: 0, count: count)
      var v = m
      for (index, gradient) in gradients.enumerated() {
        ck_adam_step(
          &weight, gradient, &m, &v, count, Float(rate), Float(beta1), Float(beta2), Float(epsilon), Float(decay),
          decoupled, Int64(index + 1), 0.5)
      }
      return weight
    }
    var worst = 0.0
    for i in 0..<count {
      var weight = Double(start[i])
      var m = 0.0
      var v = 0.0
      for (index, gradient) in gradients.enumerated() {
        var g = 0.5 * Double(gradient[i])
        if decoupled { weight *= 1 - rate * decay } else { g += decay * weight }
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        let step = Double(index + 1)
        weight -= rate * (m / (1 - pow(beta1, step))) / ((v / (1 - pow(beta2, step))).squareRoot() + epsilon)
      }
      worst = max(worst, abs(Double(found[i]) - weight))
    }
    #expect(worst < 2e-6)
  }

  @Test(
    "SGD follows PyTorch's rule, with and without momentum",
    arguments: [(0.0, false), (0.9, false), (0.9, true)])
  func sgd(momentum: Double, nesterov: Bool) {
    let count = 40_003
    var source = Source(7)
    let start = source.values(count)
    let gradients = (0..<3).map { _ in source.values(count) }
    let found = withEveryThreadCount {
      // What is not yet a velocity is never read.
      var weight = start
      var velocity = [Float](repeating: .nan, count: count)
      for (index, gradient) in gradients.enumerated() {
        velocity.withUnsafeMutableBufferPointer {
          ck_sgd_step(
            &weight, gradient, momentum == 0 ? nil : $0.baseAddress!, count, 0.1, Float(momentum), nesterov, 0.01,
            index == 0, 2)
        }
      }
      return weight
    }
    var worst = 0.0
    for i in 0..<count {
      var weight = Double(start[i])
      var velocity = 0.0
      for gradient in gradients {
        let g = 2 * Double(gradient[i]) + 0.01 * weight
        velocity = momentum * velocity + g
        weight -= 0.1 * (nesterov ? g + momentum * velocity : velocity)
      }
      worst = max(worst, abs(Double(found[i]) - weight))
    }
    #expect(worst < 1e-6)
  }

  @Test("every float16 widens exactly and comes back; narrowing rounds to nearest, ties to even")
  func float16() {
    let all = (0...UInt16.max).map { $0 }
    var wide = [Float](repeating: 0, count: all.count)
    var back = [UInt16](repeating: 0, count: all.count)
    ck_f16_to_f32(all, &wide, all.count)
    ck_f32_to_f16(wide, &back, all.count)
    for (pattern, value) in zip(all, wide) {
      let (exponent, fraction) = (Int(pattern >> 10 & 31), Double(pattern & 1023))
      let magnitude =
        exponent == 31
        ? (fraction == 0 ? Double.infinity : .nan)
        : exponent == 0 ? fraction * 0x1p-24 : (1 + fraction / 1024) * pow(2, Double(exponent - 15))
      let expected = pattern >> 15 == 1 ? -magnitude : magnitude
      #expect(
        expected.isNaN ? value.isNaN : Double(value) == expected && value.sign == (pattern >> 15 == 1 ? .minus : .plus))
      #expect(value.isNaN ? back[Int(pattern)] & 0x7fff > 0x7c00 : back[Int(pattern)] == pattern)
    }
    // Halfway between neighbours, and the least above and below it: h goes up where it is odd.
    for h in UInt16(0)..<0x7c00 {
      let low = wide[Int(h)]
      let high = h == 0x7bff ? 65536 : wide[Int(h) + 1]
      let middle = (low + high) / 2
      var narrow = [UInt16](repeating: 0, count: 3)
      ck_f32_to_f16([middle.nextDown, middle, middle.nextUp], &narrow, 3)
      #expect(narrow == [h, h % 2 == 0 ? h : h + 1, h + 1])
    }
  }

  @Test("every bfloat16 widens to its bits and comes back; narrowing rounds to nearest, ties to even")
  func bfloat16() {
    let all = (0...UInt16.max).map { $0 }
    var wide = [Float](repeating: 0, count: all.count)
    var back = [UInt16](repeating: 0, count: all.count)
    ck_bf16_to_f32(all, &wide, all.count)
    ck_f32_to_bf16(wide, &back, all.count)
    for (pattern, value) in zip(all, wide) {
      #expect(value.bitPattern == UInt32(pattern) << 16)
      #expect(value.isNaN ? back[Int(pattern)] & 0x7fff > 0x7f80 : back[Int(pattern)] == pattern)
    }
    for h in UInt16(0)..<0x7f80 {
      let middle = UInt32(h) << 16 | 0x8000
      var narrow = [UInt16](repeating: 0, count: 3)
      ck_f32_to_bf16([middle - 1, middle, middle + 1].map(Float.init(bitPattern:)), &narrow, 3)
      #expect(narrow == [h, h % 2 == 0 ? h : h + 1, h + 1])
    }
  }

  @Test("bytes become (x/255 − mean)/deviation")
  func bytes() {
    let x = (0...UInt8.max).map { $0 }
    var y = [Float](repeating: 0, count: 256)
    ck_normalize_bytes(x, 0.1307, 0.3081, &y, 256)
    for (byte, value) in zip(x, y) { #expect(abs(Double(value) - (Double(byte) / 255 - 0.1307) / 0.3081) < 1e-6) }
  }

  @Test("blocks are aligned, apart from each other, and used again")
  func memory() {
    var blocks: [(pointer: UnsafeMutableRawPointer, bytes: Int)] = []
    for bytes in [0, 1, 63, 64, 65, 511, 513, 1000, 4097, 100_000, 1 << 20, (1 << 20) + 1, 3 << 20, 5_000_001] {
      let pointer = ck_allocate(bytes)!
      #expect(Int(bitPattern: pointer) % 64 == 0)
      memset(pointer, Int32(blocks.count + 1), bytes)
      blocks.append((pointer, bytes))
    }
    for (index, block) in blocks.enumerated() {
      let bytes = UnsafeRawBufferPointer(start: block.pointer, count: block.bytes)
      #expect(bytes.allSatisfy { $0 == UInt8(index + 1) })
    }
    for block in blocks { ck_deallocate(block.pointer, block.bytes) }
    ck_trim_memory()
  }

  @Test("each part runs once, nested jobs run too, and callers on several threads do not disturb each other")
  func threads() async {
    let before = ck_thread_count()
    defer { ck_set_thread_count(before) }
    ck_set_thread_count(3)
    await withTaskGroup(of: Bool.self) { group in
      for _ in 0..<4 {
        group.addTask {
          (0..<300).allSatisfy { _ in
            // Part p adds 1 to element p, through a nested job of one part for each of its 3 numbers.
            let counts = UnsafeMutablePointer<Int32>.allocate(capacity: 7 * 3)
            counts.initialize(repeating: 0, count: 7 * 3)
            defer { counts.deallocate() }
            ck_parallel(
              7,
              { context, part in
                let row = context!.assumingMemoryBound(to: Int32.self) + Int(part) * 3
                ck_parallel(3, { row, part in row!.assumingMemoryBound(to: Int32.self)[Int(part)] += 1 }, row)
              }, counts)
            return UnsafeBufferPointer(start: counts, count: 7 * 3).allSatisfy { $0 == 1 }
          }
        }
      }
      for await correct in group { #expect(correct) }
    }
  }
}
