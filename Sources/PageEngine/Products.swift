// The three products of a linear layer, on plain arrays, by rows of four lanes: what WebAssembly's vectors hold.

typealias Lanes = SIMD4<Float>

/// Σ x y over `count` numbers, of one x with four rows of y: what is loaded of x serves four sums.
@inline(__always)
private func dots(
  _ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>, stride: Int, _ count: Int
) -> (Float, Float, Float, Float) {
  var (first, second, third, fourth) = (Lanes.zero, Lanes.zero, Lanes.zero, Lanes.zero)
  var i = 0
  while i + 4 <= count {
    let shared = lanes(x + i)
    first += shared * lanes(y + i)
    second += shared * lanes(y + stride + i)
    third += shared * lanes(y + 2 * stride + i)
    fourth += shared * lanes(y + 3 * stride + i)
    i += 4
  }
  var sums = (first.sum(), second.sum(), third.sum(), fourth.sum())
  while i < count {
    sums.0 += x[i] * y[i]
    sums.1 += x[i] * y[stride + i]
    sums.2 += x[i] * y[2 * stride + i]
    sums.3 += x[i] * y[3 * stride + i]
    i += 1
  }
  return sums
}

/// Σ x y over `count` numbers.
private func dot(_ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>, _ count: Int) -> Float {
  var sum: Float = 0
  for i in 0..<count { sum += x[i] * y[i] }
  return sum
}

/// y += factor x over `count` numbers.
@inline(__always)
func add(_ x: UnsafePointer<Float>, times factor: Float, to y: UnsafeMutablePointer<Float>, _ count: Int) {
  let factors = Lanes(repeating: factor)
  var i = 0
  while i + 4 <= count {
    UnsafeMutableRawPointer(y + i).storeBytes(of: lanes(y + i) + factors * lanes(x + i), as: Lanes.self)
    i += 4
  }
  while i < count {
    y[i] += factor * x[i]
    i += 1
  }
}

@inline(__always)
private func lanes(_ x: UnsafePointer<Float>) -> Lanes { UnsafeRawPointer(x).loadUnaligned(as: Lanes.self) }

/// x Wᵀ: [rows, inputs] by [outputs, inputs] gives [rows, outputs], what the layer makes of its input.
func product(_ x: [Float], timesTurned weight: [Float], rows: Int, inputs: Int, outputs: Int) -> [Float] {
  [Float](unsafeUninitializedCapacity: rows * outputs) { result, count in
    x.withUnsafeBufferPointer { x in
      weight.withUnsafeBufferPointer { weight in
        for row in 0..<rows {
          let x = x.baseAddress! + row * inputs
          let y = result.baseAddress! + row * outputs
          var output = 0
          while output + 4 <= outputs {
            (y[output], y[output + 1], y[output + 2], y[output + 3]) = dots(
              x, weight.baseAddress! + output * inputs, stride: inputs, inputs)
            output += 4
          }
          while output < outputs {
            y[output] = dot(x, weight.baseAddress! + output * inputs, inputs)
            output += 1
          }
        }
      }
    }
    count = rows * outputs
  }
}

/// dy W: [rows, outputs] by [outputs, inputs] gives [rows, inputs], what the layer's input is to change by.
func product(_ dy: [Float], times weight: [Float], rows: Int, inputs: Int, outputs: Int) -> [Float] {
  var dx = [Float](repeating: 0, count: rows * inputs)
  dx.withUnsafeMutableBufferPointer { dx in
    weight.withUnsafeBufferPointer { weight in
      for row in 0..<rows {
        for output in 0..<outputs {
          add(
            weight.baseAddress! + output * inputs, times: dy[row * outputs + output],
            to: dx.baseAddress! + row * inputs, inputs)
        }
      }
    }
  }
  return dx
}

/// dyᵀ x: [rows, outputs] by [rows, inputs] gives [outputs, inputs], what the layer's weight is to change by.
func product(_ dy: [Float], turnedTimes x: [Float], rows: Int, inputs: Int, outputs: Int) -> [Float] {
  var dw = [Float](repeating: 0, count: outputs * inputs)
  dw.withUnsafeMutableBufferPointer { dw in
    x.withUnsafeBufferPointer { x in
      for row in 0..<rows {
        for output in 0..<outputs {
          add(
            x.baseAddress! + row * inputs, times: dy[row * outputs + output],
            to: dw.baseAddress! + output * inputs, inputs)
        }
      }
    }
  }
  return dw
}
