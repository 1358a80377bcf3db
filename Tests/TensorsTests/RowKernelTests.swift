import Foundation
import LoRACKernels
import Testing

@Suite("Kernels: reductions and rows", .serialized)
struct RowKernelTests {
  @Test(
    "sums and maxima over an axis equal the double-precision ones",
    arguments: [(1, 200_000, 1), (7, 1000, 1), (30, 5, 1), (3, 400, 700), (1, 10, 2000), (50, 3, 7), (2, 9000, 3)])
  func reduction(outer: Int, axis: Int, inner: Int) {
    var source = PlainSource(axis)
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
    var source = PlainSource(1)
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
    var source = PlainSource(3)
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
    var source = PlainSource(2)
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
    var source = PlainSource(4)
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
    var source = PlainSource(columns)
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
    var source = PlainSource(8)
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
