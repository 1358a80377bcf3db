import LoRATensors

/// What every decomposition does with its argument first: check it, and bring it to a scale at which squares neither
/// overflow nor vanish.
struct MatrixInput {
  /// The matrix times 2^−exponent, its largest element of moderate size.
  let scaled: Tensor
  let exponent: Int
  let operation: String

  var rows: Int { scaled.shape[0] }
  var columns: Int { scaled.shape[1] }

  /// Throws where `matrix` is no matrix, empty, or holds NaN or infinity.
  init(_ matrix: Tensor, _ operation: String) throws {
    guard matrix.shape.count == 2, matrix.count > 0 else {
      throw LinearAlgebraError.notAMatrix(operation: operation, shape: matrix.shape)
    }
    guard !matrix.isTracked else { throw LinearAlgebraError.noDerivative(operation: operation) }
    let largest = try matrix.largestMagnitude(operation)
    // Within these bounds sums of squares are safe as they are: 2^80 elements at 2^40, and 2^−80 is a normal number.
    let exponent = largest == 0 || (-40...40).contains(Int(largest.exponent)) ? 0 : Int(largest.exponent)
    self.exponent = exponent
    self.operation = operation
    scaled = exponent == 0 ? matrix.detached : matrix.detached.scaled(byPowerOfTwo: -exponent)
  }

  /// Singular values of the scaled matrix, at the scale of the original.
  func restored(_ singularValues: [Float]) throws -> [Float] {
    try singularValues.scaled(byPowerOfTwo: exponent, operation, [rows, columns])
  }
}

extension [Float] {
  /// x · 2^exponent; throws where the largest float32 is exceeded.
  func scaled(byPowerOfTwo exponent: Int, _ operation: String, _ shape: [Int]) throws -> [Float] {
    guard exponent != 0 else { return self }
    let values = map { Float(sign: .plus, exponent: exponent, significand: $0) }
    guard values.allSatisfy(\.isFinite) else {
      throw LinearAlgebraError.overflow(operation: operation, shape: shape)
    }
    return values
  }
}

extension Tensor {
  /// max |x|; throws where an element is NaN or infinite. Magnitudes compare as their bits do, NaN above all.
  func largestMagnitude(_ operation: String) throws -> Float {
    let bits = withUnsafeBufferPointer { buffer in
      buffer.withMemoryRebound(to: UInt32.self) { $0.reduce(0) { Swift.max($0, $1 & 0x7fff_ffff) } }
    }
    let largest = Float(bitPattern: bits)
    guard !largest.isFinite else { return largest }
    let index = withUnsafeBufferPointer { $0.firstIndex { !$0.isFinite }! }
    let columns = shape.last ?? 1
    throw LinearAlgebraError.notFinite(
      operation: operation, shape: shape, row: index / columns, column: index % columns,
      value: withUnsafeBufferPointer { "\($0[index])" })
  }

  /// x · 2^exponent without rounding, for any exponent a float32 can have.
  func scaled(byPowerOfTwo exponent: Int) -> Tensor {
    // One factor of 2^±149 is not a float32; two of half are.
    let half = exponent / 2
    return self * Float(sign: .plus, exponent: half, significand: 1)
      * Float(sign: .plus, exponent: exponent - half, significand: 1)
  }
}
