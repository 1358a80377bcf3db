// Matrices of normal numbers, drawn fast.

import LoRATensors

extension Tensor {
  /// Independent standard normal numbers by the polar method (Marsaglia and Bray, 1964), several at a time: a sketch
  /// needs many, and `Tensor.normal` draws them one by one.
  package static func gaussian(_ shape: [Int], using generator: inout SeededGenerator) -> Tensor {
    let count = shape.reduce(1, *)
    let pairs = (count + 1) / 2
    var (x, y, squares) = ([Float](), [Float](), [Float]())
    x.reserveCapacity(pairs)
    y.reserveCapacity(pairs)
    squares.reserveCapacity(pairs)
    while x.count < pairs {
      let bits = generator.next()
      let u = Float(Int32(truncatingIfNeeded: bits)) * 0x1p-31
      let v = Float(Int32(truncatingIfNeeded: bits >> 32)) * 0x1p-31
      let square = u * u + v * v
      guard square > 0, square < 1 else { continue }
      x.append(u)
      y.append(v)
      squares.append(square)
    }
    let square = Tensor(squares)
    let factor = (square.log() * -2 / square).squareRoot()
    let all = Tensor.concatenated([Tensor(x) * factor, Tensor(y) * factor], axis: 0)
    return (all.count == count ? all : all.sliced(axis: 0, 0..<count)).reshaped(shape)
  }
}
